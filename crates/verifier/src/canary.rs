//! The canary: names that have to exist. While they cannot be looked up, the fault is Deed's and checks pause.
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Verifier;

/// Whether the last look-up of the canary failed.
#[derive(Debug)]
pub(crate) struct CanaryState(watch::Sender<bool>);

impl Default for CanaryState {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl CanaryState {
    /// Records that the canary fails.
    pub fn mark_failing(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the canary fails.
    pub async fn wait_until_failing(&self) {
        // The sender lives in `self`, so the wait ends only when the canary fails.
        let _ = self.0.subscribe().wait_for(|failing| *failing).await;
    }

    fn is_failing(&self) -> bool {
        *self.0.borrow()
    }
}

impl Verifier {
    /// Waits while the canary fails; returns at once when it does not.
    pub(crate) async fn wait_for_canary(&self, stop: &CancellationToken) {
        if !self.canary.is_failing() {
            return;
        }
        self.metrics.paused.set(1);
        tracing::error!(
            "names that have to exist cannot be asked for: the trouble is ours, and checks pause until it is over"
        );
        while stop.run_until_cancelled(tokio::time::sleep(self.config.canary_poll)).await.is_some() {
            if !self.probe.canary_failing().await {
                self.canary.0.send_replace(false);
                self.metrics.paused.set(0);
                tracing::info!("names that have to exist can be asked for again, and checks go on");
                return;
            }
        }
    }
}
