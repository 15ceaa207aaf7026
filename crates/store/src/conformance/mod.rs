//! The conformance suite: tests that every backend must pass; see [`conformance_suite!`](crate::conformance_suite).
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a failed test panics")]

mod concurrency;
mod due_work;
mod idempotency;
mod keys;
mod leases;
mod list_queries;
mod loading;
mod log;
mod metrics;
mod projection;
pub mod samples;

use std::{sync::Arc, time::Duration};

pub use self::{
    concurrency::*, due_work::*, idempotency::*, keys::*, leases::*, list_queries::*, loading::*, log::*,
    metrics::*, projection::*,
};
use crate::{
    Append, AppendError, AppendMetrics, Appended, Checkpoints, Connections, DueWork, EventStore, Idempotency,
    Keys, Lease, READ_MODELS, ReadModels,
};

/// Gives the suite access to a backend. What its handles need (a folder, a server) lives as long as `self`.
pub trait StoreUnderTest: Sized + Send + Sync + 'static {
    /// A new, empty store.
    fn start() -> impl Future<Output = Self> + Send;

    /// The same store opened by another process; none when a store belongs to one process.
    fn replica(&self) -> impl Future<Output = Option<Self>> + Send {
        async { None }
    }

    /// The log, with batching.
    fn events(&self) -> Arc<dyn EventStore>;

    /// Counts appends to that log.
    fn measure(&self, metrics: AppendMetrics);

    /// The connections in use.
    fn connections(&self) -> Connections;

    /// Leases and checkpoints.
    fn checkpoints(&self) -> Arc<dyn Checkpoints>;

    /// The read models.
    fn read_models(&self) -> Arc<dyn ReadModels>;

    /// Due work.
    fn due_work(&self) -> Arc<dyn DueWork>;

    /// API keys.
    fn keys(&self) -> Arc<dyn Keys>;

    /// Responses to requests.
    fn idempotency(&self) -> Arc<dyn Idempotency>;
}

/// Generates one `#[tokio::test]` for each test of the suite. Takes a type that is a [`StoreUnderTest`].
#[macro_export]
macro_rules! conformance_suite {
    ($store:ty) => {
        // On one thread, so that calls which are submitted together form one batch.
        $crate::conformance_suite!($store; #[tokio::test];
            appends_of_a_batch_conflict_independently,
            writes_no_receipt_on_conflict,
            concurrent_begins_apply_in_order,
        );
        $crate::conformance_suite!($store; #[tokio::test(flavor = "multi_thread", worker_threads = 2)];
            reads_back_appended_events,
            unwritten_stream_is_empty,
            rejects_wrong_expected_version,
            reads_stream_after_version,
            reads_stream_up_to_limit,
            history_of_claim_is_a_part_of_its_stream,
            long_stream_is_loaded_from_its_snapshot,
            concurrent_stream_reads_get_their_own_events,
            reads_log_after_position_up_to_limit,
            large_and_small_log_reads_agree,
            multi_stream_append_is_atomic,
            head_changes_after_append,
            positions_are_gapless_and_commit_ordered,
            tailing_reader_misses_no_event,
            one_rival_wins_each_version,
            writes_receipt_with_append,
            request_starts_once_and_is_then_answered,
            rejects_key_of_another_request,
            restarts_request_after_dead_run,
            keeps_the_first_response,
            restarts_abandoned_request,
            one_rival_restarts_abandoned_request,
            forgets_old_response,
            purges_old_requests_up_to_limit,
            finds_and_lists_api_keys,
            revokes_api_key_once,
            lease_has_one_owner,
            expired_lease_goes_to_another_with_higher_epoch,
            lost_lease_cannot_be_renewed_or_released,
            released_lease_is_free_at_once,
            one_rival_acquires_lease,
            checkpoint_moves_from_expected_position_only,
            checkpoint_moves_under_newest_lease_only,
            lag_reports_count_and_oldest_event,
            apply_writes_rows_and_moves_checkpoint,
            apply_rejects_old_lease,
            apply_rejects_wrong_checkpoint,
            apply_replaces_rows_of_its_streams_only,
            new_streams_get_the_same_rows,
            unchanged_due_work_stays_hidden,
            rebuild_gives_the_same_digest,
            reset_rejects_old_lease,
            digest_differs_for_different_contents,
            digest_ignores_visibility,
            lists_claims_newest_first_in_pages,
            pages_claims_of_one_instant_without_loss,
            accepts_any_cursor,
            filters_claims_by_status,
            separates_claims_of_workspace_and_apps,
            counts_open_claims_that_are_not_held,
            lists_apps_oldest_first_without_deleted,
            hands_out_due_work_oldest_first_up_to_limit,
            handed_out_work_is_hidden_until_time_out,
            returned_work_is_visible_at_once,
            hands_work_to_one_dispatcher,
            next_due_time_includes_hidden_work,
            overdue_counts_visible_due_rows,
            counts_appends_by_result,
            reports_connections_in_use,
        );
    };
    ($store:ty; #[$test:meta]; $($property:ident),+ $(,)?) => {
        $(
            #[$test]
            async fn $property() {
                $crate::conformance::$property::<$store>().await;
            }
        )+
    };
}

/// How long the suite waits before it fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The TTL of the suite's leases, on its own clock.
const TTL: Duration = Duration::from_secs(30);
/// The subscription whose checkpoint the read models move.
const PROJECTION: &str = READ_MODELS;

async fn within<T>(wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(TIMEOUT, wait).await;
    waited.unwrap_or_else(|_| panic!("timed out after {TIMEOUT:?}"))
}

/// Acquires the lease under which the suite changes read models.
async fn hold(store: &impl StoreUnderTest) -> Lease {
    let lease = store.checkpoints().acquire(PROJECTION, "suite", samples::at(0), TTL).await.unwrap();
    lease.unwrap_or_else(|| panic!("the lease was free"))
}

/// A lost lease, and the lease of the owner that took it over.
async fn superseded(store: &impl StoreUnderTest) -> (Lease, Lease) {
    let old = hold(store).await;
    let taken = store.checkpoints().acquire(PROJECTION, "another", samples::at(31), TTL).await.unwrap();
    (old, taken.unwrap_or_else(|| panic!("the lease had run out")))
}

/// Submits appends together, in this order, and checks that they were written as one batch.
async fn append_as_one_batch(
    store: &impl StoreUnderTest,
    appends: Vec<Append>,
) -> Vec<Result<Appended, AppendError>> {
    let (log, registry) = (store.events(), prometheus::Registry::new());
    store.measure(AppendMetrics::register(&registry).unwrap());
    let count = f64::from(u32::try_from(appends.len()).unwrap());
    let results = futures::future::join_all(appends.into_iter().map(|append| log.append(append))).await;
    let series = metrics::append_series(&registry);
    let batches = (series["_batch_size_count"], series["_batch_size_sum"]);
    assert!(batches == (1.0, count), "batches and the appends in them: {batches:?}");
    results
}
