//! Whether names that have to exist can be asked for: while they cannot, the trouble is ours and nobody is checked.
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Verifier;

/// What is known of the canary.
#[derive(Debug)]
pub(crate) struct Canary(watch::Sender<bool>);

impl Default for Canary {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Canary {
    /// Somebody found that it fails.
    pub fn fails(&self) {
        self.0.send_replace(true);
    }

    /// Ends when it is known to fail.
    pub async fn failing(&self) {
        // The sender is ours, so that the wait ends with a failing canary alone.
        let _ = self.0.subscribe().wait_for(|failing| *failing).await;
    }

    fn is_failing(&self) -> bool {
        *self.0.borrow()
    }
}

impl Verifier {
    /// Waits until names that have to exist can be asked for; not at all where nobody has found otherwise.
    pub(crate) async fn until_well(&self, stop: &CancellationToken) {
        if !self.canary.is_failing() {
            return;
        }
        self.metrics.paused.set(1);
        tracing::error!(
            "names that have to exist cannot be asked for: the trouble is ours, and checks pause until it is over"
        );
        while stop.run_until_cancelled(tokio::time::sleep(self.config.canary_poll)).await.is_some() {
            if !self.look.canary_failing().await {
                self.canary.0.send_replace(false);
                self.metrics.paused.set(0);
                tracing::info!("names that have to exist can be asked for again, and checks go on");
                return;
            }
        }
    }
}
