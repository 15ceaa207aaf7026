//! Remembers servers that answer only questions without EDNS, so that each look does not find out anew.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Heard;
use crate::wire::Extended;

/// Servers remembered; claimants choose them, so there has to be a bound.
const SERVERS: usize = 1_000;
/// How long: a server that was mended is asked with EDNS again soon.
const TTL: Duration = Duration::from_mins(5);

/// Addresses that have answered without EDNS only.
#[derive(Debug, Default)]
pub(crate) struct PlainServers {
    since: Mutex<HashMap<IpAddr, Instant>>,
}

impl PlainServers {
    /// How a question to a server goes out first.
    pub(crate) fn extended_for(&self, address: IpAddr) -> Extended {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match since.get(&address) {
            Some(then) if then.elapsed() < TTL => Extended::Plain,
            Some(_) => {
                since.remove(&address);
                Extended::Edns
            }
            None => Extended::Edns,
        }
    }

    /// Takes note of a server that answered in the end, and only without.
    pub(crate) fn learn(&self, address: IpAddr, heard: &Heard) {
        if !heard.fell_back || heard.result.is_err() {
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
    use deed_claims::{NetworkFault, Transport};
    use hickory_proto::op::{Message, MessageType, OpCode};

    use super::*;
    use crate::exchange::Silence;
    use crate::response::Response;

    fn heard(fell_back: bool, answered: bool) -> Heard {
        let message = Message::new(1, MessageType::Response, OpCode::Query).to_vec().unwrap();
        let result = if answered {
            Ok(Response::read(&message).unwrap())
        } else {
            Err(Silence::Fault(NetworkFault::EdnsBroken))
        };
        Heard { travelled: Transport::Udp, ms: 1, fell_back, result }
    }

    #[tokio::test(start_paused = true)]
    async fn only_servers_that_answered_without_are_remembered_and_not_for_long() {
        let plain = PlainServers::default();
        let at = |last: u8| IpAddr::from([192, 0, 2, last]);
        plain.learn(at(1), &heard(true, true));
        plain.learn(at(2), &heard(false, true));
        plain.learn(at(3), &heard(true, false));
        assert_eq!(
            [1, 2, 3].map(|i| plain.extended_for(at(i))),
            [Extended::Plain, Extended::Edns, Extended::Edns]
        );
        tokio::time::advance(TTL).await;
        assert_eq!(plain.extended_for(at(1)), Extended::Edns);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_make_it_grow_without_end() {
        let plain = PlainServers::default();
        for i in 0..3_000u32 {
            plain.learn(IpAddr::from(i.to_be_bytes()), &heard(true, true));
        }
        assert!(plain.since.lock().unwrap().len() <= SERVERS);
    }
}
