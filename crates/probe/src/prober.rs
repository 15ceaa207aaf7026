//! The prober: one question in, one observation out, whatever happens in between.
use std::sync::Arc;

use async_trait::async_trait;
use deed_claims::{Confirmation, Observation, ProbeFailure, Reply, ServerAnswer};
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
use crate::transport::Transport;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name to ask for TXT records: ASCII, without the trailing dot; labels may begin with an underscore.
    pub name: String,
    /// Values whose appearance has to be confirmed, byte for byte.
    pub looking_for: Vec<Vec<u8>>,
}

/// Looks at the DNS. The way to stand in for a [`Prober`] in tests.
#[async_trait]
pub trait Look: Send + Sync {
    /// Looks once. Total: our own troubles are in the observation too.
    async fn look(&self, question: Question) -> Observation;
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
            transport: Transport::new(&config),
            cache: Delegations::new(config.delegation_cache_ttl),
            root: Arc::new(Delegation::root(&config.roots)?),
            config,
        };
        Ok(Self { shared })
    }

    /// Looks once, within the budgets: finds the zone, asks all its servers, follows aliases, and asks everything
    /// once more over connections when a value that was looked for shows.
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
            None => (no_name(), Confirmation::NotNeeded),
            Some(name) => {
                let sight = Inquiry::new(&self.shared, &budget, Mode::Usual).look(&name).await;
                self.confirm(&name, &question.looking_for, sight, &budget).await
            }
        };
        let observation = Observation {
            name: question.name,
            zone: sight.zone.as_ref().map(text_of),
            aliases: sight.aliases.iter().map(text_of).collect(),
            servers: sight.servers,
            failure: sight.failure,
            confirmation,
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
            repeated = matches!(observation.confirmation, Confirmation::Repeated(_)),
            "looked"
        );
        observation
    }

    /// The second pass that a match needs. What ended it shows where the first had nothing to say.
    async fn confirm(
        &self,
        name: &Name,
        looking_for: &[Vec<u8>],
        mut sight: Sight,
        budget: &Budget,
    ) -> (Sight, Confirmation) {
        if !sight.servers.iter().any(|answer| shows(answer, looking_for)) {
            return (sight, Confirmation::NotNeeded);
        }
        let again = Inquiry::new(&self.shared, budget, Mode::Connected).look(name).await;
        sight.failure = sight.failure.or(again.failure);
        (sight, Confirmation::Repeated(again.servers))
    }
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

/// The name as it goes on the wire.
fn absolute(text: &str) -> Option<Name> {
    if text.is_empty() || !text.is_ascii() || text.ends_with('.') {
        return None;
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn no_name() -> Sight {
    Sight {
        failure: Some(ProbeFailure::Internal("the name cannot be asked for".to_owned())),
        ..Sight::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        assert_eq!(absolute("_deed.acme.test").unwrap().to_ascii(), "_deed.acme.test.");
        for faulty in ["", ".", "acme.test.", "a..test", "m\u{fc}ller.test", &"x".repeat(64)] {
            assert!(absolute(faulty).is_none(), "{faulty}");
        }
    }
}
