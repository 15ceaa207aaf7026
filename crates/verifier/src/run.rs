//! The verifier's loop: waits for a free permit, then takes a message; on stop it finishes the work in flight.
use std::{sync::Arc, time::Duration};

use deed_bus::{Bus, BusError, Consumer, Delivery};
use deed_messages::{InvalidWork, VerificationWork, queues};
use prometheus::IntGauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::check::Verifier;
use crate::metrics::{DEAD, LEFT, REQUEUED};
use crate::pauses::pauses;
use crate::spans;

/// After this many deliveries, work that the store does not answer for is acknowledged and left to the claim's due
/// work, so that an outage makes no dead letters.
const MAX_REQUEUES: u32 = 4;

/// The longest pause before a message is requeued, or the bus is asked again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Processes verification work until `stop`, then finishes the work in flight.
///
/// # Errors
/// When the bus was closed before `stop`, or has no such queue.
pub async fn run_verifier(
    bus: &dyn Bus,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let system = bus.publisher().system();
    loop {
        verifier.wait_for_canary(&stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        let mut consumer = bus.consumer(queues::VERIFICATION).await?;
        let mut tasks = JoinSet::new();
        let ended = consume(&mut *consumer, system, &verifier, &mut tasks, &stop).await;
        // The consumer is dropped only now, since the work in flight is settled through it. Its prefetched messages go
        // back to the queue, where a pause does not make them too old.
        drain(&mut tasks, verifier.config.drain).await;
        drop(consumer);
        match ended? {
            ConsumeEnd::Stopped => return Ok(()),
            ConsumeEnd::CanaryFailing => {}
        }
    }
}

/// Why no more messages are consumed.
enum ConsumeEnd {
    /// The stop signal came.
    Stopped,
    /// The canary fails.
    CanaryFailing,
}

async fn consume(
    consumer: &mut dyn Consumer,
    system: &'static str,
    verifier: &Arc<Verifier>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<ConsumeEnd, BusError> {
    let permits = Arc::new(Semaphore::new(verifier.config.concurrency()));
    let mut failure_pauses = fetch_pauses();
    loop {
        while let Some(ended) = tasks.try_join_next() {
            log_panic(ended);
        }
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, consumer.next().await)
        };
        let (permit, next) = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(ConsumeEnd::Stopped),
            () = verifier.canary.wait_until_failing() => return Ok(ConsumeEnd::CanaryFailing),
            next = next => next,
        };
        let Ok(permit) = permit else { return Ok(ConsumeEnd::Stopped) };
        match next {
            Ok(Some(delivery)) => {
                failure_pauses = fetch_pauses();
                let (verifier, stop) = (Arc::clone(verifier), stop.clone());
                tasks.spawn(async move { verifier.handle(delivery, system, permit, &stop).await });
            }
            Ok(None) if stop.is_cancelled() => return Ok(ConsumeEnd::Stopped),
            Ok(None) => return Err(BusError::Closed),
            Err(error @ (BusError::Closed | BusError::UnknownQueue(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot consume verification work");
                let pause = failure_pauses.next().unwrap_or(MAX_PAUSE);
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
    }
}

/// Waits for the work in flight. Work that is not finished by the deadline is cancelled, and its messages go back to
/// the queue.
async fn drain(tasks: &mut JoinSet<()>, deadline: Duration) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    };
    if tokio::time::timeout(deadline, all).await.is_err() {
        tracing::warn!(
            left = tasks.len(),
            "stopping: requeued verification work that did not finish in time"
        );
        tasks.shutdown().await;
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "verification work panicked; its message is requeued");
    }
}

/// The pauses between tries to fetch work.
fn fetch_pauses() -> impl Iterator<Item = Duration> {
    pauses(Duration::from_millis(250), MAX_PAUSE)
}

impl Verifier {
    /// Waits while the canary fails; returns at once when it does not.
    async fn wait_for_canary(&self, stop: &CancellationToken) {
        if !self.canary.is_failing() {
            return;
        }
        self.metrics.paused.set(1);
        tracing::error!(
            "the canary cannot be looked up, so the fault is on our side; checks pause until it can"
        );
        while stop.run_until_cancelled(tokio::time::sleep(self.config.canary_poll)).await.is_some() {
            if !self.probe.canary_failing().await {
                self.canary.set_failing(false);
                self.metrics.paused.set(0);
                tracing::info!("the canary can be looked up again; checks continue");
                return;
            }
        }
    }

    /// Processes one delivery and settles it, under one permit.
    async fn handle(
        &self,
        delivery: Delivery,
        system: &'static str,
        permit: OwnedSemaphorePermit,
        stop: &CancellationToken,
    ) {
        let taken = Instant::now();
        self.metrics.in_flight.inc();
        let counted = CountedPermit { gauge: &self.metrics.in_flight, _permit: permit };
        let result = self.process(delivery, system, stop).await;
        drop(counted);
        self.metrics.message_duration.observe(taken.elapsed().as_secs_f64());
        if let Err(error) = result {
            // The broker delivers the message again, and the verifier then finds it stale.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot settle a message");
        }
    }

    async fn process(
        &self,
        delivery: Delivery,
        system: &'static str,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let mut work = match VerificationWork::from_json(&delivery.message().body) {
            Ok(work) => work,
            Err(InvalidWork::Newer) => {
                tracing::warn!(
                    delivery = delivery.attempt(),
                    "requeued verification work of a newer version"
                );
                return self.requeue(delivery, stop).await;
            }
            Err(invalid) => {
                tracing::warn!(reason = %invalid, "dead-lettered a message that is not verification work");
                self.metrics.count_message(DEAD);
                return delivery.dead_letter(invalid.to_string()).await;
            }
        };
        let span = spans::begin(&delivery, &work, system, self.clock.now());
        // The events that result belong to the trace of this span.
        work.trace = deed_trace::context_of(&span).or(work.trace);
        self.carry_out(delivery, &work, stop).instrument(span).await
    }

    async fn carry_out(
        &self,
        delivery: Delivery,
        work: &VerificationWork,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        match self.work(work).await {
            Ok(outcome) => {
                self.metrics.count_message(outcome.as_str());
                spans::record_outcome(outcome);
                delivery.acknowledge().await
            }
            Err(error) => {
                spans::record_error(&error);
                tracing::warn!(
                    claim = %work.claim_id, delivery = delivery.attempt(), error = &error as &dyn std::error::Error,
                    "cannot record verification work now; its message is requeued"
                );
                self.requeue(delivery, stop).await
            }
        }
    }

    /// Requeues a message after a pause. After several deliveries it is acknowledged and left to the claim's due work.
    async fn requeue(&self, delivery: Delivery, stop: &CancellationToken) -> Result<(), BusError> {
        // The permit is kept during the pause: while work cannot be recorded, no more has to be fetched.
        let earlier = delivery.attempt().saturating_sub(1).min(MAX_REQUEUES) as usize;
        let pause = pauses(self.config.pause, MAX_PAUSE).nth(earlier).unwrap_or(MAX_PAUSE);
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        if delivery.attempt() > MAX_REQUEUES {
            self.metrics.count_message(LEFT);
            return delivery.acknowledge().await;
        }
        self.metrics.count_message(REQUEUED);
        delivery.requeue().await
    }
}

/// A permit that is counted in the gauge of checks in flight.
struct CountedPermit<'a> {
    gauge: &'a IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for CountedPermit<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests;
