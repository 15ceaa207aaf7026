//! Tells the broker what became of deliveries: many with one word where that is true of all of them.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicRejectOptions},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::task_tracker::TaskTrackerToken,
};

use super::{
    CLOSING,
    ledger::{Ledger, Report, Tag},
    link::Live,
    trouble::within,
};

/// How long a word to the broker may wait for others to go with it.
const GATHERING: Duration = Duration::from_millis(5);

/// How long nothing comes before the subscription is made anew. A broker that deletes a queue tells its consumers, but
/// 3.10 does not when the queue is there again at once: they then wait for messages that will never come.
const IDLE: Duration = Duration::from_secs(20);

/// Who speaks for one subscription. It ends when the subscription does and everything in hand has been settled.
pub(super) struct Speaker {
    pub live: Arc<Live>,
    pub channel: Channel,
    pub stream: lapin::Consumer,
    pub ledger: Arc<Ledger>,
    /// The consumer has gone.
    pub dropped: CancellationToken,
    /// The bus is being closed.
    pub closed: CancellationToken,
    /// The bus is gone.
    pub stop: CancellationToken,
    /// Tells the consumer when this one is.
    pub _over: DropGuard,
}

impl Speaker {
    /// `receiving` is let go of when no more messages can come.
    pub async fn speak(mut self, receiving: TaskTrackerToken) {
        let mut receiving = Some(receiving);
        let mut look = interval(IDLE / 4);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next_tag, mut since) = (0, Instant::now());
        let well = loop {
            let ending = receiving.is_none();
            if ending && self.ledger.held() == 0 {
                break self.send(self.ledger.report());
            }
            tokio::select! {
                () = self.live.gone() => break false,
                () = self.stop.cancelled() => break self.send(self.ledger.report()),
                () = self.dropped.cancelled(), if !ending => {}
                () = self.closed.cancelled(), if !ending => {}
                () = self.ledger.now.notified() => {}
                () = self.ledger.soon.notified() => self.gather().await,
                _ = look.tick(), if !ending => {
                    let before = std::mem::replace(&mut next_tag, self.ledger.next_tag());
                    if before != next_tag || self.ledger.held() > 0 {
                        since = Instant::now();
                    } else if since.elapsed() >= IDLE {
                        break self.unsubscribe().await;
                    }
                }
            }
            // In this order: what is given back after its consumer has gone must not be sent to it again.
            let report = self.ledger.report();
            if (self.dropped.is_cancelled() || self.closed.is_cancelled())
                && let Some(receiving) = receiving.take()
            {
                let unsubscribed = self.unsubscribe().await;
                drop(receiving);
                if !unsubscribed {
                    break false;
                }
            }
            if !self.send(report) {
                break false;
            }
        };
        self.ledger.lose();
        if well && self.live.is_up() {
            // What is still in hand goes back to its queue with the channel.
            let _ = timeout(CLOSING, self.channel.close(200, "OK".into())).await;
        }
    }

    async fn gather(&self) {
        tokio::select! {
            () = sleep(GATHERING) => {}
            () = self.ledger.now.notified() => {}
            () = self.dropped.cancelled() => {}
            () = self.closed.cancelled() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Says whether the channel took all of it. The library sends in the order in which futures are first polled; that
    /// the bytes have left is not waited for.
    fn send(&self, report: Report) -> bool {
        // A rejection counts as a delivery on every broker; since 4.3 a negative acknowledgement does not.
        let reject =
            |tag, requeue| self.channel.basic_reject(tag, BasicRejectOptions { requeue }).now_or_never();
        let ack = |tag, multiple| self.channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never();
        let mut sent = true;
        for tag in report.requeue {
            sent &= !matches!(reject(tag, true), Some(Err(_)));
        }
        for tag in report.bury {
            sent &= !matches!(reject(tag, false), Some(Err(_)));
        }
        if let Some(tag) = report.done_up_to {
            sent &= !matches!(ack(tag, true), Some(Err(_)));
        }
        for tag in report.done {
            sent &= !matches!(ack(tag, false), Some(Err(_)));
        }
        sent && self.channel.status().connected()
    }

    /// No more messages; those that came and were not handed out go back. Says whether the broker has agreed.
    async fn unsubscribe(&mut self) -> bool {
        let tag = self.stream.tag();
        if within(self.channel.basic_cancel(tag, BasicCancelOptions::default())).await.is_err() {
            return false;
        }
        let mut unread: Vec<Tag> = Vec::new();
        while let Some(Some(Ok(delivery))) = self.stream.next().now_or_never() {
            unread.push(delivery.delivery_tag);
        }
        let give_back = BasicNackOptions { multiple: false, requeue: true };
        let mut nacks = unread.into_iter().map(|tag| self.channel.basic_nack(tag, give_back).now_or_never());
        nacks.all(|sent| !matches!(sent, Some(Err(_))))
    }
}
