//! Given, when, then: builds a history of commands, runs one, and returns its events.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test binary uses a part of this module")]
#![allow(
    clippy::allow_attributes,
    reason = "an expectation would be unfulfilled in the binary that uses all of it"
)]

use chrono::{DateTime, Duration, Utc};
use deed_claims::{
    AppId, Challenge, ChallengeTemplates, ClaimId, ClaimState, Command, ContestAnswer, ContestResolvedBy,
    Ended, Holder, IfHeldByAnother, Ownership, OwnershipEvent, Policy, Rejection, Scope, Status, Token,
    name::DomainName,
};
use deed_diagnosis::{
    Class, Code, Diagnosis, Evidence, Observation, Outcome, Reply, ServerAnswer, Signatures, SoaSeen,
    Statement, Transport,
};

pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap()
}

pub fn workspace(name: &str) -> Holder {
    Holder::Workspace { workspace_id: name.parse().unwrap() }
}

/// An app of a workspace.
pub fn app(workspace: &str, n: u8) -> Holder {
    Holder::App { workspace_id: workspace.parse().unwrap(), app_id: AppId::from_bytes([n; 10]) }
}

pub fn domain() -> DomainName {
    "acme.com".parse().unwrap()
}

pub fn claim(n: u8) -> ClaimId {
    ClaimId::from_bytes([n; 16])
}

pub fn challenge(n: u8) -> Challenge {
    ChallengeTemplates::default().challenge(Scope::Apex, &domain(), Token::from_bytes([n; 20]))
}

pub fn evidence() -> Evidence {
    Evidence {
        zone: Some("acme.com".into()),
        aliases: vec![],
        servers: vec![],
        confirmation: "none".into(),
        confirmed_by: vec![],
        queries: 3,
        took_ms: 12,
        vantage: "test".into(),
        suffix_list: "test".into(),
        ..Evidence::default()
    }
}

/// Evidence in which one of two servers shows the record of claim `n`.
pub fn evidence_of(n: u8) -> Evidence {
    let servers = vec![answer(1, &["v=spf1 -all", &*challenge(n).record_value]), answer(2, &[])];
    Evidence::of(&observed(servers), &challenge(n))
}

/// An authoritative answer of one name server with these values; without values, that the name does not exist.
pub fn answer(n: u8, values: &[&str]) -> ServerAnswer {
    let denial = SoaSeen { owner: "acme.com".into(), serial: 7, negative_ttl: 300 };
    let reply = Reply::Message {
        rcode: if values.is_empty() { 3 } else { 0 },
        authoritative: true,
        truncated: false,
        ede: None,
        values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        oversize: false,
        soa: values.is_empty().then_some(denial),
        statement: if values.is_empty() { Statement::NoName } else { Statement::Values },
        signatures: Signatures::None,
        plain: false,
    };
    let address = Some(std::net::Ipv4Addr::new(192, 0, 2, n).into());
    ServerAnswer { server: format!("ns{n}.acme.com"), address, transport: Transport::Udp, reply, ms: 5 }
}

/// An observation of the name with these answers.
pub fn observed(servers: Vec<ServerAnswer>) -> Observation {
    Observation {
        name: "_deed.acme.com".into(),
        zone: Some("acme.com".into()),
        servers,
        queries: 4,
        took_ms: 20,
        vantage: "test".into(),
        ..Observation::default()
    }
}

pub fn not_proven(code: Code) -> Outcome {
    Outcome::NotProven(Diagnosis::from_text(code, "seen", "do"))
}

pub fn absent() -> Outcome {
    not_proven(Code::RecordNotFound)
}

pub fn unreachable() -> Outcome {
    assert_eq!(Code::Timeout.class(), Class::Transient);
    not_proven(Code::Timeout)
}

/// One name with its history, its policy and the present time.
#[derive(Clone)]
pub struct Scenario {
    pub ownership: Ownership,
    pub policy: Policy,
    pub now: DateTime<Utc>,
    pub log: Vec<OwnershipEvent>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { ownership: Ownership::default(), policy: Policy::default(), now: start(), log: vec![] }
    }
}

impl Scenario {
    pub fn with(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    pub fn after(mut self, pause: Duration) -> Self {
        self.now += pause;
        self
    }

    /// Runs a command; the kinds of its events.
    pub fn when(&mut self, command: Command) -> Result<Vec<&'static str>, Rejection> {
        let events = self.ownership.decide(command, &self.policy, self.now)?;
        for event in &events {
            self.ownership = std::mem::take(&mut self.ownership).evolve(event);
        }
        self.log.extend(events.iter().cloned());
        Ok(events.into_iter().map(|e| deed_claims::Event::from(e).kind()).collect())
    }

    pub fn initiate(&mut self, n: u8, holder: &str) -> Result<Vec<&'static str>, Rejection> {
        self.when(initiate(n, workspace(holder), IfHeldByAnother::Challenge))
    }

    pub fn request(&mut self, n: u8) -> Result<Vec<&'static str>, Rejection> {
        self.when(Command::RequestVerification { claim_id: claim(n) })
    }

    /// Settles the pending attempt of a claim.
    pub fn check(&mut self, n: u8, outcome: Outcome) -> Result<Vec<&'static str>, Rejection> {
        self.check_both(n, outcome, None)
    }

    pub fn check_both(
        &mut self,
        n: u8,
        outcome: Outcome,
        holder_outcome: Option<Outcome>,
    ) -> Result<Vec<&'static str>, Rejection> {
        let attempt = self.pending_attempt(n).unwrap_or(0);
        let claim_id = claim(n);
        self.when(Command::RecordCheck { claim_id, attempt, outcome, holder_outcome, evidence: evidence() })
    }

    /// Settles the pending attempt of a claim whose record one of two servers shows: seen, but not proven.
    pub fn check_seen(&mut self, n: u8) -> Result<Vec<&'static str>, Rejection> {
        let attempt = self.pending_attempt(n).unwrap_or(0);
        self.when(Command::RecordCheck {
            claim_id: claim(n),
            attempt,
            outcome: not_proven(Code::InconsistentServers),
            holder_outcome: None,
            evidence: evidence_of(n),
        })
    }

    /// Claims the name and asks for verification.
    pub fn watch(&mut self, n: u8, holder: &str) {
        self.initiate(n, holder).unwrap();
        self.request(n).unwrap();
    }

    /// The holder's answer to a challenger.
    pub fn answer(
        &mut self,
        holder: u8,
        challenger: u8,
        answer: ContestAnswer,
    ) -> Result<Vec<&'static str>, Rejection> {
        self.when(Command::AnswerContest {
            claim_id: claim(holder),
            challenger_id: claim(challenger),
            answer,
        })
    }

    /// How a claim ended; none while it is open.
    pub fn ended(&self, n: u8) -> Option<Ended> {
        match self.state(n) {
            ClaimState::Ended { how, .. } => Some(*how),
            _ => None,
        }
    }

    /// The status of a claim; none where the fold no longer keeps it.
    pub fn status(&self, n: u8) -> Option<Status> {
        self.ownership.claims.get(&claim(n)).map(deed_claims::Claim::status)
    }

    /// Whether claim `n` has the name.
    pub fn has(&self, n: u8) -> bool {
        self.ownership.holding == Some(claim(n))
    }

    /// The reason of the last contest resolution.
    pub fn resolved_by(&self) -> Option<ContestResolvedBy> {
        self.log.iter().rev().find_map(|event| match event {
            OwnershipEvent::ContestResolved(e) => Some(e.by),
            _ => None,
        })
    }

    pub fn pending_attempt(&self, n: u8) -> Option<u32> {
        self.ownership.claims.get(&claim(n))?.pending.map(|p| p.attempt)
    }

    /// Advances the time to the claim's next check.
    pub fn until_next_check(mut self, n: u8) -> Self {
        self.now = self.ownership.claims[&claim(n)].pending.expect("a pending check").due_at;
        self
    }

    pub fn state(&self, n: u8) -> &ClaimState {
        &self.ownership.claims[&claim(n)].state
    }

    /// A name held by `holder` through claim `n`.
    pub fn held_by(mut self, n: u8, holder: &str) -> Self {
        self.initiate(n, holder).unwrap();
        self.request(n).unwrap();
        self.check(n, Outcome::Proven).unwrap();
        self
    }
}

pub fn initiate(n: u8, holder: Holder, if_held_by_another: IfHeldByAnother) -> Command {
    Command::Initiate {
        claim_id: claim(n),
        holder,
        name: domain(),
        requested: "send.acme.com".parse().unwrap(),
        region: None,
        challenge: challenge(n),
        if_held_by_another,
    }
}
