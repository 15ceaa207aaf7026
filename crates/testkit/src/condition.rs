//! Waits for a condition with a deadline instead of a fixed sleep.
use std::time::Duration;

/// Polls `probe` until it returns a value, for at most `timeout`.
///
/// # Panics
/// When the timeout expires; `what` describes the condition.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {timeout:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
