//! Routing: where hostnames lead.
use deed_diagnosis::{Routing, RoutingState};
use deed_probe::{Prober, Question, RoutingQuestion};

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{Behaviour, ScriptedServers, World, acme};

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
    ScriptedServers::default()
        .parents_with(parent)
        .zones("127.0.0.4", acme(records))
        .zones("127.0.0.5", Zones::default().with("vendor.test", vendor))
        .listen()
        .await
}

async fn routing(prober: &Prober) -> Option<Routing> {
    let seen = prober
        .probe(Question {
            name: "_v.shop.acme.test".into(),
            looking_for: vec![b"v".to_vec()],
            route: Some(RoutingQuestion { host: HOST.into(), target: TARGET.into() }),
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
async fn finds_target_along_alias_chain() {
    assert_eq!(found(vec![cname(HOST, TARGET)]).await.0, RoutingState::Ok);
    let chained = vec![cname(HOST, "www.acme.test"), cname("www.acme.test", TARGET)];
    assert_eq!(found(chained).await.0, RoutingState::Ok);
}

#[tokio::test]
async fn recognises_flattened_alias_by_addresses() {
    assert_eq!(found(vec![a(HOST, "192.0.2.7")]).await, (RoutingState::Ok, vec!["192.0.2.7".to_owned()]));
}

#[tokio::test]
async fn reports_other_destinations_with_addresses() {
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
async fn recognises_proxy() {
    assert_eq!(found(vec![a(HOST, "104.16.1.1")]).await.0, RoutingState::Proxied);
    assert_eq!(found(vec![a(HOST, "104.16.1.1"), a(HOST, "192.0.2.9")]).await.0, RoutingState::Elsewhere);
}

#[tokio::test]
async fn silent_servers_give_no_routing() {
    let parent = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    let world = ScriptedServers::default()
        .parents_with(parent)
        .with("127.0.0.4", |_| Behaviour::Close)
        .listen()
        .await;
    assert_eq!(routing(&world.impatient_prober()).await, None);
}

#[tokio::test]
async fn alias_loop_leads_nowhere() {
    let circle = vec![cname(HOST, "b.acme.test"), cname("b.acme.test", HOST)];
    assert_eq!(found(circle).await.0, RoutingState::Elsewhere);
}
