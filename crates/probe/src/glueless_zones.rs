//! What one probe may resolve for zones whose name servers come without glue.
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::rr::Name;
use tokio::sync::OnceCell;

use crate::delegation::Delegation;

/// Zones whose only purpose here is to resolve name servers of other zones, and which come without glue themselves.
/// Each is resolved once per probe, however many walks need it at the same time.
#[derive(Debug)]
pub(crate) struct GluelessZones {
    /// Names that may still be resolved for them.
    left: AtomicUsize,
    /// Name server names that turned out not to exist.
    missing: AtomicUsize,
    zones: Mutex<HashMap<Name, Arc<OnceCell<Arc<Delegation>>>>>,
}

/// After so many nonexistent name server names no more are resolved: otherwise a delegation to made-up names would
/// direct load at third parties.
const MAX_MISSING: usize = 3;

impl GluelessZones {
    pub(crate) fn new(names: usize) -> Self {
        Self { left: AtomicUsize::new(names), missing: AtomicUsize::new(0), zones: Mutex::default() }
    }

    pub(crate) fn count_missing(&self) {
        self.missing.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn has_too_many_missing(&self) -> bool {
        self.missing.load(Ordering::Relaxed) >= MAX_MISSING
    }

    pub(crate) fn entry(&self, zone: &Name) -> Arc<OnceCell<Arc<Delegation>>> {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(zones.entry(zone.clone()).or_default())
    }

    pub(crate) fn take_name(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}
