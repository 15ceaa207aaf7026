//! The suite: responses to requests with an idempotency key.
use super::samples::{apex, append, at, request, requested};
use super::{StoreUnderTest, append_as_one_batch};
use crate::{AppendError, Begin, Idempotency, Position, Receipt, RequestKey, StoredResponse};

const FINGERPRINT: [u8; 32] = [1; 32];

fn receipt(request: &RequestKey, body: &str) -> Receipt {
    Receipt { request: request.clone(), response: StoredResponse { status: 202, body: body.to_owned() } }
}

/// Begins at a second of the suite's clock; the run is dead a minute later, responses are kept for a day.
async fn begin_as(
    store: &dyn Idempotency,
    request: &RequestKey,
    fingerprint: [u8; 32],
    second: i64,
) -> Begin {
    store.begin(request, fingerprint, at(second), at(second + 60), at(second - 86_400)).await.unwrap()
}

async fn begin(store: &dyn Idempotency, request: &RequestKey, second: i64) -> Begin {
    begin_as(store, request, FINGERPRINT, second).await
}

fn answered(body: &str) -> Begin {
    Begin::Answered(StoredResponse { status: 202, body: body.to_owned() })
}

/// The response is stored in the transaction of the effect.
pub async fn writes_receipt_with_append<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    assert_eq!(begin(&*store, &request, 0).await, Begin::Started);
    let mut effect = append(&apex("acme.com"), 0, vec![requested(1, 1, 0)]);
    effect.receipt = Some(receipt(&request, r#"{"done":"ä"}"#));
    under_test.events().append(effect).await.unwrap();
    assert_eq!(begin(&*store, &request, 1).await, answered(r#"{"done":"ä"}"#));
}

/// Without the effect there is no response, even if other appends of the batch succeed.
pub async fn writes_no_receipt_on_conflict<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.idempotency();
    let (stale, fresh) = (request(1, "stale"), request(1, "fresh"));
    let mut batch = vec![];
    for (request, expected) in [(&stale, 3), (&fresh, 0)] {
        assert_eq!(begin(&*store, request, 0).await, Begin::Started);
        let mut effect = append(&apex("acme.com"), expected, vec![requested(1, 1, 0)]);
        effect.receipt = Some(receipt(request, "done"));
        batch.push(effect);
    }
    let results = append_as_one_batch(&under_test, batch).await;
    assert!(matches!(results[..], [Err(AppendError::Conflict { .. }), Ok(_)]), "{results:?}");
    assert_eq!(under_test.events().last_position().await.unwrap(), Position(1));
    assert_eq!(begin(&*store, &stale, 1).await, Begin::Running);
    assert_eq!(begin(&*store, &fresh, 1).await, answered("done"));
}

/// Started, running, answered; each API key has its own requests.
pub async fn request_starts_once_and_is_then_answered<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, mine, theirs) = (under_test.idempotency(), request(1, "k"), request(2, "k"));
    assert_eq!(begin(&*store, &mine, 0).await, Begin::Started);
    assert_eq!(begin(&*store, &mine, 59).await, Begin::Running);
    assert_eq!(begin(&*store, &theirs, 1).await, Begin::Started);
    store.complete(&receipt(&mine, "mine")).await.unwrap();
    assert_eq!(begin(&*store, &mine, 2).await, answered("mine"));
    assert_eq!(begin(&*store, &mine, 3_600).await, answered("mine"));
    assert_eq!(begin(&*store, &theirs, 2).await, Begin::Running);
}

/// While the first request is running, and after it was answered.
pub async fn rejects_key_of_another_request<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    assert_eq!(begin(&*store, &request, 0).await, Begin::Started);
    assert_eq!(begin_as(&*store, &request, [2; 32], 1).await, Begin::Mismatch);
    store.complete(&receipt(&request, "done")).await.unwrap();
    assert_eq!(begin_as(&*store, &request, [2; 32], 2).await, Begin::Mismatch);
    assert_eq!(begin(&*store, &request, 3).await, answered("done"));
}

/// From `locked_until` on; the second run has its own lock.
pub async fn restarts_request_after_dead_run<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    assert_eq!(begin(&*store, &request, 0).await, Begin::Started);
    assert_eq!(begin(&*store, &request, 61).await, Begin::Started);
    assert_eq!(begin(&*store, &request, 62).await, Begin::Running);
    store.complete(&receipt(&request, "done")).await.unwrap();
    assert_eq!(begin(&*store, &request, 200).await, answered("done"));
}

/// When two runs end, the first response is kept.
pub async fn keeps_the_first_response<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    assert_eq!(begin(&*store, &request, 0).await, Begin::Started);
    store.complete(&receipt(&request, "first")).await.unwrap();
    store.complete(&receipt(&request, "second")).await.unwrap();
    assert_eq!(begin(&*store, &request, 1).await, answered("first"));
}

/// At once, even by a process with another clock. Another request under the key is a mismatch for a day. A request with a
/// response cannot be abandoned.
pub async fn restarts_abandoned_request<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    assert_eq!(begin(&*store, &request, 10).await, Begin::Started);
    store.abandon(&request).await.unwrap();
    assert_eq!(begin_as(&*store, &request, [2; 32], 11).await, Begin::Mismatch);
    assert_eq!(begin(&*store, &request, 9).await, Begin::Started);
    assert_eq!(begin(&*store, &request, 11).await, Begin::Running);
    store.abandon(&request).await.unwrap();
    assert_eq!(begin_as(&*store, &request, [2; 32], 86_500).await, Begin::Started);
    store.complete(&receipt(&request, "done")).await.unwrap();
    store.abandon(&request).await.unwrap();
    assert_eq!(begin_as(&*store, &request, [2; 32], 86_501).await, answered("done"));
}

/// Of several at once, one starts it and the others find it running.
pub async fn one_rival_restarts_abandoned_request<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let replica = under_test.replica().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    for round in 0..10 {
        assert_eq!(begin(&*store, &request, round).await, Begin::Started);
        store.abandon(&request).await.unwrap();
        let rivals = (0..16).map(|n| {
            let other = replica.as_ref().filter(|_| n % 2 == 1);
            let (store, request) = (other.unwrap_or(&under_test).idempotency(), request.clone());
            // At the instant at which the last run began.
            async move { begin(&*store, &request, round).await }
        });
        let begun = futures::future::join_all(rivals).await;
        let started = begun.iter().filter(|begin| **begin == Begin::Started).count();
        assert_eq!(started, 1, "{begun:?}");
        store.abandon(&request).await.unwrap();
    }
}

/// After a day the key can be used again, also for another request.
pub async fn forgets_old_response<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let (store, request) = (under_test.idempotency(), request(1, "k"));
    assert_eq!(begin(&*store, &request, 0).await, Begin::Started);
    store.complete(&receipt(&request, "old")).await.unwrap();
    assert_eq!(begin(&*store, &request, 86_000).await, answered("old"));
    assert_eq!(begin_as(&*store, &request, [2; 32], 86_500).await, Begin::Started);
    store.complete(&receipt(&request, "new")).await.unwrap();
    assert_eq!(begin_as(&*store, &request, [2; 32], 86_501).await, answered("new"));
}

/// With a response or without, but only requests that were begun before the time.
pub async fn purges_old_requests_up_to_limit<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.idempotency();
    for n in 0..5_i64 {
        let request = request(1, &format!("old-{n}"));
        assert_eq!(begin(&*store, &request, n).await, Begin::Started);
        if n % 2 == 0 {
            store.complete(&receipt(&request, "done")).await.unwrap();
        }
    }
    let young = request(1, "young");
    assert_eq!(begin(&*store, &young, 100).await, Begin::Started);
    store.complete(&receipt(&young, "young")).await.unwrap();

    let mut purged = vec![];
    for _ in 0..4 {
        purged.push(store.purge(at(50), 2).await.unwrap());
    }
    assert_eq!(purged, [2, 2, 1, 0]);
    assert_eq!(begin(&*store, &young, 101).await, answered("young"));
    assert_eq!(begin(&*store, &request(1, "old-0"), 101).await, Begin::Started);
}

/// Requests that are begun together are begun in their order.
pub async fn concurrent_begins_apply_in_order<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.idempotency();
    let (new, known) = (request(1, "new"), request(1, "known"));
    assert_eq!(begin(&*store, &known, 0).await, Begin::Started);
    store.complete(&receipt(&known, "done")).await.unwrap();
    let together = [
        (&new, 1, 0, Begin::Started),
        (&known, 1, 1, answered("done")),
        (&new, 1, 1, Begin::Running),
        (&known, 2, 1, Begin::Mismatch),
        (&new, 2, 1, Begin::Mismatch),
        // The run that was just begun is dead by then.
        (&new, 1, 60, Begin::Started),
        (&new, 1, 61, Begin::Running),
        // The response is a day old.
        (&known, 2, 90_000, Begin::Started),
        (&known, 1, 90_000, Begin::Mismatch),
    ];
    let begins =
        together.iter().map(|(request, print, second, _)| begin_as(&*store, request, [*print; 32], *second));
    let begun = futures::future::join_all(begins).await;
    assert_eq!(begun, together.map(|(.., expected)| expected));
    // The last run of each request was stored.
    for (request, print, second, expected) in
        [(&new, 1, 119, Begin::Running), (&new, 1, 120, Begin::Started), (&known, 2, 90_001, Begin::Running)]
    {
        assert_eq!(begin_as(&*store, request, [print; 32], second).await, expected);
    }
}
