//! A record that is published after somebody has asked for it: who sees it at once, and who does not.
use std::net::SocketAddr;
use std::time::Duration;

use deed_claims::{Outcome, judge};
use deed_testkit::{Stub, Unbound};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;

use crate::world::{By, Internet, Plan, at, challenge, check, question, value};

const DOMAIN: &str = "fresh.com";

/// The causes that are told here.
pub const SHOWN: [&str; 2] = [REMEMBERED, UNSEEN];
const REMEMBERED: &str = "stale_negative_cache";
const UNSEEN: &str = "vantage_disagreement";

/// A resolver that caches as long as the zone lets it: an hour.
fn resolver(internet: &Internet) -> Unbound {
    let stub = |zone: &str, last| Stub { zone: zone.to_owned(), server: internet.at(last) };
    let stubs = [stub("", 1), stub("com", 2), stub(DOMAIN, 13)];
    Unbound::start(at(internet.block, 50), internet.port, &stubs, None)
}

async fn resolve(at: SocketAddr, name: &str) -> Message {
    let mut question = Message::new(77, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), RecordType::TXT));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(at).await.unwrap();
    socket.send(&question.to_vec().unwrap()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let answer = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut bytes));
    let size = answer.await.expect("the resolver answers").unwrap();
    Message::from_vec(&bytes[..size]).unwrap()
}

/// How much longer a denial is kept.
fn denied_for(answer: &Message) -> u32 {
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{answer:?}");
    assert!(answer.answers.is_empty());
    let soa = answer.authorities.iter().find(|record| matches!(record.data, RData::SOA(_)));
    soa.expect("a denial has its SOA").ttl
}

#[tokio::test]
async fn a_fresh_record_is_proven_while_caches_still_deny_it() {
    let plan = Plan::in_block(4).domain(DOMAIN, &[By::Knot], "");
    let published = plan.zone(DOMAIN, &[By::Knot], 8, &format!("_deed TXT \"{}\"", value()));
    let internet = plan.start();
    let cache = resolver(&internet);
    let prober = internet.prober();
    let name = challenge(DOMAIN).record_name.to_string();

    // Asked for too early, by somebody who caches and by us.
    assert!(denied_for(&resolve(cache.address(), &name).await) > 3000);
    assert_eq!(check(&prober, DOMAIN).await.verdict(), "record_not_found");

    internet.knot.as_ref().unwrap().publish(&published);

    check(&prober, DOMAIN).await.assert_proven();
    assert!(denied_for(&resolve(cache.address(), &name).await) > 3000, "the cache has not forgotten");

    // Whoever trusts that cache is told what keeps them waiting, and how long.
    let cache_at = cache.address();
    let trusting = internet.prober_with(|config| config.resolvers = vec![cache_at]);
    let checked = check(&trusting, DOMAIN).await;
    assert_eq!(checked.verdict(), REMEMBERED, "{checked:#?}");
    let Outcome::NotProven(diagnosis) = &checked.outcome else { unreachable!() };
    assert!(diagnosis.clears_in.is_some_and(|seconds| (3000..=3600).contains(&seconds)), "{diagnosis:?}");

    // So is whoever asks it as one of several places.
    let elsewhere = internet.prober_with(|config| {
        config.vantages = vec![format!("cache={cache_at}").parse().unwrap()];
        config.vantage_quorum = 1;
    });
    let seen = elsewhere.probe(question(DOMAIN)).await;
    let outcome = judge(&challenge(DOMAIN), &seen);
    assert_eq!(outcome.code().map(deed_claims::Code::as_str), Some(UNSEEN), "{seen:#?}");
}
