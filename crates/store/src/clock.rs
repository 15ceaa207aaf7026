//! The machine's clock and the operating system's random numbers.
use chrono::{DateTime, SubsecRound, Utc};
use deed_claims::{Clock, Entropy};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "all other code asks this clock")]
        Utc::now().trunc_subsecs(6)
    }
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), std::io::Error> {
        #[expect(clippy::disallowed_methods, reason = "all other code asks this source")]
        getrandom::fill(bytes).map_err(|e| std::io::Error::other(e.to_string()))
    }
}
