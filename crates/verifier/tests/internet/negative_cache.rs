//! A record that is published while caches hold a negative answer for it.
use std::net::SocketAddr;
use std::time::Duration;

use deed_diagnosis::{Outcome, judge};
use deed_testkit::{Stub, Unbound};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;

use crate::internet::{Daemon, Internet, InternetPlan, at, challenge, check, question, value};

const DOMAIN: &str = "fresh.com";

/// The codes of these tests.
pub const CODES: [&str; 2] = [STALE_CACHE, VANTAGE_DISAGREEMENT];
const STALE_CACHE: &str = "stale_negative_cache";
const VANTAGE_DISAGREEMENT: &str = "vantage_disagreement";

/// A resolver that caches negative answers for as long as the zone allows: an hour.
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

/// The remaining TTL of a negative answer.
fn negative_ttl(answer: &Message) -> u32 {
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{answer:?}");
    assert!(answer.answers.is_empty());
    let soa = answer.authorities.iter().find(|record| matches!(record.data, RData::SOA(_)));
    soa.expect("a negative answer has an SOA record").ttl
}

#[tokio::test]
async fn proves_new_record_despite_negative_caches() {
    let plan = InternetPlan::in_block(4).domain(DOMAIN, &[Daemon::Knot], "");
    let published = plan.zone(DOMAIN, &[Daemon::Knot], 8, &format!("_deed TXT \"{}\"", value()));
    let internet = plan.start();
    let cache = resolver(&internet);
    let prober = internet.prober();
    let name = challenge(DOMAIN).record_name.to_string();

    // Looked up too early, by a caching resolver and by the prober.
    assert!(negative_ttl(&resolve(cache.address(), &name).await) > 3000);
    assert_eq!(check(&prober, DOMAIN).await.code(), "record_not_found");

    internet.knot.as_ref().unwrap().publish(&published);

    check(&prober, DOMAIN).await.assert_proven();
    assert!(
        negative_ttl(&resolve(cache.address(), &name).await) > 3000,
        "the cache still has the negative answer"
    );

    // With that cache as the trusted resolver, the diagnosis names it and says when it expires.
    let cache_at = cache.address();
    let trusting = internet.prober_with(|config| config.resolvers = vec![cache_at]);
    let checked = check(&trusting, DOMAIN).await;
    assert_eq!(checked.code(), STALE_CACHE, "{checked:#?}");
    let Outcome::NotProven(diagnosis) = &checked.outcome else { unreachable!() };
    assert!(diagnosis.clears_in.is_some_and(|seconds| (3000..=3600).contains(&seconds)), "{diagnosis:?}");

    // With that cache as a vantage point, the diagnosis says that vantage points disagree.
    let elsewhere = internet.prober_with(|config| {
        config.vantages = vec![format!("cache={cache_at}").parse().unwrap()];
        config.vantage_quorum = 1;
    });
    let seen = elsewhere.probe(question(DOMAIN)).await;
    let outcome = judge(&challenge(DOMAIN), &seen);
    assert_eq!(outcome.code().map(deed_diagnosis::Code::as_str), Some(VANTAGE_DISAGREEMENT), "{seen:#?}");
}
