//! The prober: one question in, one observation out, whatever happens in between.
use std::sync::Arc;

use async_trait::async_trait;
use deed_claims::{
    Confirmation, Findings, NetworkFault, Observation, ProbeFailure, Reply, ServerAnswer, Transport,
};
use hickory_proto::rr::Name;
use tokio::time::Instant;
use tracing::{Instrument, debug, debug_span};

use crate::budget::Budget;
use crate::cache::Delegations;
use crate::config::{ConfigError, ProbeConfig};
use crate::delegation::Delegation;
use crate::exchange::millis;
use crate::inquiry::{Inquiry, Mode, Shared, Sight};
use crate::response::text_of;
use crate::transport::Transport as Sockets;
use crate::wire::absolute;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// The name to ask for TXT records: ASCII, without the trailing dot; labels may begin with an underscore.
    pub name: String,
    /// Values whose appearance has to be confirmed, byte for byte.
    pub looking_for: Vec<Vec<u8>>,
    /// Whether the absence of all these values has to be confirmed as well: for looks that may take something
    /// away, because one forged datagram can make a record vanish as easily as it can make one appear.
    pub confirm_absence: bool,
    /// The registrable domain that the name lies in: tells a name that is not delegated at all, and lets a look that
    /// did not see the values ask where else they may stand. Without it no such questions are asked.
    pub apex: Option<String>,
}

/// Looks at the DNS. The way to stand in for a [`Prober`] in tests.
#[async_trait]
pub trait Look: Send + Sync {
    /// Looks once. Total: our own troubles are in the observation too.
    async fn look(&self, question: Question) -> Observation;

    /// Whether a name that has to exist could not be asked for just now, so that every look would fail for our
    /// reasons. Cheap: asks again only where the last answer was a failure and is some seconds old, and not at all
    /// as long as looks succeed.
    async fn canary_failing(&self) -> bool {
        false
    }
}

/// Asks the DNS itself, from the root servers downwards. Cheap to share behind an `Arc`; needs a tokio runtime.
#[derive(Debug)]
pub struct Prober {
    shared: Shared,
}

impl Prober {
    /// Takes a configuration that can work.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that cannot.
    pub fn new(config: ProbeConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Shared {
            transport: Sockets::new(&config),
            cache: Delegations::new(config.delegation_cache_ttl),
            root: Arc::new(Delegation::root(&config.roots)?),
            config,
        };
        Ok(Self { shared })
    }

    /// Looks once, within the budgets: finds the zone, asks all its servers, follows aliases, and asks everything
    /// once more over connections when a value that was looked for shows, or is absent and that has to be sure.
    ///
    /// Dropping the future abandons the look; nothing goes on behind it.
    pub async fn look(&self, question: Question) -> Observation {
        let span = debug_span!("dns.look", name = %question.name.escape_default());
        self.look_within(question).instrument(span).await
    }

    async fn look_within(&self, question: Question) -> Observation {
        let started = Instant::now();
        let config = &self.shared.config;
        let budget = Budget::new(config.budgets.queries, config.budgets.time);
        let (sight, confirmation) = match absolute(&question.name) {
            None => (no_name(), Confirmation::default()),
            Some(name) => {
                let sight = Inquiry::new(&self.shared, &budget, Mode::Usual).look(&name).await;
                let confirmation = self.confirm(&name, &question, &sight, &budget).await;
                (sight, confirmation)
            }
        };
        let observation = Observation {
            name: question.name,
            zone: sight.zone.as_ref().map(text_of),
            aliases: sight.aliases.iter().map(text_of).collect(),
            dname: None,
            servers: sight.servers,
            failure: sight.failure,
            confirmation,
            findings: Findings::default(),
            queries: budget.sent(),
            took_ms: millis(started),
            vantage: config.vantage.clone(),
        };
        debug!(
            servers = observation.servers.len(),
            aliases = observation.aliases.len(),
            queries = observation.queries,
            ms = observation.took_ms,
            failed = observation.failure.is_some(),
            repeated = observation.confirmation.repeated.is_some(),
            "looked"
        );
        observation
    }

    /// The second pass. Whatever ends it shows in its own answers: the first has seen what it has seen.
    async fn confirm(
        &self,
        name: &Name,
        question: &Question,
        sight: &Sight,
        budget: &Budget,
    ) -> Confirmation {
        let shown = sight.servers.iter().any(|answer| shows(answer, &question.looking_for));
        let denied = question.confirm_absence && sight.servers.iter().any(tells);
        if !shown && !denied {
            return Confirmation::default();
        }
        let again = Inquiry::new(&self.shared, budget, Mode::Connected).look(name).await;
        Confirmation { repeated: Some(confirming(again)), ..Confirmation::default() }
    }
}

/// The answers of a second pass that may count, with a row of our own when it was we who failed.
fn confirming(again: Sight) -> Vec<ServerAnswer> {
    let mut answers = again.servers;
    let internal = Reply::Fault(NetworkFault::Internal);
    match again.failure {
        // Time or questions ran out over some servers; the others have been heard.
        None | Some(ProbeFailure::BudgetExhausted) => {}
        Some(ProbeFailure::Internal(_)) => {
            answers.retain(|answer| matches!(answer.reply, Reply::Fault(_)));
            if !answers.iter().any(|answer| answer.reply == internal) {
                answers.push(ServerAnswer {
                    server: String::new(),
                    address: None,
                    transport: Transport::Tcp,
                    reply: internal,
                    ms: 0,
                });
            }
        }
        // It did not get to the end; what was said on the way is no answer.
        Some(_) => answers.retain(|answer| matches!(answer.reply, Reply::Fault(_))),
    }
    answers
}

#[async_trait]
impl Look for Prober {
    async fn look(&self, question: Question) -> Observation {
        Prober::look(self, question).await
    }
}

fn shows(answer: &ServerAnswer, looking_for: &[Vec<u8>]) -> bool {
    match &answer.reply {
        Reply::Message { values, .. } => values.iter().any(|value| looking_for.contains(value)),
        _ => false,
    }
}

/// Whether a server told with authority what stands at the name, or that nothing does.
fn tells(answer: &ServerAnswer) -> bool {
    match &answer.reply {
        Reply::Message {
            rcode: 0 | 3, authoritative: true, truncated: false, values, oversize, soa, ..
        } => !values.is_empty() || *oversize || soa.is_some(),
        _ => false,
    }
}

fn no_name() -> Sight {
    Sight {
        failure: Some(ProbeFailure::Internal("the name cannot be asked for".to_owned())),
        ..Sight::default()
    }
}
