//! Caches DNSKEY and DS answers for a minute at most, so that not every validation queries the whole chain.
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

/// Answers per generation. Bounded, because claimants choose the zones.
const MAX_ANSWERS: usize = 1_000;

/// DNSKEY and DS answers that took part in a verdict other than bogus. They are validated anew each time; the cache
/// only saves the queries.
#[derive(Debug)]
pub(crate) struct KeyCache {
    ttl: Duration,
    max_answers: usize,
    entries: Mutex<Generations>,
}

type CachedAnswers = HashMap<(Name, RecordType), (Message, Instant)>;

#[derive(Debug, Default)]
struct Generations {
    young: CachedAnswers,
    old: CachedAnswers,
}

impl KeyCache {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, max_answers: MAX_ANSWERS, entries: Mutex::default() }
    }

    pub(super) fn get(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let now = Instant::now();
        let key = (name.clone(), rtype);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.young.get(&key).or_else(|| entries.old.get(&key));
        found.filter(|(_, until)| *until > now).map(|(message, _)| message.clone())
    }

    /// Caches an answer as long as the TTL of its records allows, and no longer than delegations.
    pub(super) fn insert(&self, name: &Name, rtype: RecordType, message: &Message) {
        let records = message.answers.iter().chain(&message.authorities);
        let shortest = records.map(|record| record.ttl).min().unwrap_or(0);
        let ttl = self.ttl.min(Duration::from_secs(shortest.into()));
        if ttl.is_zero() {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.young.len() >= self.max_answers {
            entries.old = mem::take(&mut entries.young);
        }
        entries.young.insert((name.clone(), rtype), (message.clone(), Instant::now() + ttl));
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
    async fn stays_within_bound() {
        let mut cache = KeyCache::new(Duration::from_mins(1));
        cache.max_answers = 10;
        for i in 0..55 {
            cache.insert(&name(&format!("n{i}.test.")), RecordType::DS, &answer(60));
        }
        let entries = cache.entries.lock().unwrap();
        assert_eq!((entries.young.len(), entries.old.len()), (5, 10));
    }
}
