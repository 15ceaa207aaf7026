//! The quota of open claims of a workspace: counted in the read models, so a burst may exceed it by a little.
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use deed_claims::WorkspaceId;
use deed_store::{ReadModels, Unavailable};
use quick_cache::unsync::Cache;

/// How long a count is cached: claims that other replicas open meanwhile are not in it.
const TTL: Duration = Duration::seconds(1);
/// Workspaces in the cache at most.
const CAPACITY: usize = 10_000;

/// Recent counts of open claims, so that a busy workspace is not counted anew for each claim.
///
/// A cached count never refuses a claim, and it is used only below half of the quota: near the quota, the read models
/// are asked for every claim.
#[derive(Debug)]
pub struct OpenClaimCounts(Mutex<Cache<WorkspaceId, CachedCount>>);

impl Default for OpenClaimCounts {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(CAPACITY)))
    }
}

#[derive(Debug, Clone, Copy)]
struct CachedCount {
    /// Open claims when they were counted, and those allowed here since.
    open: u64,
    at: DateTime<Utc>,
}

impl CachedCount {
    fn is_fresh(self, now: DateTime<Utc>) -> bool {
        let age = now - self.at;
        // A clock set back makes nothing fresh.
        age >= Duration::zero() && age < TTL
    }
}

impl OpenClaimCounts {
    /// Whether a workspace has used up its quota. If not, one more claim is taken to be opened.
    pub async fn reached(
        &self,
        models: &dyn ReadModels,
        workspace: &WorkspaceId,
        quota: u64,
        now: DateTime<Utc>,
    ) -> Result<bool, Unavailable> {
        if self.has_room(workspace, quota, now) {
            return Ok(false);
        }
        let open = models.open_claims(workspace).await?;
        self.store(workspace, CachedCount { open: open.saturating_add(1), at: now });
        Ok(open >= quota)
    }

    fn has_room(&self, workspace: &WorkspaceId, quota: u64, now: DateTime<Utc>) -> bool {
        let mut counts = self.counts();
        let Some(mut count) = counts.get_mut(workspace) else { return false };
        let room = count.is_fresh(now) && count.open < quota / 2;
        count.open += u64::from(room);
        room
    }

    fn store(&self, workspace: &WorkspaceId, count: CachedCount) {
        self.counts().insert(workspace.clone(), count);
    }

    fn counts(&self) -> MutexGuard<'_, Cache<WorkspaceId, CachedCount>> {
        // A panic elsewhere leaves at worst a count that is off by one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
    }

    fn workspace(n: usize) -> WorkspaceId {
        format!("ws_{n}").parse().unwrap()
    }

    #[test]
    fn cached_count_serves_up_to_half_of_the_quota() {
        let counts = OpenClaimCounts::default();
        assert!(!counts.has_room(&workspace(1), 10, at(0)), "not counted yet");
        counts.store(&workspace(1), CachedCount { open: 3, at: at(0) });
        assert!(counts.has_room(&workspace(1), 10, at(0)));
        assert!(counts.has_room(&workspace(1), 10, at(0)));
        assert!(!counts.has_room(&workspace(1), 10, at(0)), "five are open or about to be");
        assert!(!counts.has_room(&workspace(2), 10, at(0)), "counted for another workspace");
    }

    #[test]
    fn cached_count_expires_and_ignores_clock_set_back() {
        let counts = OpenClaimCounts::default();
        counts.store(&workspace(1), CachedCount { open: 0, at: at(0) });
        assert!(counts.has_room(&workspace(1), 100, at(999)));
        assert!(!counts.has_room(&workspace(1), 100, at(1000)));
        assert!(!counts.has_room(&workspace(1), 100, at(-1)));
    }

    #[test]
    fn full_cache_evicts_single_counts() {
        let counts = OpenClaimCounts::default();
        for n in 0..=CAPACITY {
            counts.store(&workspace(n), CachedCount { open: 0, at: at(0) });
        }
        assert!(counts.counts().len() <= CAPACITY);
        assert!(counts.has_room(&workspace(CAPACITY), 100, at(0)), "the newest is kept");
        let cached = (0..CAPACITY).filter(|n| counts.has_room(&workspace(*n), 100, at(0))).count();
        assert!(cached > CAPACITY / 2, "only {cached} are left");
    }
}
