//! Where hostnames lead, beside their records.
use deed_claims::{Routing, RoutingState};
use deed_probe::{Prober, Question, Route};

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{Cast, Play, World, acme};

const HOST: &str = "shop.acme.test";
const TARGET: &str = "shop.apps.vendor.test";

/// `vendor.test` beside `acme.test`, which has these records.
async fn world(records: Vec<hickory_proto::rr::Record>) -> World {
    let parent = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("vendor.test", "ns1.vendor.test"),
        a("ns1.vendor.test", "127.0.0.5"),
    ];
    let vendor = vec![
        ns("vendor.test", "ns1.vendor.test"),
        a("ns1.vendor.test", "127.0.0.5"),
        a(TARGET, "192.0.2.7"),
        a("lb.vendor.test", "192.0.2.8"),
    ];
    let mut records = records;
    records.push(txt("_v.shop.acme.test", "v"));
    Cast::default()
        .parents_with(parent)
        .zones("127.0.0.4", acme(records))
        .zones("127.0.0.5", Zones::default().with("vendor.test", vendor))
        .listen()
        .await
}

async fn routing(prober: &Prober) -> Option<Routing> {
    let seen = prober
        .look(Question {
            name: "_v.shop.acme.test".into(),
            looking_for: vec![b"v".to_vec()],
            route: Some(Route { host: HOST.into(), target: TARGET.into() }),
            ..Question::default()
        })
        .await;
    assert!(seen.queries <= 60, "{}", seen.queries);
    seen.routing.as_ref().map(Routing::of)
}

async fn found(records: Vec<hickory_proto::rr::Record>) -> (RoutingState, Vec<String>) {
    let world = world(records).await;
    let routing = routing(&world.prober()).await.unwrap();
    (routing.state, routing.seen)
}

#[tokio::test]
async fn an_alias_of_the_target_is_seen_along_its_chain() {
    assert_eq!(found(vec![cname(HOST, TARGET)]).await.0, RoutingState::Ok);
    let chained = vec![cname(HOST, "www.acme.test"), cname("www.acme.test", TARGET)];
    assert_eq!(found(chained).await.0, RoutingState::Ok);
}

#[tokio::test]
async fn a_flattened_alias_has_the_targets_addresses() {
    assert_eq!(found(vec![a(HOST, "192.0.2.7")]).await, (RoutingState::Ok, vec!["192.0.2.7".to_owned()]));
}

#[tokio::test]
async fn other_places_are_told_with_what_was_seen() {
    let elsewhere = found(vec![cname(HOST, "lb.vendor.test")]).await;
    assert_eq!(
        elsewhere,
        (RoutingState::Elsewhere, vec!["lb.vendor.test".to_owned(), "192.0.2.8".to_owned()])
    );
    assert_eq!(found(vec![a(HOST, "192.0.2.9")]).await.0, RoutingState::Elsewhere);
    assert_eq!(found(vec![cname(HOST, "gone.vendor.test")]).await.0, RoutingState::Elsewhere);
    assert_eq!(found(vec![]).await, (RoutingState::Missing, vec![]));
}

#[tokio::test]
async fn a_proxy_hides_the_target() {
    assert_eq!(found(vec![a(HOST, "104.16.1.1")]).await.0, RoutingState::Proxied);
    assert_eq!(found(vec![a(HOST, "104.16.1.1"), a(HOST, "192.0.2.9")]).await.0, RoutingState::Elsewhere);
}

#[tokio::test]
async fn servers_that_do_not_answer_say_nothing_of_the_way() {
    let parent = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    let world = Cast::default().parents_with(parent).with("127.0.0.4", |_| Play::Silence).listen().await;
    assert_eq!(routing(&world.hasty()).await, None);
}

#[tokio::test]
async fn aliases_in_a_circle_lead_nowhere() {
    let circle = vec![cname(HOST, "b.acme.test"), cname("b.acme.test", HOST)];
    assert_eq!(found(circle).await.0, RoutingState::Elsewhere);
}
