//! The verifier's loop: a free hand first, then a message; stopping finishes what is in hand.
use std::{sync::Arc, time::Duration};

use deed_bus::{Bus, BusError, Consumer, Delivery, Topology};
use deed_trace::TraceContext;
use prometheus::IntGauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use crate::check::Verifier;
use crate::metrics::{DEAD, LEFT, REQUEUED};
use crate::spans;
use crate::work::{Poison, Work};

/// Deliveries after which work that the store has no answer for is left to the claim's due work, so that an outage
/// makes no dead letters.
const REQUEUES: u32 = 4;

/// The longest pause before work is given back, or the bus is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Does verification work until `stop`, then finishes what is in hand.
///
/// # Errors
/// When the bus was closed while the verifier was to run, or has no such queue.
pub async fn run_verifier(
    bus: &dyn Bus,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let system = bus.publisher().system();
    loop {
        verifier.until_well(&stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        let mut consumer = bus.consumer(Topology::VERIFICATION).await?;
        let mut tasks = JoinSet::new();
        let ended = fetch(&mut *consumer, system, &verifier, &mut tasks, &stop).await;
        // Only now may the consumer go: what is in hand is settled through it. What it has not handed out goes back to
        // the queue, where a pause cannot make it too old.
        drain(&mut tasks, verifier.config.drain).await;
        drop(consumer);
        match ended? {
            Ended::Stopped => return Ok(()),
            Ended::Unwell => {}
        }
    }
}

/// Why no more is fetched.
enum Ended {
    /// The verifier is to stop.
    Stopped,
    /// Not even names that have to exist can be asked for.
    Unwell,
}

async fn fetch(
    consumer: &mut dyn Consumer,
    system: &'static str,
    verifier: &Arc<Verifier>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<Ended, BusError> {
    let hands = Arc::new(Semaphore::new(verifier.config.hands()));
    let mut faults = 0;
    loop {
        while let Some(ended) = tasks.try_join_next() {
            report(ended);
        }
        let next = async {
            let hand = Arc::clone(&hands).acquire_owned().await;
            (hand, consumer.next().await)
        };
        let (hand, next) = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Ended::Stopped),
            () = verifier.canary.failing() => return Ok(Ended::Unwell),
            next = next => next,
        };
        let Ok(hand) = hand else { return Ok(Ended::Stopped) };
        match next {
            Ok(Some(delivery)) => {
                faults = 0;
                let (verifier, stop) = (Arc::clone(verifier), stop.clone());
                tasks.spawn(async move { verifier.handle(delivery, system, hand, &stop).await });
            }
            Ok(None) if stop.is_cancelled() => return Ok(Ended::Stopped),
            Ok(None) => return Err(BusError::Closed),
            Err(error @ (BusError::Closed | BusError::UnknownQueue(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no verification work can be fetched"
                );
                faults += 1;
                stop.run_until_cancelled(tokio::time::sleep(doubled(Duration::from_millis(250), faults)))
                    .await;
            }
        }
    }
}

/// Waits for what is in hand. What is not finished by then goes back to the queue.
async fn drain(tasks: &mut JoinSet<()>, deadline: Duration) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(deadline, all).await.is_err() {
        tracing::warn!(left = tasks.len(), "verification work was not finished in time and goes back");
        tasks.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "verification work panicked; its message goes back");
    }
}

/// `first`, doubled for each time after the first, up to the longest pause.
fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

impl Verifier {
    /// Does what one delivery asks for and settles it, with one hand.
    async fn handle(
        &self,
        delivery: Delivery,
        system: &'static str,
        hand: OwnedSemaphorePermit,
        stop: &CancellationToken,
    ) {
        let taken = Instant::now();
        self.metrics.in_flight.inc();
        let busy = Busy { gauge: &self.metrics.in_flight, _hand: hand };
        let result = self.settle(delivery, system, stop).await;
        drop(busy);
        self.metrics.message_duration.observe(taken.elapsed().as_secs_f64());
        if let Err(error) = result {
            // The broker delivers the message again, which then is stale.
            tracing::warn!(error = &error as &dyn std::error::Error, "a message could not be settled");
        }
    }

    async fn settle(
        &self,
        delivery: Delivery,
        system: &'static str,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let mut work = match Work::of(delivery.message()) {
            Ok(work) => work,
            Err(Poison::Newer) => {
                tracing::warn!(delivery = delivery.attempt(), "verification work is left to a newer version");
                return self.give_back(delivery, stop).await;
            }
            Err(poison) => {
                tracing::warn!(reason = %poison, "a message is no verification work");
                self.metrics.message(DEAD);
                return delivery.dead_letter(poison.to_string()).await;
            }
        };
        let span = spans::begin(&delivery, &work, system, self.clock.now());
        work.goes_on_in(TraceContext::of(&span));
        self.carry_out(delivery, &work, stop).instrument(span).await
    }

    async fn carry_out(
        &self,
        delivery: Delivery,
        work: &Work,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        match self.work(work).await {
            Ok(settled) => {
                self.metrics.message(settled.as_str());
                spans::settled(settled);
                delivery.done().await
            }
            Err(trouble) => {
                spans::troubled(&trouble);
                tracing::warn!(
                    claim = %work.claim_id, delivery = delivery.attempt(), error = &trouble as &dyn std::error::Error,
                    "verification work has to wait"
                );
                self.give_back(delivery, stop).await
            }
        }
    }

    /// After a pause. What nobody could do for long is left to the claim's due work, which will ask again.
    async fn give_back(&self, delivery: Delivery, stop: &CancellationToken) -> Result<(), BusError> {
        // The hand is kept meanwhile: what cannot be recorded need not be fetched.
        stop.run_until_cancelled(tokio::time::sleep(doubled(self.config.pause, delivery.attempt()))).await;
        if delivery.attempt() > REQUEUES {
            self.metrics.message(LEFT);
            return delivery.done().await;
        }
        self.metrics.message(REQUEUED);
        delivery.requeue().await
    }
}

/// One hand at work.
struct Busy<'a> {
    gauge: &'a IntGauge,
    _hand: OwnedSemaphorePermit,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests;
