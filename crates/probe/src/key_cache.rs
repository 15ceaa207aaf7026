//! Caches DNSKEY and DS answers for a minute at most, so that not every validation queries the whole chain.
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use quick_cache::sync::Cache;
use tokio::time::Instant;

/// Answers in the cache at most: claimants choose the zones. Answers that are never read again are evicted first.
const CAPACITY: usize = 2_000;

/// An answer, and how long it may be used.
type CachedAnswer = (Message, Instant);

/// DNSKEY and DS answers that took part in a verdict other than bogus. They are validated anew each time; the cache
/// only saves the queries.
#[derive(Debug)]
pub(crate) struct KeyCache {
    ttl: Duration,
    answers: Cache<(Name, RecordType), CachedAnswer>,
}

impl KeyCache {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, answers: Cache::new(CAPACITY) }
    }

    pub(crate) fn get(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let (message, until) = self.answers.get(&(name.clone(), rtype))?;
        (until > Instant::now()).then_some(message)
    }

    /// Caches an answer as long as the TTL of its records allows, and no longer than delegations.
    pub(crate) fn insert(&self, name: &Name, rtype: RecordType, message: &Message) {
        let records = message.answers.iter().chain(&message.authorities);
        let shortest = records.map(|record| record.ttl).min().unwrap_or(0);
        let ttl = self.ttl.min(Duration::from_secs(shortest.into()));
        if !ttl.is_zero() {
            self.answers.insert((name.clone(), rtype), (message.clone(), Instant::now() + ttl));
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::rdata::NS;
    use hickory_proto::rr::{RData, Record};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn answer(ttl: u32) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.add_answer(Record::from_rdata(name("test."), ttl, RData::NS(NS(name("ns.test.")))));
        message
    }

    #[tokio::test(start_paused = true)]
    async fn caches_answers_for_ttl_and_at_most_a_minute() {
        let cache = KeyCache::new(Duration::from_mins(1));
        cache.insert(&name("short.test."), RecordType::DS, &answer(5));
        cache.insert(&name("long.test."), RecordType::DS, &answer(86_400));
        cache.insert(&name("none.test."), RecordType::DS, &answer(0));
        let has = |text: &str| cache.get(&name(text), RecordType::DS).is_some();
        assert_eq!([has("SHORT.test."), has("long.test."), has("none.test.")], [true, true, false]);
        assert!(cache.get(&name("long.test."), RecordType::DNSKEY).is_none());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!([has("short.test."), has("long.test.")], [false, true]);
        tokio::time::advance(Duration::from_secs(55)).await;
        assert!(!has("long.test."));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_in_use_survive_flood_of_zones() {
        let cache = KeyCache::new(Duration::from_mins(1));
        // The cache is full of others before.
        (0..4_000)
            .for_each(|n| cache.insert(&name(&format!("n{n}.other.")), RecordType::DNSKEY, &answer(60)));
        cache.insert(&name("test."), RecordType::DNSKEY, &answer(60));
        for n in 0..20_000 {
            cache.insert(&name(&format!("n{n}.test.")), RecordType::DNSKEY, &answer(60));
            // Each validation below the zone reads its keys.
            assert!(cache.get(&name("test."), RecordType::DNSKEY).is_some(), "after {n} others");
        }
        assert!(cache.answers.len() <= CAPACITY);
    }
}
