//! The canary: names that have to exist. While they cannot be looked up, the fault is Deed's and checks pause.
use tokio::sync::watch;

/// Whether the last look-up of the canary failed.
#[derive(Debug)]
pub(crate) struct CanaryState(watch::Sender<bool>);

impl Default for CanaryState {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl CanaryState {
    /// Records whether the canary fails.
    pub fn set_failing(&self, failing: bool) {
        self.0.send_replace(failing);
    }

    /// Waits until the canary fails.
    pub async fn wait_until_failing(&self) {
        // The sender lives in `self`, so the wait ends only when the canary fails.
        let _ = self.0.subscribe().wait_for(|failing| *failing).await;
    }

    pub fn is_failing(&self) -> bool {
        *self.0.borrow()
    }
}
