//! What a verifier is told.
use std::time::Duration;

use deed_claims::{Agreement, Policy, name::NamePolicy};
use tokio::sync::Semaphore;

/// How a verifier works.
#[derive(Debug, Clone)]
pub struct VerifierConfig {
    /// The rules that decisions follow.
    pub policy: Policy,
    /// Which names may be claimed.
    pub names: NamePolicy,
    /// Octets the longest label of a validation record, with its dot, adds to a name.
    pub longest_prefix_len: usize,
    /// Our name in the evidence of a check that asked nobody.
    pub vantage: String,
    /// How many of a zone's servers have to agree.
    pub agreement: Agreement,
    /// Whether an alias that comes from a wildcard may prove a registrable domain.
    pub accept_wildcard: bool,
    /// The domain below which every app has its CNAME target; without it nobody asks where hostnames lead.
    pub cname_base: String,
    /// Checks at a time.
    pub in_flight: usize,
    /// How long one look may take before it is given up as our own trouble; more than the prober's own budget.
    pub look_deadline: Duration,
    /// How much earlier than due a check may be made, for clocks that differ.
    pub early: Duration,
    /// The first pause before work that the store had no answer for is given back; it doubles each time.
    pub pause: Duration,
    /// The first pause before a check that our own trouble kept from being made is tried again; it doubles each time.
    pub trouble_pause: Duration,
    /// How often it is asked whether names that have to exist can be asked for again, while they cannot.
    pub canary_poll: Duration,
    /// How long a stopping verifier finishes what it has in hand.
    pub drain: Duration,
}

impl VerifierConfig {
    /// Pieces of work that may be in hand at a time.
    pub(crate) fn hands(&self) -> usize {
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
            look_deadline: Duration::from_secs(30),
            early: Duration::from_secs(2),
            pause: Duration::from_secs(1),
            trouble_pause: Duration::from_secs(30),
            canary_poll: Duration::from_secs(5),
            drain: Duration::from_secs(25),
        }
    }
}
