//! The cap on open claims of a workspace: counted in the read models, so a burst may pass it by a little.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use deed_claims::WorkspaceId;
use deed_store::{ReadModels, Unavailable};

use crate::call::Call;
use crate::fault::Fault;

/// Whether the caller's workspace may open one more claim; otherwise the cap that it has reached.
pub async fn reached(call: &Call) -> Result<Option<u64>, Fault> {
    let (state, cap) = (&call.state, call.state.caps.open_claims_per_workspace);
    let counts = &state.open_claims;
    Ok(counts
        .reached(&*state.read_models, &call.caller.workspace, cap, state.clock.now())
        .await?
        .then_some(cap))
}

/// How long a count is remembered: what other replicas open meanwhile is not in it.
const MEMORY: Duration = Duration::seconds(1);
/// Workspaces remembered.
const KEPT: usize = 10_000;

/// How many open claims workspaces had a moment ago, so that a busy one is not counted anew for each claim.
///
/// Nobody is refused because of what is remembered, and it is asked only while a workspace is not past half of its cap:
/// where the cap is near, every claim is counted for.
#[derive(Debug, Default)]
pub struct OpenClaims(Mutex<HashMap<WorkspaceId, Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    /// What was open, and what was let through here since.
    open: u64,
    at: DateTime<Utc>,
}

impl Counted {
    fn is_fresh(self, now: DateTime<Utc>) -> bool {
        let age = now - self.at;
        // A clock set back makes nothing fresh.
        age >= Duration::zero() && age < MEMORY
    }
}

impl OpenClaims {
    /// Whether a workspace has as many open claims as it may have. If not, one more is taken to be opened.
    async fn reached(
        &self,
        models: &dyn ReadModels,
        workspace: &WorkspaceId,
        cap: u64,
        now: DateTime<Utc>,
    ) -> Result<bool, Unavailable> {
        if self.has_room(workspace, cap, now) {
            return Ok(false);
        }
        let open = models.open_claims(workspace).await?;
        self.remember(workspace, Counted { open: open.saturating_add(1), at: now });
        Ok(open >= cap)
    }

    fn has_room(&self, workspace: &WorkspaceId, cap: u64, now: DateTime<Utc>) -> bool {
        let mut known = self.known();
        let Some(counted) = known.get_mut(workspace) else { return false };
        let room = counted.is_fresh(now) && counted.open < cap / 2;
        counted.open += u64::from(room);
        room
    }

    fn remember(&self, workspace: &WorkspaceId, counted: Counted) {
        let mut known = self.known();
        if known.len() >= KEPT && !known.contains_key(workspace) {
            known.retain(|_, other| other.is_fresh(counted.at));
            if known.len() >= KEPT {
                known.clear();
            }
        }
        known.insert(workspace.clone(), counted);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Counted>> {
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
    fn a_count_is_good_for_claims_up_to_half_of_the_cap() {
        let counts = OpenClaims::default();
        assert!(!counts.has_room(&workspace(1), 10, at(0)), "nothing is known of it");
        counts.remember(&workspace(1), Counted { open: 3, at: at(0) });
        assert!(counts.has_room(&workspace(1), 10, at(0)));
        assert!(counts.has_room(&workspace(1), 10, at(0)));
        assert!(!counts.has_room(&workspace(1), 10, at(0)), "five are open or about to be");
        assert!(!counts.has_room(&workspace(2), 10, at(0)), "it is another's");
    }

    #[test]
    fn a_count_is_forgotten_after_a_second_and_when_the_clock_is_set_back() {
        let counts = OpenClaims::default();
        counts.remember(&workspace(1), Counted { open: 0, at: at(0) });
        assert!(counts.has_room(&workspace(1), 100, at(999)));
        assert!(!counts.has_room(&workspace(1), 100, at(1000)));
        assert!(!counts.has_room(&workspace(1), 100, at(-1)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let counts = OpenClaims::default();
        for n in 0..=KEPT {
            counts.remember(&workspace(n), Counted { open: 0, at: at(0) });
        }
        assert!(counts.known().len() <= KEPT);
        assert!(counts.has_room(&workspace(KEPT), 100, at(0)), "the newest is kept");
    }
}
