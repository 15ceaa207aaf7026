//! Caches which servers do not support EDNS, so that not every probe has to find out anew.
use std::net::IpAddr;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::wire::EdnsMode;

/// Servers in the cache at most: claimants choose them.
const CAPACITY: usize = 1_000;
/// How long an entry counts: a repaired server is queried with EDNS again soon.
const TTL: Duration = Duration::from_mins(5);

/// Addresses that have answered only without EDNS, and since when.
#[derive(Debug)]
pub(crate) struct NoEdnsCache {
    since: Cache<IpAddr, Instant>,
}

impl Default for NoEdnsCache {
    fn default() -> Self {
        Self { since: Cache::new(CAPACITY) }
    }
}

impl NoEdnsCache {
    /// Whether the first query to a server uses EDNS.
    pub(crate) fn edns_for(&self, address: IpAddr) -> EdnsMode {
        match self.since.get(&address) {
            Some(then) if then.elapsed() < TTL => EdnsMode::Without,
            _ => EdnsMode::With,
        }
    }

    /// Records a server that answered in the end, and only without EDNS.
    pub(crate) fn record(&self, address: IpAddr) {
        self.since.insert(address, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn remembers_server_until_ttl() {
        let cache = NoEdnsCache::default();
        cache.record(address(1));
        assert_eq!([1, 2].map(|n| cache.edns_for(address(n))), [EdnsMode::Without, EdnsMode::With]);
        tokio::time::advance(TTL).await;
        assert_eq!(cache.edns_for(address(1)), EdnsMode::With);
    }

    #[tokio::test(start_paused = true)]
    async fn queried_server_survives_flood_of_others() {
        let cache = NoEdnsCache::default();
        // The cache is full of others before.
        (30_000..32_000).for_each(|n| cache.record(address(n)));
        cache.record(address(0));
        // It is queried again at once: a probe has several queries for it.
        assert_eq!(cache.edns_for(address(0)), EdnsMode::Without);
        for n in 1..=20_000 {
            cache.record(address(n));
            assert!(n % 500 != 0 || cache.edns_for(address(0)) == EdnsMode::Without, "after {n} others");
        }
        assert!(cache.since.len() <= CAPACITY);
    }
}
