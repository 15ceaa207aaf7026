//! The suite: loading streams from the state that the read models keep, and the histories of claims.
use deed_claims::{
    ContestAnswer, ContestAnswered, ContestCause, ContestOpened, ContestResolution, ContestResolved,
    ContestResolvedBy, Event, FOLD_VERSION, Ownership, StreamId,
};

use super::samples::{
    apex, append, at, by_workspace, changes, checked, claim_id, granted, initiated, requested,
};
use super::{StoreUnderTest, TTL, hold};
use crate::{ClaimHistory, Position, READ_MODELS_FOLD, RecordedEvent, Version, load};

/// More events than a page.
const LONG: u32 = 150;

fn opened(claim: u32, holder: u32) -> Event {
    ContestOpened {
        claim_id: claim_id(claim),
        holder_claim_id: claim_id(holder),
        cause: ContestCause::Grace,
        ends_at: Some(at(1000)),
        next_check_at: at(60),
        at: at(10),
    }
    .into()
}

fn answered(claim: u32, holder: u32) -> Event {
    let (claim_id, holder_claim_id) = (claim_id(claim), claim_id(holder));
    ContestAnswered { claim_id, holder_claim_id, answer: ContestAnswer::Dispute, at: at(11) }.into()
}

fn resolved(claim: u32) -> Event {
    let (resolution, by) = (ContestResolution::Refused, ContestResolvedBy::Disputed);
    ContestResolved { claim_id: claim_id(claim), resolution, by, at: at(12) }.into()
}

/// Three claims on a name: one holds it, one contests it in vain, and one goes on contesting it.
fn contested() -> Vec<Event> {
    let mut events = vec![initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)];
    events.extend(granted(1, by_workspace(1), 2));
    events.extend([initiated(2, "acme.com", by_workspace(2), 3), checked(2, 1, 4), opened(2, 1)]);
    events.extend([checked(1, 2, 5), answered(2, 1), checked(2, 2, 6), resolved(2), checked(2, 3, 7)]);
    events.extend([initiated(3, "acme.com", by_workspace(3), 8), opened(3, 1), checked(3, 1, 9)]);
    events
}

fn fold(events: &[RecordedEvent]) -> Ownership {
    events.iter().fold(Ownership::default(), |state, recorded| match &recorded.event {
        Event::Ownership(event) => state.evolve(event),
        Event::App(_) => state,
    })
}

async fn all<S: StoreUnderTest>(store: &S, stream: &StreamId) -> Vec<RecordedEvent> {
    store.events().read_stream(stream, Version(0), usize::MAX).await.unwrap()
}

/// Pages are those of the whole history, also while other claims act on the name.
pub async fn history_of_claim_is_a_part_of_its_stream<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, stream) = (under_test.events(), apex("acme.com"));
    store.append(append(&stream, 0, contested())).await.unwrap();
    store.append(append(&apex("other.com"), 0, vec![checked(4, 1, 0)])).await.unwrap();
    let whole = all(&under_test, &stream).await;
    for claim in [1, 2, 3, 5] {
        let claim = claim_id(claim);
        let expected: Vec<_> = ClaimHistory::of(claim).filter(&whole).cloned().collect();
        for after in 0..=expected.len() {
            for limit in [1, 3, 100] {
                let page =
                    store.read_claim(&stream, claim, u64::try_from(after).unwrap(), limit).await.unwrap();
                let part: Vec<_> = expected.iter().skip(after).take(limit).cloned().collect();
                assert_eq!(page, part, "{claim} after {after}, {limit} at most");
            }
        }
        let last = store.claim_position(&stream, claim).await.unwrap();
        let last = last.filter(|last| *last <= whole.last().unwrap().position);
        assert_eq!(last, expected.last().map(|recorded| recorded.position), "{claim}");
    }
    let holders: Vec<_> = ClaimHistory::of(claim_id(1)).filter(&whole).map(|e| e.version.0).collect();
    assert_eq!(holders, [1, 2, 3, 4, 7, 8, 9, 11, 14], "and nothing else of the challengers");
}

/// A limit of events, wherever the read begins.
pub async fn reads_stream_up_to_limit<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, stream) = (under_test.events(), apex("acme.com"));
    store.append(append(&stream, 0, contested())).await.unwrap();
    let whole = all(&under_test, &stream).await;
    for (after, limit) in [(0, 1), (3, 4), (10, 100), (20, 1), (0, 0)] {
        let page = store.read_stream(&stream, Version(after), limit).await.unwrap();
        let skipped = usize::try_from(after).unwrap();
        assert_eq!(page, whole.iter().skip(skipped).take(limit).cloned().collect::<Vec<_>>());
    }
}

/// The same state with and without a snapshot, and only the events since with one.
pub async fn long_stream_is_loaded_from_its_snapshot<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, stream) = (under_test.events(), apex("acme.com"));
    let mut events = vec![initiated(1, "acme.com", by_workspace(1), 0)];
    events.extend((1..=LONG).map(|attempt| checked(1, attempt, i64::from(attempt))));
    store.append(append(&stream, 0, events.clone())).await.unwrap();
    let whole = all(&under_test, &stream).await;
    let check = |loaded: crate::Loaded<Ownership>, events: usize| {
        assert_eq!((loaded.version, loaded.events.len()), (Version(u64::from(LONG) + 1), events));
        assert_eq!(loaded.state, fold(&whole));
        assert_eq!(loaded.events.last(), whole.last());
    };
    check(load(&*store, &stream).await.unwrap(), whole.len());

    let lease = hold(&under_test).await;
    let snapshot = changes(&stream, &events[..100]);
    under_test.read_models().apply(&lease, Position(0), Position(100), snapshot.clone()).await.unwrap();
    // Of another version, as far as anybody knows.
    check(load(&*store, &stream).await.unwrap(), whole.len());

    let fold = under_test.checkpoints();
    let mark = fold.acquire(READ_MODELS_FOLD, "suite", at(0), TTL).await.unwrap().unwrap();
    fold.advance(&mark, Position(0), Position(FOLD_VERSION)).await.unwrap();
    check(load(&*store, &stream).await.unwrap(), whole.len() - 100);

    // A snapshot of events that the log does not have: the log is that of an older backup.
    let mut newer = snapshot;
    newer.ownerships[0].version = Version(1000);
    newer.ownerships[0].state = Ownership::default();
    newer.claims.iter_mut().for_each(|row| row.version = Version(1000));
    under_test.read_models().apply(&lease, Position(100), Position(101), newer).await.unwrap();
    check(load(&*store, &stream).await.unwrap(), whole.len());
}
