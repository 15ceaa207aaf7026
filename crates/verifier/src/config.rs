//! The settings of a verifier.
use std::time::Duration;

use deed_claims::{Policy, name::NamePolicy};
use deed_diagnosis::Agreement;
use tokio::sync::Semaphore;

/// Settings of a verifier.
#[derive(Debug, Clone)]
pub struct VerifierConfig {
    /// The policy under which checks are recorded.
    pub policy: Policy,
    /// The names that may be claimed.
    pub names: NamePolicy,
    /// Octets that the longest prefix of a validation record, with its dot, adds to a name.
    pub longest_prefix_len: usize,
    /// The vantage in the evidence of a check that sent no query.
    pub vantage: String,
    /// How many of a zone's name servers have to agree.
    pub agreement: Agreement,
    /// Whether an alias that comes from a wildcard may prove a registrable domain.
    pub accept_wildcard: bool,
    /// The domain below which every app has its CNAME target; when it is empty, routing is not checked.
    pub cname_base: String,
    /// The most checks at a time.
    pub in_flight: usize,
    /// The deadline of one probe, after which the check fails internally; longer than the prober's own time budget.
    pub probe_deadline: Duration,
    /// How much earlier than due a check may be made, for clocks that differ.
    pub early: Duration,
    /// The first pause before a message is requeued because the store did not answer; it doubles with each delivery.
    pub pause: Duration,
    /// The first pause before a check that failed internally is retried; it doubles with each failure.
    pub failure_pause: Duration,
    /// The interval at which a failing canary is looked up again.
    pub canary_poll: Duration,
    /// How long a stopping verifier finishes its checks in flight.
    pub drain: Duration,
}

impl VerifierConfig {
    /// The most messages that are processed at a time.
    pub(crate) fn concurrency(&self) -> usize {
        self.in_flight.clamp(1, Semaphore::MAX_PERMITS)
    }
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            names: NamePolicy::default(),
            longest_prefix_len: deed_claims::ChallengeTemplates::default().longest_prefix(),
            vantage: "default".to_owned(),
            agreement: Agreement::Majority,
            accept_wildcard: false,
            cname_base: String::new(),
            in_flight: 64,
            probe_deadline: Duration::from_secs(30),
            early: Duration::from_secs(2),
            pause: Duration::from_secs(1),
            failure_pause: Duration::from_secs(30),
            canary_poll: Duration::from_secs(5),
            drain: Duration::from_secs(12),
        }
    }
}
