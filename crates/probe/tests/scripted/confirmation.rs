//! The second look: only when a value shows, over connections only, and deaf to what datagrams pretended.
use deed_claims::{Confirmation, NetworkFault, Observation, Reply, ServerAnswer, Transport};
use deed_probe::Question;
use hickory_proto::rr::{Record, RecordType};

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{Cast, ONE, Play, Seen, TWO, Tcp, World, acme, look_for, values, with_value};

const AT: &str = "_deed.acme.test";

fn repeated(seen: &Observation) -> &[ServerAnswer] {
    seen.confirmation.repeated.as_deref().unwrap_or_else(|| panic!("{:?}", seen.confirmation))
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
        assert_eq!((seen.confirmation, seen.queries), (Confirmation::default(), 3));
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
            acme(vec![record]).answer(&s.message).into()
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
        .zones("127.0.0.4", acme(vec![cname(AT, "t.dcv.test")]))
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

/// The servers at the address answer datagrams only.
fn mute_on_connections(zones: Zones) -> impl Fn(&Seen) -> Play {
    move |seen| if seen.tcp { Play::Silence } else { zones.answer(&seen.message).into() }
}

#[tokio::test]
async fn parents_that_stay_silent_on_connections_leave_the_match_unconfirmed() {
    let test = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = Cast::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.3", mute_on_connections(Zones::default().with("test", test)))
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = look_for(&world.hasty(), AT, &["v"]).await;
    assert!(repeated(&seen).is_empty());
    assert_eq!((values(&seen.servers[0]), seen.failure), (vec!["v".to_owned()], None));
    assert!(world.seen().iter().any(|s| s.tcp && s.is("acme.test", RecordType::NS)));
}

#[tokio::test]
async fn a_confirmation_that_fails_on_our_side_says_so_and_leaves_the_first_look_alone() {
    let root =
        Zones::default().with(".", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let world = Cast::default()
        .with("127.0.0.2", mute_on_connections(root))
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = look_for(&world.hasty(), AT, &["v"]).await;
    let again: Vec<&Reply> = repeated(&seen).iter().map(|answer| &answer.reply).collect();
    assert_eq!(again, [&Reply::Fault(NetworkFault::Internal)], "no root server answered");
    assert_eq!((values(&seen.servers[0]), seen.failure), (vec!["v".to_owned()], None));
}

#[tokio::test]
async fn values_at_the_end_of_too_many_aliases_confirm_nothing() {
    let at = |i: usize| if i == 0 { AT.to_owned() } else { format!("n{i}.acme.test") };
    let mut chain: Vec<Record> = (0..9).map(|i| cname(&at(i), &at(i + 1))).collect();
    chain.push(txt(&at(9), "v"));
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", move |s| {
            let records = if s.tcp { chain.clone() } else { vec![txt(AT, "v")] };
            acme(records).answer(&s.message).into()
        })
        .listen()
        .await;
    let seen = look_for(&world.prober(), AT, &["v"]).await;
    assert_eq!((repeated(&seen), seen.failure.clone()), (&[][..], None));
}

async fn look_twice(world: &World) -> Observation {
    let question = Question {
        name: AT.into(),
        looking_for: vec![b"owner".to_vec()],
        confirm_absence: true,
        ..Question::default()
    };
    world.hasty().look(question).await
}

#[tokio::test]
async fn an_absence_that_has_to_be_sure_is_asked_for_again_over_connections() {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("other")).listen().await;
    let seen = look_twice(&world).await;
    assert_eq!(values(&repeated(&seen)[0]), ["other"]);
    assert_eq!((repeated(&seen)[0].transport, seen.queries), (Transport::Tcp, 6));

    let world = Cast::default().parents(ONE).zones("127.0.0.4", acme(vec![])).listen().await;
    let seen = look_twice(&world).await;
    assert!(matches!(repeated(&seen)[0].reply, Reply::Message { rcode: 3, soa: Some(_), .. }), "{seen:?}");
}

#[tokio::test]
async fn a_forged_denial_does_not_outlive_the_second_look() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let truth = with_value("owner");
            if s.tcp { truth.answer(&s.message).into() } else { acme(vec![]).answer(&s.message).into() }
        })
        .listen()
        .await;
    let seen = look_twice(&world).await;
    assert!(values(&seen.servers[0]).is_empty());
    assert_eq!(values(&repeated(&seen)[0]), ["owner"]);
}

#[tokio::test]
async fn silence_refusals_and_hearsay_are_no_absence_to_be_confirmed() {
    let refused = Cast::default().parents(ONE).zones("127.0.0.4", Zones::default()).listen().await;
    let silent = Cast::default().parents(ONE).with("127.0.0.4", |_| Play::Silence).listen().await;
    let lame = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let mut reply = with_value("other").answer(&s.message);
            reply.metadata.authoritative = false;
            reply.into()
        })
        .listen()
        .await;
    for world in [refused, silent, lame] {
        assert_eq!(look_twice(&world).await.confirmation, Confirmation::default());
    }
}
