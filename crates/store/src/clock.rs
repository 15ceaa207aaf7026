//! The clock and the source of randomness, as parameters: code that takes them can be tested without either.
use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time, to the microsecond at most.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// A source of random bytes that are fit for secrets.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), std::io::Error>;
}

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
