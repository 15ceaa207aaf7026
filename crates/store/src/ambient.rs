//! Time and randomness as parameters, so that everything above them can be tested without either.
use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time, in microseconds at the finest.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}

/// Gives random bytes fit for secrets.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When the operating system has none to give.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), std::io::Error>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is to ask")]
        Utc::now().trunc_subsecs(6)
    }
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), std::io::Error> {
        #[expect(clippy::disallowed_methods, reason = "this is the source that everybody else is to ask")]
        getrandom::fill(bytes).map_err(|e| std::io::Error::other(e.to_string()))
    }
}
