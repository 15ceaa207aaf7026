//! Aliases: inside a message, across zones, in loops, too long, and contested ones.
use deed_diagnosis::{ProbeFailure, Reply};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;

use crate::records::{Zones, a, cname, ns, soa, txt};
use crate::world::{ONE, ScriptedServers, TWO, World, acme, probe, server, values};

/// `acme.test` at 127.0.0.4 and `other.test` at 127.0.0.5.
async fn two_zones(acme_records: Vec<Record>, other_records: Vec<Record>) -> World {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("other.test", "ns.other.test"),
        a("ns.other.test", "127.0.0.5"),
    ];
    ScriptedServers::default()
        .parents_with(test)
        .zones("127.0.0.4", acme(acme_records))
        .zones("127.0.0.5", Zones::default().with("other.test", other_records))
        .listen()
        .await
}

#[tokio::test]
async fn reads_alias_inside_zone_from_message() {
    let world = two_zones(
        vec![
            cname("_deed.acme.test", "x.acme.test"),
            cname("x.acme.test", "y.acme.test"),
            txt("y.acme.test", "v"),
        ],
        vec![],
    )
    .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!(
        (seen.aliases, seen.failure, seen.queries),
        (vec!["x.acme.test".into(), "y.acme.test".into()], None, 3)
    );
    assert_eq!(values(&seen.servers[0]), ["v"]);
}

#[tokio::test]
async fn follows_alias_into_another_zone() {
    let world =
        two_zones(vec![cname("_deed.acme.test", "T.Other.test")], vec![txt("t.other.test", "there")]).await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.aliases, seen.failure), (vec!["t.other.test".to_owned()], None));
    assert_eq!(seen.zone.as_deref(), Some("other.test"));
    assert_eq!(seen.servers.len(), 1);
    assert_eq!(
        (seen.servers[0].server.as_str(), values(&seen.servers[0])),
        ("ns.other.test", vec!["there".into()])
    );
}

#[tokio::test]
async fn reports_denial_of_alias_target() {
    for target in ["gone.other.test", "gone.acme.test"] {
        let world = two_zones(vec![cname("_deed.acme.test", target)], vec![]).await;
        let seen = probe(&world.prober(), "_deed.acme.test").await;
        assert_eq!((&seen.aliases[..], &seen.failure), (&[target.to_owned()][..], &None));
        let Reply::Message { rcode: 3, authoritative: true, soa: Some(soa), .. } = &seen.servers[0].reply
        else {
            panic!("{seen:?}")
        };
        assert!(target.ends_with(&soa.owner));
    }
}

#[tokio::test]
async fn detects_alias_loops_in_message_and_across_zones() {
    let inside = two_zones(
        vec![cname("_deed.acme.test", "x.acme.test"), cname("x.acme.test", "_deed.acme.test")],
        vec![],
    )
    .await;
    let across = two_zones(
        vec![cname("_deed.acme.test", "t.other.test")],
        vec![cname("t.other.test", "_DEED.acme.test")],
    )
    .await;
    for world in [inside, across] {
        let seen = probe(&world.prober(), "_deed.acme.test").await;
        assert_eq!(seen.failure, Some(ProbeFailure::AliasLoop));
        assert_eq!(seen.aliases.len(), 2);
    }
    let itself = two_zones(vec![cname("_deed.acme.test", "_deed.acme.test")], vec![]).await;
    assert_eq!(probe(&itself.prober(), "_deed.acme.test").await.failure, Some(ProbeFailure::AliasLoop));
}

/// Aliases from one zone to the other and back, `count` of them, with a value at the end.
async fn zigzag(count: usize) -> World {
    let zone = |i: usize| if i.is_multiple_of(2) { "acme" } else { "other" };
    let at = |i: usize| if i == 0 { "_deed.acme.test".to_owned() } else { format!("n{i}.{}.test", zone(i)) };
    let mut records = [vec![], vec![]];
    for i in 0..count {
        records[i % 2].push(cname(&at(i), &at(i + 1)));
    }
    records[count % 2].push(txt(&at(count), "end"));
    let [acme_records, other_records] = records;
    two_zones(acme_records, other_records).await
}

#[tokio::test]
async fn follows_eight_aliases_but_not_nine() {
    let seen = probe(&zigzag(8).await.prober(), "_deed.acme.test").await;
    assert_eq!((seen.failure, seen.aliases.len()), (None, 8));
    assert_eq!(values(&seen.servers[0]), ["end"]);

    let seen = probe(&zigzag(9).await.prober(), "_deed.acme.test").await;
    assert_eq!((seen.failure, seen.aliases.len()), (Some(ProbeFailure::AliasTooLong), 9));
}

#[tokio::test]
async fn rejects_nine_aliases_in_one_message() {
    let at = |i: usize| if i == 0 { "_deed.acme.test".to_owned() } else { format!("n{i}.acme.test") };
    let mut records: Vec<Record> = (0..9).map(|i| cname(&at(i), &at(i + 1))).collect();
    records.push(txt(&at(9), "end"));
    let seen = probe(&two_zones(records, vec![]).await.prober(), "_deed.acme.test").await;
    assert_eq!(seen.failure, Some(ProbeFailure::AliasTooLong));
}

#[tokio::test]
async fn single_server_cannot_divert_lookup() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .zones("127.0.0.4", acme(vec![txt("_deed.acme.test", "v")]))
        .zones("127.0.0.5", acme(vec![cname("_deed.acme.test", "t.other.test")]))
        .listen()
        .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.aliases.len()), (Some("acme.test"), 0));
    assert_eq!(values(server(&seen, "ns1.acme.test")), ["v"]);
    assert!(values(server(&seen, "ns2.acme.test")).is_empty());
}

#[tokio::test]
async fn does_not_follow_alias_without_authority() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = acme(vec![cname("_deed.acme.test", "t.other.test")]).answer(&seen.message);
            reply.metadata.authoritative = false;
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert!(seen.aliases.is_empty());
    assert!(matches!(seen.servers[0].reply, Reply::Message { authoritative: false, .. }));
}

#[tokio::test]
async fn ignores_denial_for_foreign_zone() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("other.test", "ns.other.test"),
        a("ns.other.test", "127.0.0.5"),
    ];
    let world = ScriptedServers::default()
        .parents_with(test)
        .with("127.0.0.4", |seen| {
            let mut reply = seen.message.clone().into_response();
            reply.metadata.authoritative = true;
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.add_answer(cname("_deed.acme.test", "t.other.test")).add_authority(soa("other.test"));
            reply.into()
        })
        .zones("127.0.0.5", Zones::default().with("other.test", vec![txt("t.other.test", "there")]))
        .listen()
        .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!(
        (seen.zone.as_deref(), values(&seen.servers[0])),
        (Some("other.test"), vec!["there".to_owned()])
    );
}

#[tokio::test]
async fn hides_first_zones_servers_after_alias_to_dead_domain() {
    let root = vec![
        ns("test", "ns.test"),
        a("ns.test", "127.0.0.3"),
        ns("dead", "ns.dead"),
        a("ns.dead", "127.0.0.6"),
    ];
    let test = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    let world = ScriptedServers::default()
        .zones("127.0.0.2", Zones::default().with(".", root))
        .zones("127.0.0.3", Zones::default().with("test", test))
        .zones("127.0.0.4", acme(vec![cname("_deed.acme.test", "t.other.dead")]))
        .zones("127.0.0.6", Zones::default())
        .listen()
        .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!(seen.failure, Some(ProbeFailure::ParentRefused(5)));
    assert_eq!((seen.zone, seen.servers.len(), seen.aliases), (None, 0, vec!["t.other.dead".to_owned()]));
}
