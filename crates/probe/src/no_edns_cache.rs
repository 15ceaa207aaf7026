//! Caches which servers do not support EDNS, so that not every probe has to find out anew.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::wire::EdnsMode;

/// Servers in the cache. Bounded, because claimants choose them.
const SERVERS: usize = 1_000;
/// How long an entry counts: a repaired server is queried with EDNS again soon.
const TTL: Duration = Duration::from_mins(5);

/// Addresses that have answered only without EDNS, and since when.
#[derive(Debug, Default)]
pub(crate) struct NoEdnsCache {
    since: Mutex<HashMap<IpAddr, Instant>>,
}

impl NoEdnsCache {
    /// Whether the first query to a server uses EDNS.
    pub(crate) fn edns_for(&self, address: IpAddr) -> EdnsMode {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match since.get(&address) {
            Some(then) if then.elapsed() < TTL => EdnsMode::Without,
            Some(_) => {
                since.remove(&address);
                EdnsMode::With
            }
            None => EdnsMode::With,
        }
    }

    /// Records a server that answered in the end, and only without EDNS.
    pub(crate) fn record(&self, address: IpAddr, exchange: &Exchange) {
        if !exchange.fell_back || exchange.result.is_err() {
            return;
        }
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= SERVERS {
            since.clear();
        }
        since.insert(address, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::{NetworkFault, Transport};
    use hickory_proto::op::{Message, MessageType, OpCode};

    use super::*;
    use crate::exchange::NoReply;
    use crate::response::Response;

    fn exchange(fell_back: bool, answered: bool) -> Exchange {
        let message = Message::new(1, MessageType::Response, OpCode::Query).to_vec().unwrap();
        let result = if answered {
            Ok(Response::read(&message).unwrap())
        } else {
            Err(NoReply::Fault(NetworkFault::EdnsBroken))
        };
        Exchange { transport: Transport::Udp, ms: 1, fell_back, result }
    }

    #[tokio::test(start_paused = true)]
    async fn remembers_only_answers_without_edns_until_ttl() {
        let cache = NoEdnsCache::default();
        let at = |last: u8| IpAddr::from([192, 0, 2, last]);
        cache.record(at(1), &exchange(true, true));
        cache.record(at(2), &exchange(false, true));
        cache.record(at(3), &exchange(true, false));
        assert_eq!(
            [1, 2, 3].map(|i| cache.edns_for(at(i))),
            [EdnsMode::Without, EdnsMode::With, EdnsMode::With]
        );
        tokio::time::advance(TTL).await;
        assert_eq!(cache.edns_for(at(1)), EdnsMode::With);
    }

    #[tokio::test(start_paused = true)]
    async fn stays_within_entry_limit() {
        let cache = NoEdnsCache::default();
        for i in 0..3_000u32 {
            cache.record(IpAddr::from(i.to_be_bytes()), &exchange(true, true));
        }
        assert!(cache.since.lock().unwrap().len() <= SERVERS);
    }
}
