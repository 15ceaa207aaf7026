//! Servers that fail in different ways, addresses that may not be queried, and replies that match no query.
use std::net::IpAddr;

use deed_diagnosis::{NetworkFault, Reply, Transport};
use deed_probe::Ipv6;
use hickory_proto::op::{Message, ResponseCode};

use crate::records::{a, ns};
use crate::world::{Behaviour, ONE, ScriptedServers, TWO, Tcp, probe, server, values, with_value};

const AT: &str = "_deed.acme.test";

fn coded(asked: &Message, code: ResponseCode, authoritative: bool) -> Behaviour {
    let mut reply = asked.clone().into_response();
    reply.metadata.response_code = code;
    reply.metadata.authoritative = authoritative;
    reply.into()
}

#[tokio::test]
async fn reports_fault_per_server() {
    let servers = [
        ("fine.acme.test", "127.0.0.4"),
        ("servfail.acme.test", "127.0.0.5"),
        ("refused.acme.test", "127.0.0.6"),
        ("lame.acme.test", "127.0.0.7"),
        ("silent.acme.test", "127.0.0.8"),
        ("closed.acme.test", "127.0.0.10"),
        ("garbled.acme.test", "127.0.0.11"),
    ];
    let world = ScriptedServers::default()
        .parents(&servers)
        .zones("127.0.0.4", with_value("v"))
        .with("127.0.0.5", |s| coded(&s.message, ResponseCode::ServFail, false))
        .with("127.0.0.6", |s| coded(&s.message, ResponseCode::Refused, false))
        .with("127.0.0.7", |s| coded(&s.message, ResponseCode::NoError, false))
        .with("127.0.0.8", |_| Behaviour::Close)
        .with("127.0.0.11", |s| {
            let mut bytes = s.message.clone().into_response().to_vec().unwrap();
            bytes.truncate(17);
            Behaviour::Raw(vec![bytes])
        })
        .listen()
        .await;
    let seen = probe(&world.impatient_prober(), AT).await;

    assert_eq!((seen.servers.len(), seen.failure.clone()), (7, None));
    assert_eq!(values(server(&seen, "fine.acme.test")), ["v"]);
    let code = |name: &str| match &server(&seen, name).reply {
        Reply::Message { rcode, authoritative, .. } => (*rcode, *authoritative),
        other => panic!("{other:?}"),
    };
    assert_eq!(code("servfail.acme.test"), (2, false));
    assert_eq!(code("refused.acme.test"), (5, false));
    assert_eq!(code("lame.acme.test"), (0, false));
    let fault = |name: &str| match &server(&seen, name).reply {
        Reply::Fault(fault) => *fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault("silent.acme.test"), NetworkFault::Timeout);
    assert_eq!(fault("closed.acme.test"), NetworkFault::Unreachable);
    assert_eq!(fault("garbled.acme.test"), NetworkFault::Malformed);
    assert_eq!(
        server(&seen, "silent.acme.test").transport,
        Transport::Tcp,
        "the last attempt is a connection"
    );
    let silent: Vec<_> = world
        .queries()
        .into_iter()
        .filter(|s| s.server == "127.0.0.8")
        .map(|s| (s.tcp, s.message.edns.is_some()))
        .collect();
    let (with, without) = ((false, true), (false, false));
    assert_eq!(silent, [with, with, without, (true, true)], "once without EDNS, then over a connection");
}

#[tokio::test]
async fn accepts_server_that_answers_tcp_only() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with(
            "127.0.0.4",
            |s| if s.tcp { with_value("v").answer(&s.message).into() } else { Behaviour::Close },
        )
        .listen()
        .await;
    let seen = probe(&world.impatient_prober(), AT).await;
    assert_eq!((values(&seen.servers[0]), seen.servers[0].transport), (vec!["v".to_owned()], Transport::Tcp));
}

#[tokio::test]
async fn sends_nothing_to_refused_address() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", with_value("v"))
        .listen()
        .await;
    let prober = world.prober_with(|c| c.refuse_networks = vec!["127.0.0.5".parse().unwrap()]);
    let seen = probe(&prober, AT).await;
    assert_eq!(values(server(&seen, "ns1.acme.test")), ["v"]);
    let blocked = server(&seen, "ns2.acme.test");
    assert_eq!((&blocked.reply, blocked.address), (&Reply::Blocked, Some(IpAddr::from([127, 0, 0, 5]))));
    assert_eq!((world.query_count("127.0.0.5"), seen.queries), (0, 3), "and nothing is paid for");
}

#[tokio::test]
async fn reports_private_servers_as_blocked() {
    // With a label in between, so that a step of the walk meets the filter too.
    for name in [AT, "_deed.www.acme.test"] {
        let test = vec![
            ns("acme.test", "ns1.acme.test"),
            a("ns1.acme.test", "10.0.0.5"),
            a("ns1.acme.test", "169.254.169.254"),
            a("ns1.acme.test", "::ffff:127.0.0.4"),
            a("ns1.acme.test", "64:ff9b::7f00:4"),
        ];
        let world =
            ScriptedServers::default().parents_with(test).zones("127.0.0.4", with_value("v")).listen().await;
        let prober = world.prober_with(|c| c.allow_networks = vec!["127.0.0.3".parse().unwrap()]);
        let seen = probe(&prober, name).await;
        assert_eq!((seen.servers.len(), seen.failure.clone()), (4, None), "{seen:?}");
        assert!(seen.servers.iter().all(|s| s.reply == Reply::Blocked));
        assert_eq!((world.query_count("127.0.0.4"), seen.queries), (0, 2));
    }
}

#[tokio::test]
async fn ignores_unrelated_replies() {
    let forged = || with_value("forged");
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", move |s| {
            let mut wrong_id = forged().answer(&s.message);
            wrong_id.metadata.id ^= 0x5555;
            let mut wrong_question = forged().answer(&s.message);
            wrong_question.queries[0].name = crate::records::name("_deed.evil.test");
            let mut wrong_case = forged().answer(&s.message);
            wrong_case.queries[0].name = swapped(&wrong_case.queries[0].name);
            let right = with_value("right").answer(&s.message);
            let all = [wrong_id, wrong_question, wrong_case, right];
            Behaviour::Raw(all.iter().map(|m| m.to_vec().unwrap()).collect())
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!(values(&seen.servers[0]), ["right"]);
    assert_eq!((seen.servers[0].transport, world.query_count("127.0.0.4")), (Transport::Udp, 1));
}

fn swapped(name: &hickory_proto::rr::Name) -> hickory_proto::rr::Name {
    let swap = |b: &u8| if b.is_ascii_lowercase() { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() };
    let labels: Vec<Vec<u8>> = name.iter().map(|label| label.iter().map(swap).collect()).collect();
    hickory_proto::rr::Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap()
}

#[tokio::test]
async fn retries_over_tcp_when_letter_case_differs() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let mut reply = with_value("v").answer(&s.message);
            reply.queries[0].name = swapped(&reply.queries[0].name);
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.impatient_prober(), AT).await;
    assert_eq!((values(&seen.servers[0]), seen.servers[0].transport), (vec!["v".to_owned()], Transport::Tcp));
    assert_eq!(world.query_count("127.0.0.4"), 2, "no second datagram");
}

#[tokio::test]
async fn accepts_replies_from_server_only() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let forged = with_value("forged").answer(&s.message).to_vec().unwrap();
            Behaviour::FromElsewhere(forged, Box::new(with_value("right").answer(&s.message)))
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!(values(&seen.servers[0]), ["right"]);
}

#[tokio::test]
async fn moves_query_to_tcp_after_flood_of_wrong_ids() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            if s.tcp {
                return with_value("v").answer(&s.message).into();
            }
            let mut reply = with_value("forged").answer(&s.message);
            let wrong = (1..200).map(|i| {
                reply.metadata.id = s.message.metadata.id ^ i;
                reply.to_vec().unwrap()
            });
            Behaviour::Raw(wrong.collect())
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!((values(&seen.servers[0]), seen.servers[0].transport), (vec!["v".to_owned()], Transport::Tcp));
    assert_eq!(world.query_count("127.0.0.4"), 2, "no second datagram");
}

#[tokio::test]
async fn wrong_tcp_answer_is_malformed() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            if !s.tcp {
                return Behaviour::Close;
            }
            let mut reply = with_value("v").answer(&s.message);
            reply.metadata.id ^= 1;
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.impatient_prober(), AT).await;
    assert_eq!(seen.servers[0].reply, Reply::Fault(NetworkFault::Malformed));
}

#[tokio::test]
async fn missing_address_family_is_unreachable_not_internal() {
    let both = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "2001:db8::4"),
        a("ns1.acme.test", "127.0.0.4"),
    ];
    let only = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "2001:db8::4")];
    for (test, has_v4) in [(both, true), (only, false)] {
        let world =
            ScriptedServers::default().parents_with(test).zones("127.0.0.4", with_value("v")).listen().await;
        let prober = world.prober_with(|c| {
            c.ipv6 = Ipv6::Off;
            c.allow_networks.push("2001:db8::/32".parse().unwrap());
        });
        let seen = probe(&prober, AT).await;
        assert_eq!(seen.servers.len(), 1);
        if has_v4 {
            assert_eq!((values(&seen.servers[0]), seen.failure), (vec!["v".to_owned()], None));
        } else {
            assert_eq!(seen.servers[0].reply, Reply::Fault(NetworkFault::Unreachable));
            assert_eq!(seen.failure, None);
        }
    }
}

#[tokio::test]
async fn accepts_server_without_tcp() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with_tcp("127.0.0.4", Tcp::Closed, |s| with_value("v").answer(&s.message).into())
        .listen()
        .await;
    assert_eq!(values(&probe(&world.prober(), AT).await.servers[0]), ["v"]);
}

#[tokio::test]
async fn queries_server_with_two_names_once_and_counts_two_votes() {
    let world = ScriptedServers::default()
        .parents(&[("ns1.acme.test", "127.0.0.4"), ("ns2.acme.test", "127.0.0.4")])
        .zones("127.0.0.4", with_value("v"))
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!((seen.servers.len(), world.query_count("127.0.0.4")), (2, 1));
    assert!(seen.servers.iter().all(|answer| values(answer) == ["v"]), "{seen:?}");
}
