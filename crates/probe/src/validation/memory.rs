//! Keeps keys, and what parents say of them, for a minute at most, so that a check does not ask for the whole chain.
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

/// Answers of one generation; claimants choose the zones, so there has to be a bound.
const ANSWERS: usize = 1_000;

/// Answers to questions for DNSKEY and DS records that have taken part in a verdict that was not bogus. They are
/// validated anew each time: what is saved is the asking.
#[derive(Debug)]
pub(crate) struct KeyMemory {
    ttl: Duration,
    most: usize,
    entries: Mutex<Generations>,
}

type Answers = HashMap<(Name, RecordType), (Message, Instant)>;

#[derive(Debug, Default)]
struct Generations {
    young: Answers,
    old: Answers,
}

impl KeyMemory {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, most: ANSWERS, entries: Mutex::default() }
    }

    pub(super) fn get(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let now = Instant::now();
        let key = (name.clone(), rtype);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.young.get(&key).or_else(|| entries.old.get(&key));
        found.filter(|(_, until)| *until > now).map(|(message, _)| message.clone())
    }

    /// Keeps an answer as long as its records may be kept, and no longer than delegations are.
    pub(super) fn keep(&self, name: &Name, rtype: RecordType, message: &Message) {
        let records = message.answers.iter().chain(&message.authorities);
        let shortest = records.map(|record| record.ttl).min().unwrap_or(0);
        let ttl = self.ttl.min(Duration::from_secs(shortest.into()));
        if ttl.is_zero() {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.young.len() >= self.most {
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
    async fn answers_are_kept_as_long_as_they_may_be_and_a_minute_at_most() {
        let memory = KeyMemory::new(Duration::from_mins(1));
        memory.keep(&name("short.test."), RecordType::DS, &answer(5));
        memory.keep(&name("long.test."), RecordType::DS, &answer(86_400));
        memory.keep(&name("none.test."), RecordType::DS, &answer(0));
        let has = |text: &str| memory.get(&name(text), RecordType::DS).is_some();
        assert_eq!([has("SHORT.test."), has("long.test."), has("none.test.")], [true, true, false]);
        assert!(memory.get(&name("long.test."), RecordType::DNSKEY).is_none());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!([has("short.test."), has("long.test.")], [false, true]);
        tokio::time::advance(Duration::from_secs(55)).await;
        assert!(!has("long.test."));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_beyond_its_bound() {
        let mut memory = KeyMemory::new(Duration::from_mins(1));
        memory.most = 10;
        for i in 0..55 {
            memory.keep(&name(&format!("n{i}.test.")), RecordType::DS, &answer(60));
        }
        let entries = memory.entries.lock().unwrap();
        assert_eq!((entries.young.len(), entries.old.len()), (5, 10));
    }
}
