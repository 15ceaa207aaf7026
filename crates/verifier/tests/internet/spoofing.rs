//! Off-path spoofing (RFC 5452): forged answers from the server's own address and port, before the server's answer.
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::Name;

use crate::attacks::{assert_bounded, delegation, nxdomain};
use crate::internet::{InternetPlan, check, value};
use crate::scripted_server::{ScriptedQuery, ScriptedReply, ScriptedServer, txt};

/// A forged answer with the value.
fn forged_answer(query: &ScriptedQuery) -> Message {
    let ScriptedReply::Answer(message) = query.with([txt(&query.name(), &value())]) else { unreachable!() };
    message
}

fn with_id(query: &ScriptedQuery, change: u16) -> Vec<u8> {
    let mut message = forged_answer(query);
    message.metadata.id ^= change;
    message.to_vec().unwrap()
}

/// A forged answer whose question has every letter in the other case.
fn with_other_case(query: &ScriptedQuery) -> Vec<u8> {
    let mut message = forged_answer(query);
    let swapped = |label: &[u8]| -> Vec<u8> {
        label.iter().map(|b| if b.is_ascii_alphabetic() { b ^ 0x20 } else { *b }).collect()
    };
    let labels: Vec<Vec<u8>> = message.queries[0].name.iter().map(swapped).collect();
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
    name.set_fqdn(true);
    message.queries[0].name = name;
    message.to_vec().unwrap()
}

fn for_another_name(query: &ScriptedQuery) -> Vec<u8> {
    let mut message = forged_answer(query);
    message.queries[0].name = Name::from_ascii("_deed.other.com.").unwrap();
    message.to_vec().unwrap()
}

fn real_answer(query: &ScriptedQuery) -> Message {
    let ScriptedReply::Answer(message) = nxdomain(query) else { unreachable!() };
    message
}

#[tokio::test]
async fn ignores_spoofed_answers() {
    let internet = InternetPlan::in_block(17).com(&delegation(17, "guessed.com", 41)).start();
    let server = ScriptedServer::listen(internet.at(41), |query| {
        if query.tcp {
            return nxdomain(query);
        }
        let datagrams =
            vec![with_id(query, 1), with_id(query, 0x8000), with_other_case(query), for_another_name(query)];
        ScriptedReply::Spoofed(datagrams, real_answer(query))
    })
    .await;
    let checked = check(&internet.prober(), "guessed.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.code(), "record_not_found", "{checked:#?}");
    assert_eq!(server.connections(), 0, "no TCP connection was needed: {:#?}", checked.seen);
    assert!(server.received() <= 12, "{}", server.received());
}

/// So many forged answers that one may match by chance: the prober abandons the port and asks over TCP.
#[tokio::test]
async fn asks_over_tcp_after_spoofing_flood() {
    let internet = InternetPlan::in_block(19).com(&delegation(19, "flooded.com", 41)).start();
    let server = ScriptedServer::listen(internet.at(41), |query| {
        if query.tcp {
            return nxdomain(query);
        }
        let datagrams = (1..=200).map(|change| with_id(query, change)).collect();
        // This forged answer matches, and comes too late.
        ScriptedReply::Spoofed(datagrams, forged_answer(query))
    })
    .await;
    let prober = internet.prober_with(|config| config.udp_timeout = Duration::from_secs(2));
    let checked = check(&prober, "flooded.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.code(), "record_not_found", "{checked:#?}");
    assert!(server.connections() > 0);
}
