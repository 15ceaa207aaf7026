//! The clock and the source of randomness, as parameters: code that takes them can be tested without either.
use chrono::{DateTime, Utc};

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
