//! The confirmation: only when a value is seen, over TCP only, and independent of forged datagrams.
use deed_diagnosis::{Confirmation, NetworkFault, Observation, Reply, ServerAnswer, Transport};
use deed_probe::Question;
use hickory_proto::rr::{Record, RecordType};

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{
    Behaviour, ONE, ReceivedQuery, ScriptedServers, TWO, Tcp, World, acme, probe_for, values, with_value,
};

const AT: &str = "_deed.acme.test";

fn repeated(seen: &Observation) -> &[ServerAnswer] {
    seen.confirmation.repeated.as_deref().unwrap_or_else(|| panic!("{:?}", seen.confirmation))
}

#[tokio::test]
async fn confirms_expected_value_over_tcp() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", with_value("other"))
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["x", "v"]).await;
    let again = repeated(&seen);
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|s| s.transport == Transport::Tcp));
    assert_eq!((values(&again[0]), values(&again[1])), (vec!["v".to_owned()], vec!["other".to_owned()]));
    assert!(seen.servers.iter().all(|s| s.transport == Transport::Udp));
    assert_eq!(seen.queries, 8, "root, parent and two servers, twice");
    let asked = world.queries();
    let (first, second) = asked.split_at(4);
    assert!(first.iter().all(|s| !s.tcp) && second.iter().all(|s| s.tcp));
}

#[tokio::test]
async fn skips_second_lookup_without_match() {
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("V ")).listen().await;
    for looking_for in [&[][..], &["v"], &["V"], &["V  "]] {
        let seen = probe_for(&world.prober(), AT, looking_for).await;
        assert_eq!((seen.confirmation, seen.queries), (Confirmation::default(), 3));
    }
    assert!(world.queries().iter().all(|s| !s.tcp));
}

#[tokio::test]
async fn repeats_lookup_after_tcp_answer() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let reply = with_value("v").answer(&s.message);
            if s.tcp { reply.into() } else { reply.truncate().into() }
        })
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["v"]).await;
    assert_eq!(values(&repeated(&seen)[0]), ["v"]);
    let connections = world.queries().iter().filter(|s| s.server == "127.0.0.4" && s.tcp).count();
    assert_eq!(connections, 2);
}

#[tokio::test]
async fn reports_differing_second_lookup() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| with_value(if s.tcp { "truth" } else { "forged" }).answer(&s.message).into())
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["forged"]).await;
    assert_eq!(values(&seen.servers[0]), ["forged"]);
    assert_eq!(values(&repeated(&seen)[0]), ["truth"]);
}

#[tokio::test]
async fn reports_failed_second_lookup() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with_tcp("127.0.0.4", Tcp::Closed, |s| with_value("v").answer(&s.message).into())
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["v"]).await;
    assert_eq!(repeated(&seen)[0].reply, Reply::Fault(NetworkFault::Unreachable));
    assert_eq!(seen.failure, None);
}

#[tokio::test]
async fn second_lookup_exposes_forged_referral() {
    let test = |address| vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", address)];
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = ScriptedServers::default()
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
        let seen = probe_for(&prober, AT, &["thief"]).await;
        assert_eq!(values(&seen.servers[0]), ["thief"]);
        assert_eq!(values(&repeated(&seen)[0]), ["owner"], "not even when the referral is remembered");
    }
}

#[tokio::test]
async fn second_lookup_exposes_forged_alias() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("evil.test", "ns.evil.test"),
        a("ns.evil.test", "127.0.0.66"),
    ];
    let world = ScriptedServers::default()
        .parents_with(test)
        .with("127.0.0.4", |s| {
            let record = if s.tcp { txt(AT, "owner") } else { cname(AT, "t.evil.test") };
            acme(vec![record]).answer(&s.message).into()
        })
        .zones("127.0.0.66", Zones::default().with("evil.test", vec![txt("t.evil.test", "thief")]))
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["thief"]).await;
    assert_eq!(values(&seen.servers[0]), ["thief"]);
    assert_eq!(values(&repeated(&seen)[0]), ["owner"]);
}

#[tokio::test]
async fn second_lookup_follows_aliases() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("dcv.test", "ns.dcv.test"),
        a("ns.dcv.test", "127.0.0.5"),
    ];
    let world = ScriptedServers::default()
        .parents_with(test)
        .zones("127.0.0.4", acme(vec![cname(AT, "t.dcv.test")]))
        .zones("127.0.0.5", Zones::default().with("dcv.test", vec![txt("t.dcv.test", "v")]))
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["v"]).await;
    assert_eq!((seen.aliases.len(), seen.failure.clone()), (1, None));
    assert_eq!(
        (repeated(&seen)[0].server.as_str(), values(&repeated(&seen)[0])),
        ("ns.dcv.test", vec!["v".into()])
    );
}

/// A server that answers over UDP only.
fn mute_on_connections(zones: Zones) -> impl Fn(&ReceivedQuery) -> Behaviour {
    move |seen| if seen.tcp { Behaviour::Close } else { zones.answer(&seen.message).into() }
}

#[tokio::test]
async fn leaves_match_unconfirmed_when_parents_lack_tcp() {
    let test = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = ScriptedServers::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.3", mute_on_connections(Zones::default().with("test", test)))
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = probe_for(&world.impatient_prober(), AT, &["v"]).await;
    assert!(repeated(&seen).is_empty());
    assert_eq!((values(&seen.servers[0]), seen.failure), (vec!["v".to_owned()], None));
    assert!(world.queries().iter().any(|s| s.tcp && s.is("acme.test", RecordType::NS)));
}

#[tokio::test]
async fn reports_local_failure_of_confirmation_separately() {
    let root =
        Zones::default().with(".", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let world = ScriptedServers::default()
        .with("127.0.0.2", mute_on_connections(root))
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = probe_for(&world.impatient_prober(), AT, &["v"]).await;
    let again: Vec<&Reply> = repeated(&seen).iter().map(|answer| &answer.reply).collect();
    assert_eq!(again, [&Reply::Fault(NetworkFault::Internal)], "no root server answered");
    assert_eq!((values(&seen.servers[0]), seen.failure), (vec!["v".to_owned()], None));
}

#[tokio::test]
async fn too_long_alias_chain_confirms_nothing() {
    let at = |i: usize| if i == 0 { AT.to_owned() } else { format!("n{i}.acme.test") };
    let mut chain: Vec<Record> = (0..9).map(|i| cname(&at(i), &at(i + 1))).collect();
    chain.push(txt(&at(9), "v"));
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", move |s| {
            let records = if s.tcp { chain.clone() } else { vec![txt(AT, "v")] };
            acme(records).answer(&s.message).into()
        })
        .listen()
        .await;
    let seen = probe_for(&world.prober(), AT, &["v"]).await;
    assert_eq!((repeated(&seen), seen.failure.clone()), (&[][..], None));
}

async fn probe_for_absence(world: &World) -> Observation {
    let question = Question {
        name: AT.into(),
        looking_for: vec![b"owner".to_vec()],
        confirm_absence: true,
        ..Question::default()
    };
    world.impatient_prober().probe(question).await
}

#[tokio::test]
async fn confirms_absence_over_tcp() {
    let world =
        ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("other")).listen().await;
    let seen = probe_for_absence(&world).await;
    assert_eq!(values(&repeated(&seen)[0]), ["other"]);
    assert_eq!((repeated(&seen)[0].transport, seen.queries), (Transport::Tcp, 6));

    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", acme(vec![])).listen().await;
    let seen = probe_for_absence(&world).await;
    assert!(matches!(repeated(&seen)[0].reply, Reply::Message { rcode: 3, soa: Some(_), .. }), "{seen:?}");
}

#[tokio::test]
async fn second_lookup_exposes_forged_denial() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let truth = with_value("owner");
            if s.tcp { truth.answer(&s.message).into() } else { acme(vec![]).answer(&s.message).into() }
        })
        .listen()
        .await;
    let seen = probe_for_absence(&world).await;
    assert!(values(&seen.servers[0]).is_empty());
    assert_eq!(values(&repeated(&seen)[0]), ["owner"]);
}

#[tokio::test]
async fn does_not_confirm_absence_without_authority() {
    let refused = ScriptedServers::default().parents(ONE).zones("127.0.0.4", Zones::default()).listen().await;
    let silent =
        ScriptedServers::default().parents(ONE).with("127.0.0.4", |_| Behaviour::Close).listen().await;
    let lame = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let mut reply = with_value("other").answer(&s.message);
            reply.metadata.authoritative = false;
            reply.into()
        })
        .listen()
        .await;
    for world in [refused, silent, lame] {
        assert_eq!(probe_for_absence(&world).await.confirmation, Confirmation::default());
    }
}
