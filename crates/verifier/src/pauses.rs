//! The pauses between tries.
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Pauses that double from `first` on and end at `longest`, each with jitter: verifiers that failed at the same time do
/// not try again at the same time.
pub(crate) fn pauses(first: Duration, longest: Duration) -> impl Iterator<Item = Duration> {
    // Jitter makes a pause at most twice as long.
    let pauses = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest / 2);
    pauses.without_max_times().with_jitter().build()
}
