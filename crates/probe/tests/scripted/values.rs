//! What is read from answers: joined strings, odd bytes, large and cut answers, what servers add.
use deed_claims::{NetworkFault, Reply, Transport};
use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, Record};

use crate::records::{a, name, strings, txt};
use crate::world::{Cast, ONE, Play, Seen, Tcp, World, acme, look, values, with_value};

const AT: &str = "_deed.acme.test";

async fn holding(records: Vec<Record>) -> World {
    Cast::default().parents(ONE).zones("127.0.0.4", acme(records)).listen().await
}

async fn raw_values(world: &World) -> Vec<Vec<u8>> {
    let seen = look(&world.prober(), AT).await;
    match &seen.servers[..] {
        [answer] => match &answer.reply {
            Reply::Message { values, oversize: false, .. } => values.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_strings_of_one_record_are_joined_and_records_stay_apart() {
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
async fn a_value_longer_than_a_string_comes_whole() {
    let long = [b'a'; 300];
    let world = holding(vec![strings(AT, &[&long[..255], &long[255..]])]).await;
    assert_eq!(raw_values(&world).await, [long.to_vec()]);
}

#[tokio::test]
async fn bytes_come_as_they_are() {
    let world = holding(vec![
        strings(AT, &[b"\xff\xfe\x00\"\\ "]),
        strings(AT, &[b""]),
        strings(AT, &[b"", b"x", b""]),
    ])
    .await;
    assert_eq!(raw_values(&world).await, [b"".to_vec(), b"x".to_vec(), b"\xff\xfe\x00\"\\ ".to_vec()]);
}

#[tokio::test]
async fn other_records_at_the_name_and_texts_elsewhere_do_not_count() {
    let world = Cast::default()
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
async fn a_denial_shows_its_soa() {
    for (records, code) in [(vec![], 3), (vec![a(AT, "127.0.0.8")], 0)] {
        let world = holding(records).await;
        let seen = look(&world.prober(), AT).await;
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
async fn an_answer_cut_short_is_fetched_over_a_connection() {
    let whole = acme(vec![txt(AT, &"x".repeat(200)), txt(AT, "v")]);
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", move |seen| {
            let reply = whole.answer(&seen.message);
            if seen.tcp { reply.into() } else { reply.truncate().into() }
        })
        .listen()
        .await;
    let seen = look(&world.prober(), AT).await;
    assert_eq!(values(&seen.servers[0]), ["v".to_owned(), "x".repeat(200)]);
    assert_eq!(seen.servers[0].transport, Transport::Tcp);
    assert!(matches!(seen.servers[0].reply, Reply::Message { truncated: false, .. }));
    assert_eq!(seen.queries, 4);
}

#[tokio::test]
async fn a_cut_answer_without_tcp_is_said_to_be_one() {
    let world = Cast::default()
        .parents(ONE)
        .also("127.0.0.4", Tcp::Closed, |seen| {
            // Cut in the middle of a record, as careless servers do.
            let mut reply = with_value("v").answer(&seen.message);
            reply.metadata.truncation = true;
            let mut bytes = reply.to_vec().unwrap();
            bytes.truncate(bytes.len() - 1);
            Play::Raw(vec![bytes])
        })
        .listen()
        .await;
    let seen = look(&world.prober(), AT).await;
    assert_eq!(seen.servers[0].reply, Reply::Fault(NetworkFault::TruncatedNoTcp));
}

#[tokio::test]
async fn a_connection_that_cuts_too_is_reported_as_cut() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = with_value("v").answer(&seen.message);
            reply.metadata.truncation = true;
            reply.into()
        })
        .listen()
        .await;
    let seen = look(&world.prober(), AT).await;
    assert!(matches!(seen.servers[0].reply, Reply::Message { truncated: true, .. }));
}

#[tokio::test]
async fn more_records_or_bytes_than_are_kept_are_oversize() {
    let many = (0..65).map(|i| txt(AT, &format!("value {i}"))).collect();
    let long = (0..64).map(|i| strings(AT, &[&[i; 255], &[i; 45]])).collect();
    for (records, count) in [(many, 65), (long, 64)] {
        let world = holding(records).await;
        let seen = look(&world.prober(), AT).await;
        let Reply::Message { values, oversize, .. } = &seen.servers[0].reply else { panic!("{seen:?}") };
        assert_eq!((values.len(), *oversize), (count, true));
    }
}

#[tokio::test]
async fn a_server_that_cannot_parse_edns_is_asked_without() {
    for with_question in [true, false] {
        let world = Cast::default()
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
        let seen = look(&world.prober(), AT).await;
        assert_eq!((values(&seen.servers[0]), world.asked("127.0.0.4")), (vec!["plain".to_owned()], 2));
    }
}

#[tokio::test]
async fn a_server_that_never_parses_is_asked_without_edns_once() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |seen| {
            let mut reply = seen.message.clone().into_response();
            reply.metadata.response_code = ResponseCode::FormErr;
            reply.edns = None;
            reply.into()
        })
        .listen()
        .await;
    let seen = look(&world.prober(), AT).await;
    assert_eq!(seen.servers[0].reply, Reply::Fault(NetworkFault::EdnsBroken));
    assert_eq!(world.asked("127.0.0.4"), 2);
}

#[tokio::test]
async fn extended_errors_and_codes_are_reported() {
    let world = Cast::default()
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
    let seen = look(&world.prober(), AT).await;
    assert!(matches!(seen.servers[0].reply, Reply::Message { rcode: 2, ede: Some(22), .. }), "{seen:?}");
}

#[tokio::test]
async fn foreign_bytes_in_server_names_come_out_as_ascii() {
    let odd = Name::from_labels([b"n\n\xff<s>".as_slice(), b"acme".as_slice(), b"test".as_slice()]).unwrap();
    let data = hickory_proto::rr::RData::NS(hickory_proto::rr::rdata::NS(odd.clone()));
    let mut glue = a("x", "127.0.0.4");
    glue.name = odd;
    let test = vec![Record::from_rdata(name("acme.test"), 1, data), glue];
    let world = Cast::default().parents_with(test).zones("127.0.0.4", with_value("v")).listen().await;
    let seen = look(&world.prober(), AT).await;
    assert_eq!(values(&seen.servers[0]), ["v"]);
    let reported = &seen.servers[0].server;
    assert!(reported.bytes().all(|b| (0x21..0x7f).contains(&b)), "{reported:?}");
}

#[tokio::test]
async fn servers_that_take_no_edns_are_used_without_and_remembered() {
    type Refuse = fn(&Seen) -> Play;
    let badvers: Refuse = |seen| {
        let mut reply = seen.message.clone().into_response();
        reply.metadata.response_code = ResponseCode::BADVERS;
        reply.set_edns(Edns::new());
        reply.into()
    };
    let silent: Refuse = |_| Play::Silence;
    // What is sent the first time: one question with EDNS, or two that are waited for in vain.
    for (refuse, with) in [(badvers, 1), (silent, 2)] {
        let world = Cast::default()
            .parents(ONE)
            .with("127.0.0.4", move |s| {
                if s.message.edns.is_some() { refuse(s) } else { with_value("v").answer(&s.message).into() }
            })
            .listen()
            .await;
        let prober = world.hasty();
        for asked in [with + 1, with + 2] {
            let seen = look(&prober, AT).await;
            assert_eq!(
                (values(&seen.servers[0]), seen.servers[0].transport),
                (vec!["v".to_owned()], Transport::Udp)
            );
            assert_eq!(world.asked("127.0.0.4"), asked);
        }
    }
}

#[tokio::test]
async fn edns_is_broken_where_neither_way_brings_an_answer() {
    type Play1 = fn(&Seen) -> Play;
    let not_implemented: Play1 = |seen| {
        let mut reply = seen.message.clone().into_response();
        reply.metadata.response_code = ResponseCode::NotImp;
        reply.edns = None;
        reply.into()
    };
    let silent: Play1 = |_| Play::Silence;
    let cases: [(Play1, Play1, NetworkFault); 4] = [
        (not_implemented, not_implemented, NetworkFault::EdnsBroken),
        (not_implemented, silent, NetworkFault::EdnsBroken),
        (silent, not_implemented, NetworkFault::EdnsBroken),
        (silent, silent, NetworkFault::Timeout),
    ];
    for (with, without, fault) in cases {
        let world = Cast::default()
            .parents(ONE)
            .with("127.0.0.4", move |s| if s.message.edns.is_some() { with(s) } else { without(s) })
            .listen()
            .await;
        let seen = look(&world.hasty(), AT).await;
        assert_eq!(seen.servers[0].reply, Reply::Fault(fault), "{seen:?}");
    }
}
