//! The second look: only when a value shows, over connections only, and deaf to what datagrams pretended.
use deed_claims::{Confirmation, NetworkFault, Observation, Reply, ServerAnswer, Transport};
use hickory_proto::rr::RecordType;

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{Cast, ONE, Play, TWO, Tcp, look_for, values, with_value};

const AT: &str = "_deed.acme.test";

fn repeated(seen: &Observation) -> &[ServerAnswer] {
    match &seen.confirmation {
        Confirmation::Repeated(answers) => answers,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_value_that_was_looked_for_is_asked_for_again_over_connections() {
    let world = Cast::default()
        .parents(TWO)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", with_value("other"))
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["x", "v"]).await;
    let again = repeated(&seen);
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|s| s.transport == Transport::Tcp));
    assert_eq!((values(&again[0]), values(&again[1])), (vec!["v".to_owned()], vec!["other".to_owned()]));
    assert!(seen.servers.iter().all(|s| s.transport == Transport::Udp));
    assert_eq!(seen.queries, 8, "root, parent and two servers, twice");
    let asked = world.seen();
    let (first, second) = asked.split_at(4);
    assert!(first.iter().all(|s| !s.tcp) && second.iter().all(|s| s.tcp));
}

#[tokio::test]
async fn nothing_is_repeated_without_a_match() {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("V ")).listen().await;
    for looking_for in [&[][..], &["v"], &["V"], &["V  "]] {
        let seen = look_for(&world.prober(), AT, looking_for).await;
        assert_eq!((seen.confirmation, seen.queries), (Confirmation::NotNeeded, 3));
    }
    assert!(world.seen().iter().all(|s| !s.tcp));
}

#[tokio::test]
async fn an_answer_that_came_over_a_connection_is_repeated_as_well() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let reply = with_value("v").answer(&s.message);
            if s.tcp { reply.into() } else { reply.truncate().into() }
        })
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["v"]).await;
    assert_eq!(values(&repeated(&seen)[0]), ["v"]);
    let connections = world.seen().iter().filter(|s| s.server == "127.0.0.4" && s.tcp).count();
    assert_eq!(connections, 2);
}

#[tokio::test]
async fn a_second_look_that_differs_is_reported_as_it_is() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| with_value(if s.tcp { "truth" } else { "forged" }).answer(&s.message).into())
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["forged"]).await;
    assert_eq!(values(&seen.servers[0]), ["forged"]);
    assert_eq!(values(&repeated(&seen)[0]), ["truth"]);
}

#[tokio::test]
async fn a_second_look_that_fails_is_reported_as_it_is() {
    let world = Cast::default()
        .parents(ONE)
        .also("127.0.0.4", Tcp::Closed, |s| with_value("v").answer(&s.message).into())
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["v"]).await;
    assert_eq!(repeated(&seen)[0].reply, Reply::Fault(NetworkFault::Unreachable));
    assert_eq!(seen.failure, None);
}

#[tokio::test]
async fn a_forged_referral_does_not_outlive_the_second_look() {
    let test = |address| vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", address)];
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = Cast::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.3", move |s| {
            let address = if s.tcp { "127.0.0.4" } else { "127.0.0.66" };
            Zones::default().with("test", test(address)).answer(&s.message).into()
        })
        .zones("127.0.0.4", with_value("owner"))
        .zones("127.0.0.66", with_value("thief"))
        .listen()
        .await;
    let prober = world.prober();
    for _ in 0..2 {
        let seen = look_for(&prober, AT, &["thief"]).await;
        assert_eq!(values(&seen.servers[0]), ["thief"]);
        assert_eq!(values(&repeated(&seen)[0]), ["owner"], "not even when the referral is remembered");
    }
}

#[tokio::test]
async fn a_forged_alias_does_not_outlive_the_second_look() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("evil.test", "ns.evil.test"),
        a("ns.evil.test", "127.0.0.66"),
    ];
    let world = Cast::default()
        .parents_with(test)
        .with("127.0.0.4", |s| {
            let record = if s.tcp { txt(AT, "owner") } else { cname(AT, "t.evil.test") };
            crate::world::acme(vec![record]).answer(&s.message).into()
        })
        .zones("127.0.0.66", Zones::default().with("evil.test", vec![txt("t.evil.test", "thief")]))
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["thief"]).await;
    assert_eq!(values(&seen.servers[0]), ["thief"]);
    assert_eq!(values(&repeated(&seen)[0]), ["owner"]);
}

#[tokio::test]
async fn the_second_look_follows_aliases_like_the_first() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("dcv.test", "ns.dcv.test"),
        a("ns.dcv.test", "127.0.0.5"),
    ];
    let world = Cast::default()
        .parents_with(test)
        .zones("127.0.0.4", crate::world::acme(vec![cname(AT, "t.dcv.test")]))
        .zones("127.0.0.5", Zones::default().with("dcv.test", vec![txt("t.dcv.test", "v")]))
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["v"]).await;
    assert_eq!((seen.aliases.len(), seen.failure.clone()), (1, None));
    assert_eq!(
        (repeated(&seen)[0].server.as_str(), values(&repeated(&seen)[0])),
        ("ns.dcv.test", vec!["v".into()])
    );
}

#[tokio::test]
async fn parents_that_stay_silent_on_connections_leave_the_match_unconfirmed() {
    let root =
        Zones::default().with(".", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let world = Cast::default()
        .with("127.0.0.2", move |s| if s.tcp { Play::Silence } else { root.answer(&s.message).into() })
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = look_for(&world.hasty(), AT, &["v"]).await;
    assert!(repeated(&seen).is_empty());
    assert!(seen.failure.is_some());
    assert!(world.seen().iter().any(|s| s.tcp && s.is("test", RecordType::NS)));
}
