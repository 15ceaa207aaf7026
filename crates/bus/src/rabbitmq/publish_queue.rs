//! The publisher's queue: which calls wait, which messages are sent next, and the outcome that each call is given.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{broker_error::BrokerError, wire::OutboundMessage};
use crate::{BusError, PublishOutcome};

/// The pause before refused messages are sent again: doubled each time, up to the longest.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_RETRY_PAUSE: Duration = Duration::from_millis(200);

pub(super) type PublishResult = Result<Vec<PublishOutcome>, BusError>;

/// One call to publish.
pub(super) struct PublishRequest {
    pub messages: Vec<OutboundMessage>,
    pub deadline: Instant,
    pub reply: oneshot::Sender<PublishResult>,
}

/// The broker's confirm of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    /// `basic.ack`.
    Ack,
    /// `basic.nack`.
    Nack,
    /// `basic.return`: a mandatory message that no queue is bound to.
    Returned,
    /// No confirm came: the channel is gone.
    Lost,
}

/// Identifies one message that was sent and is not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InFlightId {
    request: u64,
    index: usize,
}

struct PendingRequest {
    request: PublishRequest,
    /// The last known outcome of each message.
    outcomes: Vec<Option<PublishOutcome>>,
    /// Indexes of the messages still to be sent, in order.
    unsent: VecDeque<usize>,
    in_flight: bool,
    not_before: Instant,
    retry_pause: Duration,
}

impl PendingRequest {
    fn is_ready(&self, now: Instant) -> bool {
        !self.in_flight && !self.unsent.is_empty() && self.not_before <= now
    }

    fn is_finished(&self) -> bool {
        !self.in_flight && self.unsent.is_empty()
    }

    /// The outcomes at the deadline, when the broker refused the first unsent message. Messages that had to wait behind
    /// it have the same outcome.
    fn outcomes_at_deadline(&self) -> Option<Vec<PublishOutcome>> {
        let first = *self.unsent.front()?;
        let refused = self.outcomes[first].filter(|_| !self.in_flight)?;
        Some(self.outcomes.iter().map(|outcome| outcome.unwrap_or(refused)).collect())
    }

    fn record_confirm(&mut self, index: usize, confirm: Confirm, now: Instant) {
        let has_queue = self.request.messages[index].has_queue;
        self.outcomes[index] = match confirm {
            Confirm::Ack => Some(PublishOutcome::Confirmed),
            Confirm::Returned => Some(PublishOutcome::Unroutable),
            Confirm::Nack if has_queue => Some(PublishOutcome::Full),
            Confirm::Nack => Some(PublishOutcome::Rejected),
            Confirm::Lost => None,
        };
        // A queue of the topology that does not exist will be declared, so the message is worth another try.
        let send_again = confirm == Confirm::Nack || (confirm == Confirm::Returned && has_queue);
        if send_again {
            // Once for each window, whichever of its messages were refused.
            if self.not_before <= now {
                self.not_before = now + self.retry_pause;
                self.retry_pause = (self.retry_pause * 2).min(LONGEST_RETRY_PAUSE);
            }
            self.unsent.push_front(index);
        }
        self.in_flight = false;
    }
}

/// All calls that wait, in the order they came in. A call whose messages were refused lets later calls pass.
#[derive(Default)]
pub(super) struct PublishQueue {
    requests: BTreeMap<u64, PendingRequest>,
    last_number: u64,
}

impl PublishQueue {
    pub fn push(&mut self, request: PublishRequest, now: Instant) {
        self.last_number += 1;
        let count = request.messages.len();
        let pending = PendingRequest {
            request,
            outcomes: vec![None; count],
            unsent: (0..count).collect(),
            in_flight: false,
            not_before: now,
            retry_pause: RETRY_PAUSE,
        };
        self.requests.insert(self.last_number, pending);
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.requests.values().any(|pending| pending.is_ready(now))
    }

    /// The next messages to send, at most `limit`. Calls whose caller has gone are removed.
    pub fn next_window(&mut self, limit: usize, now: Instant) -> Vec<InFlightId> {
        self.requests.retain(|_, pending| !pending.request.reply.is_closed());
        let mut window = Vec::new();
        for (&request, pending) in self.requests.iter_mut().filter(|(_, pending)| pending.is_ready(now)) {
            let count = pending.unsent.len().min(limit - window.len());
            pending.in_flight = count > 0;
            window.extend(pending.unsent.drain(..count).map(|index| InFlightId { request, index }));
            if window.len() == limit {
                break;
            }
        }
        window
    }

    /// The message with this id, unless its call has been answered meanwhile.
    pub fn message(&self, id: InFlightId) -> Option<&OutboundMessage> {
        self.requests.get(&id.request)?.request.messages.get(id.index)
    }

    /// Whether a caller still waits for one of these messages.
    pub fn awaits(&self, window: &[InFlightId]) -> bool {
        window.iter().any(|id| self.requests.contains_key(&id.request))
    }

    /// Records the confirms of a window, and answers the calls that are finished. Refused messages are sent again,
    /// before those that follow them.
    pub fn record_confirms(&mut self, window: &[InFlightId], confirms: &[Confirm], now: Instant) {
        for (id, confirm) in window.iter().zip(confirms).rev() {
            if let Some(pending) = self.requests.get_mut(&id.request) {
                pending.record_confirm(id.index, *confirm, now);
            }
        }
        self.fail_lost(window, confirms);
        self.answer_finished();
    }

    fn fail_lost(&mut self, window: &[InFlightId], confirms: &[Confirm]) {
        for (id, _) in window.iter().zip(confirms).filter(|(_, confirm)| **confirm == Confirm::Lost) {
            self.answer(id.request, |_| Err(BrokerError::NotConnected.into()));
        }
    }

    fn answer_finished(&mut self) {
        let finished = self.requests.iter().filter(|(_, pending)| pending.is_finished());
        let finished: Vec<u64> = finished.map(|(&request, _)| request).collect();
        for request in finished {
            self.answer(request, |pending| {
                let outcomes = pending.outcomes.iter().copied().collect::<Option<Vec<_>>>();
                outcomes.ok_or_else(|| BrokerError::Timeout.into())
            });
        }
    }

    fn answer(&mut self, request: u64, result: impl FnOnce(&PendingRequest) -> PublishResult) {
        if let Some(pending) = self.requests.remove(&request) {
            let result = result(&pending);
            // The caller may have gone.
            let _ = pending.request.reply.send(result);
        }
    }

    /// Answers the calls whose deadline is over; `error` says why their messages could not be sent.
    pub fn expire(&mut self, now: Instant, error: impl Fn() -> BrokerError) {
        let expired = self.requests.iter().filter(|(_, pending)| pending.request.deadline <= now);
        let expired: Vec<u64> = expired.map(|(&request, _)| request).collect();
        for request in expired {
            self.answer(request, |pending| pending.outcomes_at_deadline().ok_or_else(|| error().into()));
        }
    }

    /// When the next retry or deadline is due.
    pub fn next_event(&self) -> Option<Instant> {
        let events = self.requests.values().map(|pending| {
            let has_retry = !pending.in_flight && !pending.unsent.is_empty();
            let deadline = pending.request.deadline;
            if has_retry { deadline.min(pending.not_before) } else { deadline }
        });
        events.min()
    }

    /// The earliest deadline of all calls.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.requests.values().map(|pending| pending.request.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Requirement};

    struct QueuedCall {
        queue: PublishQueue,
        result: oneshot::Receiver<PublishResult>,
        now: Instant,
    }

    fn message(id: usize, has_queue: bool) -> OutboundMessage {
        let message = Message {
            id: id.to_string(),
            routing_key: "a.b".parse().unwrap(),
            content_type: "text/plain".to_owned(),
            body: [].into(),
            headers: BTreeMap::new(),
            requirement: Requirement::Mandatory,
        };
        OutboundMessage::to_exchange(&message, "exchange", has_queue).unwrap()
    }

    fn call(count: usize) -> QueuedCall {
        let (reply, result) = oneshot::channel();
        let (mut queue, now) = (PublishQueue::default(), Instant::now());
        let messages = (0..count).map(|id| message(id, true)).collect();
        queue.push(PublishRequest { messages, deadline: now + Duration::from_secs(5), reply }, now);
        QueuedCall { queue, result, now }
    }

    fn ids(queue: &PublishQueue, window: &[InFlightId]) -> Vec<String> {
        window.iter().map(|id| queue.message(*id).unwrap().identity().1.to_owned()).collect()
    }

    #[tokio::test]
    async fn sends_a_call_in_windows_and_answers_after_all_acks() {
        let QueuedCall { mut queue, mut result, now } = call(5);
        for expected in [&["0", "1"][..], &["2", "3"], &["4"]] {
            assert!(result.try_recv().is_err());
            let window = queue.next_window(2, now);
            assert_eq!(ids(&queue, &window), expected);
            assert!(!queue.is_ready(now), "nothing is sent while messages are in flight");
            queue.record_confirms(&window, &vec![Confirm::Ack; window.len()], now);
        }
        assert_eq!(result.try_recv().unwrap().unwrap(), [PublishOutcome::Confirmed; 5]);
    }

    #[tokio::test]
    async fn retries_refused_messages_first_after_a_pause() {
        let QueuedCall { mut queue, mut result, now } = call(4);
        let window = queue.next_window(3, now);
        queue.record_confirms(&window, &[Confirm::Nack, Confirm::Ack, Confirm::Nack], now);
        assert!(!queue.is_ready(now));
        let later = queue.next_event().unwrap();
        assert!(later > now && later < now + Duration::from_secs(1));
        let window = queue.next_window(3, later);
        assert_eq!(ids(&queue, &window), ["0", "2", "3"]);
        queue.record_confirms(&window, &[Confirm::Ack; 3], later);
        assert_eq!(result.try_recv().unwrap().unwrap(), [PublishOutcome::Confirmed; 4]);
    }

    #[tokio::test]
    async fn pauses_when_only_an_earlier_message_was_refused() {
        let QueuedCall { mut queue, result: _result, now } = call(2);
        let window = queue.next_window(2, now);
        queue.record_confirms(&window, &[Confirm::Nack, Confirm::Ack], now);
        assert!(!queue.is_ready(now));
        let later = queue.next_event().unwrap();
        let window = queue.next_window(2, later);
        assert_eq!(ids(&queue, &window), ["0"]);
    }

    #[tokio::test]
    async fn deadline_reports_full_if_refused_and_error_if_in_flight() {
        use PublishOutcome::{Confirmed, Full};
        let QueuedCall { mut queue, mut result, now } = call(3);
        let window = queue.next_window(2, now);
        queue.record_confirms(&window, &[Confirm::Ack, Confirm::Nack], now);
        queue.expire(now + Duration::from_secs(5), || BrokerError::Timeout);
        assert_eq!(result.try_recv().unwrap().unwrap(), [Confirmed, Full, Full]);

        let QueuedCall { mut queue, mut result, now } = call(1);
        let window = queue.next_window(1, now);
        queue.expire(now + Duration::from_secs(5), || BrokerError::Timeout);
        assert!(result.try_recv().unwrap().is_err());
        assert!(!queue.awaits(&window));
        queue.record_confirms(&window, &[Confirm::Ack], now);
    }

    #[tokio::test]
    async fn lost_channel_fails_in_flight_calls_only() {
        let QueuedCall { mut queue, mut result, now } = call(1);
        let (reply, mut other) = oneshot::channel();
        let request = PublishRequest {
            messages: vec![message(1, true)],
            deadline: now + Duration::from_secs(5),
            reply,
        };
        queue.push(request, now);
        let window = queue.next_window(1, now);
        queue.record_confirms(&window, &[Confirm::Lost], now);
        assert!(result.try_recv().unwrap().is_err());
        assert!(other.try_recv().is_err());
        assert_eq!(
            ids(
                &queue,
                &queue.requests.keys().map(|&request| InFlightId { request, index: 0 }).collect::<Vec<_>>()
            ),
            ["1"]
        );
    }

    #[tokio::test]
    async fn forgets_gone_callers_and_lets_others_pass_a_refused_one() {
        let QueuedCall { mut queue, result, now } = call(1);
        let window = queue.next_window(1, now);
        queue.record_confirms(&window, &[Confirm::Nack], now);
        let (reply, _other) = oneshot::channel();
        let request = PublishRequest {
            messages: vec![message(7, true)],
            deadline: now + Duration::from_secs(5),
            reply,
        };
        queue.push(request, now);
        assert_eq!(
            ids(
                &queue,
                &queue.requests.keys().map(|&request| InFlightId { request, index: 0 }).collect::<Vec<_>>()
            ),
            ["0", "7"]
        );
        let window = queue.next_window(10, now);
        assert_eq!(ids(&queue, &window), ["7"]);
        drop(result);
        queue.record_confirms(&window, &[Confirm::Ack], now);
        assert!(queue.next_window(10, now + Duration::from_secs(1)).is_empty());
        assert_eq!(queue.next_deadline(), None);
    }

    #[tokio::test]
    async fn retries_returned_messages_of_declared_queues_only() {
        let (reply, mut result) = oneshot::channel();
        let (mut queue, now) = (PublishQueue::default(), Instant::now());
        let messages = vec![message(0, false), message(1, true)];
        queue.push(PublishRequest { messages, deadline: now + Duration::from_secs(5), reply }, now);
        let window = queue.next_window(2, now);
        queue.record_confirms(&window, &[Confirm::Returned; 2], now);
        let later = now + Duration::from_secs(1);
        let window = queue.next_window(2, later);
        assert_eq!(ids(&queue, &window), ["1"]);
        queue.record_confirms(&window, &[Confirm::Ack], later);
        assert_eq!(
            result.try_recv().unwrap().unwrap(),
            [PublishOutcome::Unroutable, PublishOutcome::Confirmed]
        );
    }
}
