//! Remembers for a minute which zone encloses a name, so that a crowd of looks does not crowd the parents.
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::time::Instant;

use crate::delegation::{Addresses, Delegation, NameServer};
use crate::inquiry::Mode;

/// Names of one generation; claimants choose them, so there has to be a bound.
const NAMES: usize = 5_000;

/// Which zone encloses which name, kept apart by how it was learned: what came in datagrams may be forged,
/// so a confirmation must not build on it.
#[derive(Debug)]
pub(crate) struct Delegations {
    ttl: Duration,
    most: usize,
    entries: Mutex<Generations>,
}

type Names = HashMap<(Mode, Name), Arc<Delegation>>;

/// Forgetting a whole generation at a time needs no search for what is old.
#[derive(Debug, Default)]
struct Generations {
    young: Names,
    old: Names,
}

impl Delegations {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, most: NAMES, entries: Mutex::default() }
    }

    /// The longest name at or above `target` that is remembered, with its zone.
    pub(crate) fn nearest(&self, mode: Mode, target: &Name) -> Option<(Name, Arc<Delegation>)> {
        let now = Instant::now();
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (mode, target.clone());
        while !key.1.is_root() {
            let found = entries.young.get(&key).or_else(|| entries.old.get(&key));
            if let Some(delegation) = found.filter(|d| d.learned + self.ttl > now) {
                return Some((key.1, Arc::clone(delegation)));
            }
            key.1 = key.1.base_name();
        }
        None
    }

    /// Remembers that `name` lies in the delegation's zone, or is its apex; never longer than the delegation, and
    /// not at all where an address could not be found out: the next look shall try again.
    pub(crate) fn remember(&self, mode: Mode, name: Name, delegation: &Arc<Delegation>) {
        let failed = |server: &NameServer| matches!(server.addresses, Addresses::Failed(_));
        if self.ttl.is_zero() || name.is_root() || delegation.servers.iter().any(failed) {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.young.len() >= self.most {
            entries.old = mem::take(&mut entries.young);
        }
        entries.young.insert((mode, name), Arc::clone(delegation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delegation::Source;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn zone(text: &str) -> Arc<Delegation> {
        Arc::new(Delegation::new(name(text), vec![], Source::Dns))
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearest_name_above_is_found_until_it_expires() {
        let cache = Delegations::new(Duration::from_mins(1));
        cache.remember(Mode::Usual, name("test."), &zone("test."));
        cache.remember(Mode::Usual, name("acme.test."), &zone("acme.test."));
        let at = |target: &str| cache.nearest(Mode::Usual, &name(target)).map(|(n, d)| (n, d.zone.clone()));
        assert_eq!(at("_x.ACME.test."), Some((name("acme.test."), name("acme.test."))));
        assert_eq!(at("other.test."), Some((name("test."), name("test."))));
        assert_eq!(at("other.example."), None);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(at("_x.acme.test."), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_learned_late_does_not_prolong_its_zone() {
        let cache = Delegations::new(Duration::from_mins(1));
        let acme = zone("acme.test.");
        tokio::time::advance(Duration::from_secs(59)).await;
        cache.remember(Mode::Usual, name("www.acme.test."), &acme);
        assert!(cache.nearest(Mode::Usual, &name("www.acme.test.")).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(cache.nearest(Mode::Usual, &name("www.acme.test.")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmation_does_not_see_what_datagrams_taught() {
        let cache = Delegations::new(Duration::from_mins(1));
        cache.remember(Mode::Usual, name("acme.test."), &zone("acme.test."));
        assert!(cache.nearest(Mode::Connected, &name("acme.test.")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_beyond_its_bound() {
        let mut cache = Delegations::new(Duration::from_mins(1));
        cache.most = 10;
        for i in 0..55 {
            cache.remember(Mode::Usual, name(&format!("n{i}.test.")), &zone("test."));
        }
        let entries = cache.entries.lock().unwrap();
        assert_eq!((entries.young.len(), entries.old.len()), (5, 10));
        drop(entries);
        assert!(cache.nearest(Mode::Usual, &name("n40.test.")).is_some());
        assert!(cache.nearest(Mode::Usual, &name("n39.test.")).is_none());
    }
}
