//! The publisher's books: who waits for what, which messages go next, and what each waiting caller is told.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{trouble::Trouble, wire::Outgoing};
use crate::{BusError, PublishOutcome};

/// The pause before what was refused is sent again: doubled each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

pub(super) type Answer = Result<Vec<PublishOutcome>, BusError>;

/// One call to publish.
pub(super) struct Job {
    pub messages: Vec<Outgoing>,
    pub deadline: Instant,
    pub reply: oneshot::Sender<Answer>,
}

/// What the broker made of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    Refused,
    Returned,
    /// It never said: the channel is gone.
    Lost,
}

/// One message that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slip {
    job: u64,
    index: usize,
}

struct Pending {
    job: Job,
    /// What has been heard of each message so far.
    outcomes: Vec<Option<PublishOutcome>>,
    /// Those still to be sent, in order.
    todo: VecDeque<usize>,
    under_way: bool,
    not_before: Instant,
    pause: Duration,
}

impl Pending {
    fn is_ready(&self, now: Instant) -> bool {
        !self.under_way && !self.todo.is_empty() && self.not_before <= now
    }

    /// What was refused until the deadline is known. What had to stay behind it has met the same fate.
    fn outcomes_at_deadline(&self) -> Option<Vec<PublishOutcome>> {
        let first = *self.todo.front()?;
        let refused = self.outcomes[first].filter(|_| !self.under_way)?;
        Some(self.outcomes.iter().map(|outcome| outcome.unwrap_or(refused)).collect())
    }
}

/// All calls that wait. Jobs are served in the order they came in; one that was refused lets the others pass.
#[derive(Default)]
pub(super) struct Desk {
    jobs: BTreeMap<u64, Pending>,
    taken_in: u64,
}

impl Desk {
    pub fn take_in(&mut self, job: Job, now: Instant) {
        self.taken_in += 1;
        let count = job.messages.len();
        let pending = Pending {
            job,
            outcomes: vec![None; count],
            todo: (0..count).collect(),
            under_way: false,
            not_before: now,
            pause: PAUSE,
        };
        self.jobs.insert(self.taken_in, pending);
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.jobs.values().any(|pending| pending.is_ready(now))
    }

    /// The next messages to send, at most `most`. Whoever no longer waits is forgotten.
    pub fn window(&mut self, most: usize, now: Instant) -> Vec<Slip> {
        self.jobs.retain(|_, pending| !pending.job.reply.is_closed());
        let mut window = Vec::new();
        for (&job, pending) in self.jobs.iter_mut().filter(|(_, pending)| pending.is_ready(now)) {
            let count = pending.todo.len().min(most - window.len());
            pending.under_way = count > 0;
            window.extend(pending.todo.drain(..count).map(|index| Slip { job, index }));
            if window.len() == most {
                break;
            }
        }
        window
    }

    /// The message of a slip, unless its caller has been answered meanwhile.
    pub fn message(&self, slip: Slip) -> Option<&Outgoing> {
        self.jobs.get(&slip.job)?.job.messages.get(slip.index)
    }

    /// Whether anybody still waits for one of these.
    pub fn awaits(&self, window: &[Slip]) -> bool {
        window.iter().any(|slip| self.jobs.contains_key(&slip.job))
    }

    /// Books what became of a window. What was refused is sent again, before what comes after it.
    pub fn book(&mut self, window: &[Slip], verdicts: &[Verdict], now: Instant) {
        for (slip, verdict) in window.iter().zip(verdicts).rev() {
            let Some(pending) = self.jobs.get_mut(&slip.job) else { continue };
            let expected = pending.job.messages[slip.index].expected;
            pending.outcomes[slip.index] = match verdict {
                Verdict::Taken => Some(PublishOutcome::Confirmed),
                Verdict::Returned => Some(PublishOutcome::Unroutable),
                Verdict::Refused if expected => Some(PublishOutcome::Full),
                Verdict::Refused => Some(PublishOutcome::Rejected),
                Verdict::Lost => None,
            };
            // A queue of the topology that is not there is put there.
            let again = *verdict == Verdict::Refused || (*verdict == Verdict::Returned && expected);
            if again {
                if pending.under_way {
                    pending.not_before = now + pending.pause;
                    pending.pause = (pending.pause * 2).min(LONGEST_PAUSE);
                }
                pending.todo.push_front(slip.index);
            }
            pending.under_way = false;
        }
        if verdicts.contains(&Verdict::Lost) {
            self.fail_lost(window, verdicts);
        }
        self.answer_finished();
    }

    fn fail_lost(&mut self, window: &[Slip], verdicts: &[Verdict]) {
        for (slip, _) in window.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Lost) {
            self.answer(slip.job, |_| Err(Trouble::NotConnected.into()));
        }
    }

    fn answer_finished(&mut self) {
        let finished = |pending: &Pending| pending.todo.is_empty() && !pending.under_way;
        let jobs: Vec<u64> =
            self.jobs.iter().filter(|(_, pending)| finished(pending)).map(|(&job, _)| job).collect();
        for job in jobs {
            self.answer(job, |pending| {
                let outcomes = pending.outcomes.iter().copied().collect::<Option<Vec<_>>>();
                outcomes.ok_or_else(|| Trouble::Silent.into())
            });
        }
    }

    fn answer(&mut self, job: u64, answer: impl FnOnce(&Pending) -> Answer) {
        if let Some(pending) = self.jobs.remove(&job) {
            let answer = answer(&pending);
            // Nobody has to wait for it.
            let _ = pending.job.reply.send(answer);
        }
    }

    /// Answers those whose deadline is over; `why` is what kept the others from being sent.
    pub fn expire(&mut self, now: Instant, why: impl Fn() -> Trouble) {
        let late: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, pending)| pending.job.deadline <= now)
            .map(|(&job, _)| job)
            .collect();
        for job in late {
            self.answer(job, |pending| pending.outcomes_at_deadline().ok_or_else(|| why().into()));
        }
    }

    /// When there is something to do again, if nothing happens.
    pub fn next_event(&self) -> Option<Instant> {
        let events = self.jobs.values().map(|pending| {
            let waits = !pending.under_way && !pending.todo.is_empty();
            if waits { pending.job.deadline.min(pending.not_before) } else { pending.job.deadline }
        });
        events.min()
    }

    /// When the next caller runs out of patience.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.jobs.values().map(|pending| pending.job.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Requirement};

    struct Call {
        desk: Desk,
        answer: oneshot::Receiver<Answer>,
        now: Instant,
    }

    fn message(id: usize, expected: bool) -> Outgoing {
        let message = Message {
            id: id.to_string(),
            routing_key: "a.b".parse().unwrap(),
            content_type: "text/plain".to_owned(),
            body: [].into(),
            headers: BTreeMap::new(),
            delivery: Requirement::MustReachQueue,
        };
        Outgoing::news(&message, "exchange", expected).unwrap()
    }

    fn call(count: usize) -> Call {
        let (reply, answer) = oneshot::channel();
        let (mut desk, now) = (Desk::default(), Instant::now());
        let messages = (0..count).map(|id| message(id, true)).collect();
        desk.take_in(Job { messages, deadline: now + Duration::from_secs(5), reply }, now);
        Call { desk, answer, now }
    }

    fn ids(desk: &Desk, window: &[Slip]) -> Vec<String> {
        window.iter().map(|slip| desk.message(*slip).unwrap().identity().1.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_call_goes_through_in_windows_and_is_answered_when_all_are_taken() {
        let Call { mut desk, mut answer, now } = call(5);
        for expected in [&["0", "1"][..], &["2", "3"], &["4"]] {
            assert!(answer.try_recv().is_err());
            let window = desk.window(2, now);
            assert_eq!(ids(&desk, &window), expected);
            assert!(!desk.is_ready(now), "nothing goes before what is under way is known");
            desk.book(&window, &vec![Verdict::Taken; window.len()], now);
        }
        assert_eq!(answer.try_recv().unwrap().unwrap(), [PublishOutcome::Confirmed; 5]);
    }

    #[tokio::test]
    async fn what_was_refused_goes_again_before_the_rest_after_a_pause() {
        let Call { mut desk, mut answer, now } = call(4);
        let window = desk.window(3, now);
        desk.book(&window, &[Verdict::Refused, Verdict::Taken, Verdict::Refused], now);
        assert!(!desk.is_ready(now));
        let later = desk.next_event().unwrap();
        assert!(later > now && later < now + Duration::from_secs(1));
        let window = desk.window(3, later);
        assert_eq!(ids(&desk, &window), ["0", "2", "3"]);
        desk.book(&window, &[Verdict::Taken; 3], later);
        assert_eq!(answer.try_recv().unwrap().unwrap(), [PublishOutcome::Confirmed; 4]);
    }

    #[tokio::test]
    async fn at_the_deadline_what_was_refused_is_full_and_what_is_under_way_is_unknown() {
        use PublishOutcome::{Confirmed, Full};
        let Call { mut desk, mut answer, now } = call(3);
        let window = desk.window(2, now);
        desk.book(&window, &[Verdict::Taken, Verdict::Refused], now);
        desk.expire(now + Duration::from_secs(5), || Trouble::Silent);
        assert_eq!(answer.try_recv().unwrap().unwrap(), [Confirmed, Full, Full]);

        let Call { mut desk, mut answer, now } = call(1);
        let window = desk.window(1, now);
        desk.expire(now + Duration::from_secs(5), || Trouble::Silent);
        assert!(answer.try_recv().unwrap().is_err());
        assert!(!desk.awaits(&window));
        desk.book(&window, &[Verdict::Taken], now);
    }

    #[tokio::test]
    async fn a_lost_channel_fails_those_that_were_under_way_and_no_others() {
        let Call { mut desk, mut answer, now } = call(1);
        let (reply, mut other) = oneshot::channel();
        let job = Job { messages: vec![message(1, true)], deadline: now + Duration::from_secs(5), reply };
        desk.take_in(job, now);
        let window = desk.window(1, now);
        desk.book(&window, &[Verdict::Lost], now);
        assert!(answer.try_recv().unwrap().is_err());
        assert!(other.try_recv().is_err());
        assert_eq!(
            ids(&desk, &desk.jobs.keys().map(|&job| Slip { job, index: 0 }).collect::<Vec<_>>()),
            ["1"]
        );
    }

    #[tokio::test]
    async fn a_caller_that_gave_up_is_forgotten_and_a_refused_one_lets_others_pass() {
        let Call { mut desk, answer, now } = call(1);
        let window = desk.window(1, now);
        desk.book(&window, &[Verdict::Refused], now);
        let (reply, _other) = oneshot::channel();
        let job = Job { messages: vec![message(7, true)], deadline: now + Duration::from_secs(5), reply };
        desk.take_in(job, now);
        assert_eq!(
            ids(&desk, &desk.jobs.keys().map(|&job| Slip { job, index: 0 }).collect::<Vec<_>>()),
            ["0", "7"]
        );
        let window = desk.window(10, now);
        assert_eq!(ids(&desk, &window), ["7"]);
        drop(answer);
        desk.book(&window, &[Verdict::Taken], now);
        assert!(desk.window(10, now + Duration::from_secs(1)).is_empty());
        assert_eq!(desk.next_deadline(), None);
    }

    #[tokio::test]
    async fn what_no_queue_takes_is_unroutable_unless_one_should() {
        let (reply, mut answer) = oneshot::channel();
        let (mut desk, now) = (Desk::default(), Instant::now());
        let messages = vec![message(0, false), message(1, true)];
        desk.take_in(Job { messages, deadline: now + Duration::from_secs(5), reply }, now);
        let window = desk.window(2, now);
        desk.book(&window, &[Verdict::Returned; 2], now);
        let later = now + Duration::from_secs(1);
        let window = desk.window(2, later);
        assert_eq!(ids(&desk, &window), ["1"]);
        desk.book(&window, &[Verdict::Taken], later);
        assert_eq!(
            answer.try_recv().unwrap().unwrap(),
            [PublishOutcome::Unroutable, PublishOutcome::Confirmed]
        );
    }
}
