//! What every backend must do, as tests that any backend can be put through: see [`conformance_suite!`](crate::conformance_suite).
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a panic is their verdict"
)]

mod concurrency;
mod due;
mod keys;
mod leases;
mod lists;
mod log;
mod projection;
mod requests;
pub mod samples;
mod told;

use std::{sync::Arc, time::Duration};

pub use self::{
    concurrency::*, due::*, keys::*, leases::*, lists::*, log::*, projection::*, requests::*, told::*,
};
use crate::{
    AppendBackend, AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Keys, Lease,
    ReadModels,
};

/// How the suite gets at a backend. What the handles need to live (a folder, a service) lives as long as `self`.
pub trait StoreUnderTest: Sized + Send + Sync + 'static {
    /// A store of its own, empty.
    fn start() -> impl Future<Output = Self> + Send;

    /// The same store as another process sees it; none where a store belongs to one process.
    fn replica(&self) -> impl Future<Output = Option<Self>> + Send {
        async { None }
    }

    /// The log, group commit included.
    fn events(&self) -> Arc<dyn EventStore>;

    /// Has appends through that log counted.
    fn measure(&self, metrics: AppendMetrics);

    /// How many connections are in use.
    fn connections(&self) -> Connections;

    /// What the gatherer calls.
    fn append_backend(&self) -> Arc<dyn AppendBackend>;

    /// Leases and checkpoints.
    fn checkpoints(&self) -> Arc<dyn Checkpoints>;

    /// The read models.
    fn read_models(&self) -> Arc<dyn ReadModels>;

    /// Due work.
    fn due_work(&self) -> Arc<dyn DueWork>;

    /// API keys.
    fn keys(&self) -> Arc<dyn Keys>;

    /// Answers to requests.
    fn idempotency(&self) -> Arc<dyn Idempotency>;
}

/// Writes one `#[tokio::test]` for each thing the suite asks for. Takes a type that is a [`StoreUnderTest`].
#[macro_export]
macro_rules! conformance_suite {
    ($store:ty) => {
        $crate::conformance_suite!($store;
            what_is_appended_reads_back_the_same,
            an_unwritten_stream_is_empty,
            an_append_at_another_version_conflicts_and_writes_nothing,
            a_stream_is_read_after_a_version,
            streams_read_at_the_same_time_give_each_reader_its_own,
            the_log_is_read_after_a_position_and_up_to_a_limit,
            the_log_reads_the_same_however_much_is_asked_for,
            an_append_to_several_streams_is_all_or_nothing,
            each_append_of_a_batch_succeeds_or_conflicts_on_its_own,
            head_changes_after_an_append,
            positions_are_gapless_and_commit_ordered_under_concurrent_writers,
            a_reader_that_tails_the_log_misses_nothing,
            one_rival_wins_each_version,
            a_receipt_is_written_with_its_append,
            a_receipt_is_not_written_when_its_append_conflicts,
            a_request_is_started_once_and_then_answered,
            a_key_used_for_another_request_is_a_mismatch,
            a_request_whose_run_died_is_started_again,
            the_first_answer_stays,
            an_abandoned_request_is_started_again,
            an_abandoned_request_is_started_again_by_one,
            an_old_answer_is_forgotten,
            purging_forgets_old_requests_up_to_a_limit,
            api_keys_are_found_by_their_hash_and_listed,
            an_api_key_is_revoked_once,
            a_lease_has_one_holder,
            a_lease_that_ran_out_goes_to_another_with_a_higher_epoch,
            a_lease_that_was_taken_over_cannot_be_renewed_or_released,
            a_released_lease_is_free_at_once,
            one_of_many_rivals_gets_a_lease,
            a_checkpoint_moves_from_where_it_is,
            a_checkpoint_moves_only_under_the_newest_lease,
            a_lag_tells_what_is_left_and_since_when,
            what_is_applied_is_shown_and_moves_the_checkpoint,
            applying_under_an_old_lease_changes_nothing,
            applying_from_a_wrong_place_changes_nothing,
            applying_replaces_the_touched_streams_only,
            streams_that_are_shown_for_the_first_time_look_like_any_other,
            due_work_that_did_not_change_stays_hidden,
            a_reset_empties_everything_and_a_second_fold_gives_the_same_digest,
            a_reset_under_an_old_lease_changes_nothing,
            the_digest_tells_contents_apart,
            the_digest_ignores_visibility,
            claims_come_newest_first_page_by_page,
            claims_made_at_one_instant_are_paged_without_loss,
            a_page_begins_at_any_time_and_id,
            claims_are_listed_by_status,
            claims_of_a_workspace_and_of_its_apps_are_listed_apart,
            open_claims_count_what_is_neither_ended_nor_held,
            apps_are_listed_oldest_first_without_the_deleted,
            due_work_is_handed_out_oldest_first_up_to_a_limit,
            handed_out_work_is_hidden_until_it_is_visible_again,
            work_given_back_is_visible_at_once,
            work_is_handed_to_one_of_many_dispatchers,
            the_next_due_time_counts_future_and_hidden_work,
            overdue_tells_how_far_dispatch_is_behind,
            appends_are_counted_by_what_became_of_them,
            connections_in_use_are_told,
        );
    };
    ($store:ty; $($property:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                $crate::conformance::$property::<$store>().await;
            }
        )+
    };
}

/// Anything the suite waits for happens within this time, or never.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the suite's leases run, on its own clock.
const TTL: Duration = Duration::from_secs(30);
/// The subscription whose checkpoint read models move.
const PROJECTION: &str = "projection";

async fn within<T>(wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("nothing came within {PATIENCE:?}"))
}

/// The lease under which the suite changes read models.
async fn hold(store: &impl StoreUnderTest) -> Lease {
    let lease = store.checkpoints().acquire(PROJECTION, "suite", samples::at(0), TTL).await.unwrap();
    lease.unwrap_or_else(|| panic!("the lease was free"))
}

/// A lease that another has taken over.
async fn superseded(store: &impl StoreUnderTest) -> (Lease, Lease) {
    let old = hold(store).await;
    let taken = store.checkpoints().acquire(PROJECTION, "another", samples::at(31), TTL).await.unwrap();
    (old, taken.unwrap_or_else(|| panic!("the lease had run out")))
}
