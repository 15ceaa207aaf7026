//! Tests of rounds and of the pauses between them.
use deed_bus::PublishOutcome;
use tokio::time::Instant;

use super::*;
use crate::testing::{Numbers, ScriptedPublisher, StoppedClock, unavailable};

fn config() -> DueOutboxConfig {
    DueOutboxConfig {
        name: "test",
        owner: "test".to_owned(),
        poll: Duration::from_mins(1),
        lease_ttl: Duration::from_secs(5),
        backoff_max: Duration::from_mins(4),
    }
}

#[tokio::test]
async fn round_gives_back_undelivered_rows() {
    let answer = vec![PublishOutcome::Confirmed, PublishOutcome::Full, PublishOutcome::Confirmed];
    let outbox =
        Outbox::new(Numbers::due([1, 3, 5]), ScriptedPublisher::of([Ok(answer), Err(unavailable())]));
    assert_eq!(run_round(&outbox, &StoppedClock).await.unwrap(), RoundOutcome::Refused(1));
    assert_eq!(*outbox.messages.delivered.lock().unwrap(), [1, 5]);
    assert!(matches!(run_round(&outbox, &StoppedClock).await, Err(OutboxError::Bus(_))));
    assert_eq!(*outbox.messages.due.lock().unwrap(), [3]);
    assert_eq!(run_round(&outbox, &StoppedClock).await.unwrap(), RoundOutcome::Done);
    assert_eq!(*outbox.messages.delivered.lock().unwrap(), [1, 5, 3]);
}

#[tokio::test]
async fn full_round_says_that_more_may_be_due() {
    let outbox = Outbox::new(Numbers::due([1, 2, 3]), ScriptedPublisher::of([]));
    assert_eq!(run_round(&outbox, &StoppedClock).await.unwrap(), RoundOutcome::More);
    assert_eq!(run_round(&outbox, &StoppedClock).await.unwrap(), RoundOutcome::QueueFull);
}

#[tokio::test]
async fn row_that_makes_no_message_stays_claimed() {
    let outbox = Outbox::new(Numbers::due([1, 0]), ScriptedPublisher::of([]));
    assert!(matches!(run_round(&outbox, &StoppedClock).await, Err(OutboxError::Envelope { .. })));
    assert!(outbox.messages.due.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn runs_next_round_soon_after_publishing() {
    let (outbox, config) = (Outbox::new(Numbers::default(), ScriptedPublisher::of([])), config());
    let mut rounds = DueLoop::new(&outbox, &StoppedClock, &config, None);
    let before = Instant::now();
    rounds.wait_after(Ok(RoundOutcome::Done)).await;
    assert!(before.elapsed() <= 2 * MIN_PAUSE, "{:?}", before.elapsed());
    rounds.wait_after(Ok(RoundOutcome::Idle(None))).await;
    assert!(before.elapsed() >= config.poll);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_the_cap_and_reset() {
    let (outbox, config) = (Outbox::new(Numbers::default(), ScriptedPublisher::of([])), config());
    let mut rounds = DueLoop::new(&outbox, &StoppedClock, &config, None);
    for most in [1, 2, 4, 4, 4].map(Duration::from_mins) {
        let before = Instant::now();
        rounds.wait_after(Err(unavailable().into())).await;
        let pause = before.elapsed();
        let slack = Duration::from_millis(2);
        assert!(pause >= most / 2 && pause <= most + slack, "{pause:?} of {most:?}");
    }
    rounds.wait_after(Ok(RoundOutcome::More)).await;
    let before = Instant::now();
    rounds.wait_after(Ok(RoundOutcome::QueueFull)).await;
    assert!(before.elapsed() <= config.poll + Duration::from_millis(2));
}
