//! Caches for a minute which zone encloses a name, so that many probes at once do not flood the parent zones.
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::delegation::{Addresses, Delegation, NameServer};
use crate::lookup_mode::LookupMode;

/// Names in the cache at most: claimants choose them. Names that are never read again are evicted first, so a flood of
/// names does not evict the zones above them.
const CAPACITY: usize = 10_000;

/// The enclosing zone of names, keyed by transport as well: what came over UDP may be forged, so a confirmation over
/// TCP must not use it.
#[derive(Debug)]
pub(crate) struct DelegationCache {
    ttl: Duration,
    zones: Cache<(LookupMode, Name), Arc<Delegation>>,
}

impl DelegationCache {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, zones: Cache::new(CAPACITY) }
    }

    /// The longest cached name at or above `target`, with its zone.
    pub(crate) fn nearest(&self, mode: LookupMode, target: &Name) -> Option<(Name, Arc<Delegation>)> {
        let now = Instant::now();
        let mut key = (mode, target.clone());
        while !key.1.is_root() {
            if let Some(delegation) = self.zones.get(&key).filter(|d| d.learned + self.ttl > now) {
                return Some((key.1, delegation));
            }
            key.1 = key.1.base_name();
        }
        None
    }

    /// Caches that `name` lies in the delegation's zone, or is its apex; never longer than the delegation lives, and
    /// not at all where an address could not be resolved: the next probe tries again.
    pub(crate) fn insert(&self, mode: LookupMode, name: Name, delegation: &Arc<Delegation>) {
        let failed = |server: &NameServer| matches!(server.addresses, Addresses::Failed(_));
        if self.ttl.is_zero() || name.is_root() || delegation.servers.iter().any(failed) {
            return;
        }
        self.zones.insert((mode, name), Arc::clone(delegation));
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
    async fn finds_nearest_cached_name_until_expiry() {
        let cache = DelegationCache::new(Duration::from_mins(1));
        cache.insert(LookupMode::UdpFirst, name("test."), &zone("test."));
        cache.insert(LookupMode::UdpFirst, name("acme.test."), &zone("acme.test."));
        let at = |target: &str| {
            cache.nearest(LookupMode::UdpFirst, &name(target)).map(|(n, d)| (n, d.zone.clone()))
        };
        assert_eq!(at("_x.ACME.test."), Some((name("acme.test."), name("acme.test."))));
        assert_eq!(at("other.test."), Some((name("test."), name("test."))));
        assert_eq!(at("other.example."), None);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(at("_x.acme.test."), None);
    }

    #[tokio::test(start_paused = true)]
    async fn late_name_does_not_extend_zone_expiry() {
        let cache = DelegationCache::new(Duration::from_mins(1));
        let acme = zone("acme.test.");
        tokio::time::advance(Duration::from_secs(59)).await;
        cache.insert(LookupMode::UdpFirst, name("www.acme.test."), &acme);
        assert!(cache.nearest(LookupMode::UdpFirst, &name("www.acme.test.")).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(cache.nearest(LookupMode::UdpFirst, &name("www.acme.test.")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn confirmation_ignores_udp_cache_entries() {
        let cache = DelegationCache::new(Duration::from_mins(1));
        cache.insert(LookupMode::UdpFirst, name("acme.test."), &zone("acme.test."));
        assert!(cache.nearest(LookupMode::TcpOnly, &name("acme.test.")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn zone_in_use_survives_flood_of_names() {
        let cache = DelegationCache::new(Duration::from_mins(1));
        let other = zone("other.");
        // The cache is full of others before.
        (0..20_000).for_each(|n| cache.insert(LookupMode::UdpFirst, name(&format!("n{n}.other.")), &other));
        cache.insert(LookupMode::UdpFirst, name("test."), &zone("test."));
        for n in 0..20_000 {
            let zone = cache.nearest(LookupMode::UdpFirst, &name(&format!("n{n}.test.")));
            cache.insert(LookupMode::UdpFirst, name(&format!("n{n}.test.")), &zone.unwrap().1);
        }
        assert!(cache.zones.len() <= CAPACITY);
    }
}
