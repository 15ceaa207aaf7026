//! Writes acknowledgements to the broker, in batches: one `basic.ack` with `multiple` covers many deliveries.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicRejectOptions},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::task_tracker::TaskTrackerToken,
};

use super::{
    CLOSE_TIMEOUT,
    broker_error::within_deadline,
    connection::Connection,
    delivery_tracker::{AckBatch, DeliveryTag, DeliveryTracker},
};

/// How long an acknowledgement may wait for others to share its batch.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// How long a subscription may stay without deliveries before it is replaced. A broker that deletes a queue cancels
/// the consumers of it, but 3.10 does not when the queue is declared again at once: such consumers would wait for ever.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Acknowledges the deliveries of one subscription. Ends when the subscription has ended and every delivery of it is
/// settled.
pub(super) struct AckWriter {
    pub connection: Arc<Connection>,
    pub channel: Channel,
    pub stream: lapin::Consumer,
    pub deliveries: Arc<DeliveryTracker>,
    /// Held while the broker may still send messages.
    pub receiving: Option<TaskTrackerToken>,
    /// Cancelled when the consumer is dropped.
    pub dropped: CancellationToken,
    /// Cancelled when the bus is being closed.
    pub closed: CancellationToken,
    /// Cancelled when the bus is gone.
    pub stop: CancellationToken,
    /// Tells the consumer that this writer has ended.
    pub _ended: DropGuard,
}

/// Why the writer woke up.
enum Wake {
    /// Deliveries were settled, or the subscription is to be cancelled.
    Write,
    /// Nothing was delivered for [`IDLE_TIMEOUT`].
    Idle,
    /// The bus is gone.
    Stop,
    ConnectionLost,
}

/// Whether the channel took everything that was written to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    Usable,
    Failed,
}

impl ChannelState {
    fn of(is_usable: bool) -> Self {
        if is_usable { Self::Usable } else { Self::Failed }
    }
}

/// Notices when a subscription has been without deliveries for [`IDLE_TIMEOUT`].
struct IdleTimer {
    ticks: Interval,
    next_tag: DeliveryTag,
    idle_since: Instant,
}

impl IdleTimer {
    fn start() -> Self {
        let mut ticks = interval(IDLE_TIMEOUT / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, next_tag: 0, idle_since: Instant::now() }
    }

    /// Whether the subscription is idle: no delivery came in all that time, and none is unsettled.
    fn has_expired(&mut self, deliveries: &DeliveryTracker) -> bool {
        let previous_tag = std::mem::replace(&mut self.next_tag, deliveries.next_tag());
        if previous_tag != self.next_tag || deliveries.unsettled() > 0 {
            self.idle_since = Instant::now();
            return false;
        }
        self.idle_since.elapsed() >= IDLE_TIMEOUT
    }
}

impl AckWriter {
    pub async fn run(mut self) {
        let state = self.write_until_ended().await;
        self.deliveries.mark_lost();
        if state == ChannelState::Usable && self.connection.is_up() {
            // The broker requeues unsettled deliveries when it closes the channel.
            let _ = timeout(CLOSE_TIMEOUT, self.channel.close(200, "OK".into())).await;
        }
    }

    async fn write_until_ended(&mut self) -> ChannelState {
        let mut idle = IdleTimer::start();
        loop {
            if self.receiving.is_none() && self.deliveries.unsettled() == 0 {
                return self.send(self.deliveries.take_batch());
            }
            match self.wait(&mut idle).await {
                Wake::Write => {}
                Wake::Idle => return self.cancel_subscription().await,
                Wake::Stop => return self.send(self.deliveries.take_batch()),
                Wake::ConnectionLost => return ChannelState::Failed,
            }
            // The batch is taken before the subscription is cancelled and sent afterwards: otherwise the broker could
            // send a requeued message again to the consumer that is gone.
            let batch = self.deliveries.take_batch();
            if self.stop_receiving().await == ChannelState::Failed || self.send(batch) == ChannelState::Failed
            {
                return ChannelState::Failed;
            }
        }
    }

    /// Waits until there is something to write, or a reason to end.
    async fn wait(&self, idle: &mut IdleTimer) -> Wake {
        let is_receiving = self.receiving.is_some();
        tokio::select! {
            () = self.connection.lost() => Wake::ConnectionLost,
            () = self.stop.cancelled() => Wake::Stop,
            () = self.dropped.cancelled(), if is_receiving => Wake::Write,
            () = self.closed.cancelled(), if is_receiving => Wake::Write,
            () = self.deliveries.flush_now.notified() => Wake::Write,
            () = self.deliveries.flush_soon.notified() => {
                self.fill_batch().await;
                Wake::Write
            }
            _ = idle.ticks.tick(), if is_receiving => {
                if idle.has_expired(&self.deliveries) { Wake::Idle } else { Wake::Write }
            }
        }
    }

    /// Gives further acknowledgements a moment to join the batch.
    async fn fill_batch(&self) {
        tokio::select! {
            () = sleep(BATCH_DELAY) => {}
            () = self.deliveries.flush_now.notified() => {}
            () = self.dropped.cancelled() => {}
            () = self.closed.cancelled() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Cancels the subscription once, when its consumer is dropped or the bus is being closed.
    async fn stop_receiving(&mut self) -> ChannelState {
        if !self.dropped.is_cancelled() && !self.closed.is_cancelled() {
            return ChannelState::Usable;
        }
        let Some(receiving) = self.receiving.take() else { return ChannelState::Usable };
        let state = self.cancel_subscription().await;
        drop(receiving);
        state
    }

    /// Writes a batch to the channel. The library sends in the order in which futures are first polled; this does not
    /// wait until the bytes are on the wire.
    fn send(&self, batch: AckBatch) -> ChannelState {
        // A rejection counts as a delivery on every broker; since 4.3 a negative acknowledgement does not.
        let reject =
            |tag, requeue| self.channel.basic_reject(tag, BasicRejectOptions { requeue }).now_or_never();
        let ack = |tag, multiple| self.channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never();
        let mut sent = true;
        for tag in batch.requeue {
            sent &= !matches!(reject(tag, true), Some(Err(_)));
        }
        for tag in batch.dead_letter {
            sent &= !matches!(reject(tag, false), Some(Err(_)));
        }
        if let Some(tag) = batch.ack_up_to {
            sent &= !matches!(ack(tag, true), Some(Err(_)));
        }
        for tag in batch.ack {
            sent &= !matches!(ack(tag, false), Some(Err(_)));
        }
        ChannelState::of(sent && self.channel.status().connected())
    }

    /// Sends `basic.cancel`, and requeues the messages that arrived and were never handed out.
    async fn cancel_subscription(&mut self) -> ChannelState {
        let tag = self.stream.tag();
        if within_deadline(self.channel.basic_cancel(tag, BasicCancelOptions::default())).await.is_err() {
            return ChannelState::Failed;
        }
        let mut unread: Vec<DeliveryTag> = Vec::new();
        while let Some(Some(Ok(delivery))) = self.stream.next().now_or_never() {
            unread.push(delivery.delivery_tag);
        }
        let requeue = BasicNackOptions { multiple: false, requeue: true };
        let mut nacks = unread.into_iter().map(|tag| self.channel.basic_nack(tag, requeue).now_or_never());
        ChannelState::of(nacks.all(|sent| !matches!(sent, Some(Err(_)))))
    }
}
