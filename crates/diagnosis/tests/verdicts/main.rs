//! Outcomes: what is concluded from the answers of servers.
#[path = "../given/mod.rs"]
mod given;

mod absence;
mod causes;
mod dnssec;
mod held;
mod notes;
mod proof;

use deed_diagnosis::{
    Agreement, Code, Context, Diagnosis, Observation, Outcome, ServerAnswer, judge, judge_within,
};
use given::{context, record};

/// The code of an observation, by majority and with no holding at stake.
fn code(observation: &Observation) -> Option<Code> {
    judge(record(), observation).code()
}

fn code_under(context: &Context, observation: &Observation) -> Option<Code> {
    judge_within(record(), context, observation).code()
}

fn diagnose(observation: &Observation) -> Diagnosis {
    match judge_within(record(), &context(), observation) {
        Outcome::Proven => panic!("proven"),
        Outcome::NotProven(diagnosis) => diagnosis,
    }
}

fn at_stake() -> Context {
    Context { at_stake: true, ..Context::default() }
}

fn strict() -> Context {
    Context { agreement: Agreement::Strict, ..Context::default() }
}

fn held_by_another() -> Context {
    Context { held_by_another: true, at_stake: true, ..Context::default() }
}

/// The same answer from another address of the name server.
fn with_address(answer: ServerAnswer, last: u8) -> ServerAnswer {
    ServerAnswer { address: Some(std::net::Ipv4Addr::new(198, 51, 100, last).into()), ..answer }
}
