//! What is read from answers: joined strings, odd bytes, large and truncated answers, EDNS.
use deed_diagnosis::{NetworkFault, Reply, Transport};
use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, Record};

use crate::records::{a, name, strings, txt};
use crate::world::{
    Behaviour, ONE, ReceivedQuery, ScriptedServers, Tcp, World, acme, probe, values, with_value,
};

const AT: &str = "_deed.acme.test";

async fn holding(records: Vec<Record>) -> World {
    ScriptedServers::default().parents(ONE).zones("127.0.0.4", acme(records)).listen().await
}

async fn raw_values(world: &World) -> Vec<Vec<u8>> {
    let seen = probe(&world.prober(), AT).await;
    match &seen.servers[..] {
        [answer] => match &answer.reply {
            Reply::Message { values, oversize: false, .. } => values.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn joins_strings_per_record_only() {
    let world = holding(vec![
        strings(AT, &[b"deed-", b"domain-claim=", b"x"]),
        strings(AT, &[b"deed-"]),
        strings(AT, &[b"x"]),
        txt("other.acme.test", "no"),
    ])
    .await;
    assert_eq!(raw_values(&world).await, [b"deed-".to_vec(), b"deed-domain-claim=x".to_vec(), b"x".to_vec()]);
}

#[tokio::test]
async fn reads_value_longer_than_one_string() {
    let long = [b'a'; 300];
    let world = holding(vec![strings(AT, &[&long[..255], &long[255..]])]).await;
    assert_eq!(raw_values(&world).await, [long.to_vec()]);
}

#[tokio::test]
async fn preserves_bytes() {
    let world = holding(vec![
        strings(AT, &[b"\xff\xfe\x00\"\\ "]),
        strings(AT, &[b""]),
        strings(AT, &[b"", b"x", b""]),
    ])
    .await;
    assert_eq!(raw_values(&world).await, [b"".to_vec(), b"x".to_vec(), b"\xff\xfe\x00\"\\ ".to_vec()]);
}

#[tokio::test]
async fn ignores_other_types_and_sections() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = acme(vec![a(AT, "127.0.0.8")]).answer(&seen.message);
            reply.add_answer(a(AT, "127.0.0.8")).add_answer(txt("acme.test", "apex"));
            reply.add_authority(txt(AT, "authority")).add_additional(txt(AT, "additional"));
            reply.into()
        })
        .listen()
        .await;
    assert!(raw_values(&world).await.is_empty());
}

#[tokio::test]
async fn reports_soa_of_denial() {
    for (records, code) in [(vec![], 3), (vec![a(AT, "127.0.0.8")], 0)] {
        let world = holding(records).await;
        let seen = probe(&world.prober(), AT).await;
        let Reply::Message { rcode, authoritative: true, values, soa: Some(soa), .. } =
            &seen.servers[0].reply
        else {
            panic!("{seen:?}")
        };
        assert_eq!((*rcode, values.len(), soa.owner.as_str(), soa.serial), (code, 0, "acme.test", 42));
        assert_eq!(seen.failure, None);
    }
}

#[tokio::test]
async fn fetches_truncated_answer_over_tcp() {
    let whole = acme(vec![txt(AT, &"x".repeat(200)), txt(AT, "v")]);
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", move |seen| {
            let reply = whole.answer(&seen.message);
            if seen.tcp { reply.into() } else { reply.truncate().into() }
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!(values(&seen.servers[0]), ["v".to_owned(), "x".repeat(200)]);
    assert_eq!(seen.servers[0].transport, Transport::Tcp);
    assert!(matches!(seen.servers[0].reply, Reply::Message { truncated: false, .. }));
    assert_eq!(seen.queries, 4);
}

#[tokio::test]
async fn reports_truncation_without_tcp() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with_tcp("127.0.0.4", Tcp::Closed, |seen| {
            // Cut in the middle of a record, as careless servers do.
            let mut reply = with_value("v").answer(&seen.message);
            reply.metadata.truncation = true;
            let mut bytes = reply.to_vec().unwrap();
            bytes.truncate(bytes.len() - 1);
            Behaviour::Raw(vec![bytes])
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!(seen.servers[0].reply, Reply::Fault(NetworkFault::TruncatedNoTcp));
}

#[tokio::test]
async fn reports_truncation_over_tcp() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = with_value("v").answer(&seen.message);
            reply.metadata.truncation = true;
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert!(matches!(seen.servers[0].reply, Reply::Message { truncated: true, .. }));
}

#[tokio::test]
async fn marks_large_sets_oversize() {
    let many = (0..65).map(|i| txt(AT, &format!("value {i}"))).collect();
    let long = (0..64).map(|i| strings(AT, &[&[i; 255], &[i; 45]])).collect();
    for (records, count) in [(many, 65), (long, 64)] {
        let world = holding(records).await;
        let seen = probe(&world.prober(), AT).await;
        let Reply::Message { values, oversize, .. } = &seen.servers[0].reply else { panic!("{seen:?}") };
        assert_eq!((values.len(), *oversize), (count, true));
    }
}

#[tokio::test]
async fn retries_without_edns_after_formerr() {
    for with_question in [true, false] {
        let world = ScriptedServers::default()
            .parents(ONE)
            .with("127.0.0.4", move |seen| {
                if seen.message.edns.is_none() {
                    return with_value("plain").answer(&seen.message).into();
                }
                let mut reply = seen.message.clone().into_response();
                reply.metadata.response_code = ResponseCode::FormErr;
                reply.edns = None;
                if !with_question {
                    reply.queries.clear();
                }
                reply.into()
            })
            .listen()
            .await;
        let seen = probe(&world.prober(), AT).await;
        assert_eq!((values(&seen.servers[0]), world.query_count("127.0.0.4")), (vec!["plain".to_owned()], 2));
    }
}

#[tokio::test]
async fn retries_formerr_without_edns_once() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = seen.message.clone().into_response();
            reply.metadata.response_code = ResponseCode::FormErr;
            reply.edns = None;
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!(seen.servers[0].reply, Reply::Fault(NetworkFault::EdnsBroken));
    assert_eq!(world.query_count("127.0.0.4"), 2);
}

#[tokio::test]
async fn reports_extended_errors() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = seen.message.clone().into_response();
            reply.metadata.response_code = ResponseCode::ServFail;
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, 22, b'n', b'o']));
            reply.set_edns(edns);
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert!(matches!(seen.servers[0].reply, Reply::Message { rcode: 2, ede: Some(22), .. }), "{seen:?}");
}

#[tokio::test]
async fn escapes_server_names_to_ascii() {
    let odd = Name::from_labels([b"n\n\xff<s>".as_slice(), b"acme".as_slice(), b"test".as_slice()]).unwrap();
    let data = hickory_proto::rr::RData::NS(hickory_proto::rr::rdata::NS(odd.clone()));
    let mut glue = a("x", "127.0.0.4");
    glue.name = odd;
    let test = vec![Record::from_rdata(name("acme.test"), 1, data), glue];
    let world =
        ScriptedServers::default().parents_with(test).zones("127.0.0.4", with_value("v")).listen().await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!(values(&seen.servers[0]), ["v"]);
    let reported = &seen.servers[0].server;
    assert!(reported.bytes().all(|b| (0x21..0x7f).contains(&b)), "{reported:?}");
}

#[tokio::test]
async fn remembers_servers_without_edns() {
    type Refuse = fn(&ReceivedQuery) -> Behaviour;
    let badvers: Refuse = |seen| {
        let mut reply = seen.message.clone().into_response();
        reply.metadata.response_code = ResponseCode::BADVERS;
        reply.set_edns(Edns::new());
        reply.into()
    };
    let silent: Refuse = |_| Behaviour::Close;
    // Sent the first time: one query with EDNS, or two that time out.
    for (refuse, with) in [(badvers, 1), (silent, 2)] {
        let world = ScriptedServers::default()
            .parents(ONE)
            .with("127.0.0.4", move |s| {
                if s.message.edns.is_some() { refuse(s) } else { with_value("v").answer(&s.message).into() }
            })
            .listen()
            .await;
        let prober = world.impatient_prober();
        for asked in [with + 1, with + 2] {
            let seen = probe(&prober, AT).await;
            assert_eq!(
                (values(&seen.servers[0]), seen.servers[0].transport),
                (vec!["v".to_owned()], Transport::Udp)
            );
            assert_eq!(world.query_count("127.0.0.4"), asked);
        }
    }
}

#[tokio::test]
async fn reports_edns_broken_when_both_ways_fail() {
    type Script = fn(&ReceivedQuery) -> Behaviour;
    let not_implemented: Script = |seen| {
        let mut reply = seen.message.clone().into_response();
        reply.metadata.response_code = ResponseCode::NotImp;
        reply.edns = None;
        reply.into()
    };
    let silent: Script = |_| Behaviour::Close;
    let cases: [(Script, Script, NetworkFault); 4] = [
        (not_implemented, not_implemented, NetworkFault::EdnsBroken),
        (not_implemented, silent, NetworkFault::EdnsBroken),
        (silent, not_implemented, NetworkFault::EdnsBroken),
        (silent, silent, NetworkFault::Timeout),
    ];
    for (with, without, fault) in cases {
        let world = ScriptedServers::default()
            .parents(ONE)
            .with("127.0.0.4", move |s| if s.message.edns.is_some() { with(s) } else { without(s) })
            .listen()
            .await;
        let seen = probe(&world.impatient_prober(), AT).await;
        assert_eq!(seen.servers[0].reply, Reply::Fault(fault), "{seen:?}");
    }
}
