//! Forgers beside the path: what they send comes from the server's own address and port, and before the server's answer.
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::Name;

use crate::attacks::{assert_bounded, delegation, denial};
use crate::scripted::{Asked, Play, Scripted, txt};
use crate::world::{Plan, check, value};

/// The value as an answer to this question.
fn lie(asked: &Asked) -> Message {
    let Play::Answer(message) = asked.with([txt(&asked.name(), &value())]) else { unreachable!() };
    message
}

fn with_id(asked: &Asked, change: u16) -> Vec<u8> {
    let mut message = lie(asked);
    message.metadata.id ^= change;
    message.to_vec().unwrap()
}

/// The same letters, each in the other case.
fn in_other_letters(asked: &Asked) -> Vec<u8> {
    let mut message = lie(asked);
    let swapped = |label: &[u8]| -> Vec<u8> {
        label.iter().map(|b| if b.is_ascii_alphabetic() { b ^ 0x20 } else { *b }).collect()
    };
    let labels: Vec<Vec<u8>> = message.queries[0].name.iter().map(swapped).collect();
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
    name.set_fqdn(true);
    message.queries[0].name = name;
    message.to_vec().unwrap()
}

fn about_another_name(asked: &Asked) -> Vec<u8> {
    let mut message = lie(asked);
    message.queries[0].name = Name::from_ascii("_deed.other.com.").unwrap();
    message.to_vec().unwrap()
}

fn truth(asked: &Asked) -> Message {
    let Play::Answer(message) = denial(asked) else { unreachable!() };
    message
}

#[tokio::test]
async fn guesses_prove_nothing_and_keep_nobody_from_the_answer() {
    let internet = Plan::in_block(17).com(&delegation(17, "guessed.com", 41)).start();
    let server = Scripted::listen(internet.at(41), |asked| {
        if asked.tcp {
            return denial(asked);
        }
        let guesses = vec![
            with_id(asked, 1),
            with_id(asked, 0x8000),
            in_other_letters(asked),
            about_another_name(asked),
        ];
        Play::Guesses(guesses, truth(asked))
    })
    .await;
    let checked = check(&internet.prober(), "guessed.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.verdict(), "record_not_found", "{checked:#?}");
    assert_eq!(server.connected(), 0, "datagrams settled it: {:#?}", checked.seen);
    assert!(server.arrived() <= 12, "{}", server.arrived());
}

/// So many that one may be right some day: the port is left, and a connection settles it.
#[tokio::test]
async fn a_flood_of_guesses_is_answered_by_a_connection() {
    let internet = Plan::in_block(19).com(&delegation(19, "flooded.com", 41)).start();
    let server = Scripted::listen(internet.at(41), |asked| {
        if asked.tcp {
            return denial(asked);
        }
        let guesses = (1..=200).map(|change| with_id(asked, change)).collect();
        // It would have been right, and comes too late.
        Play::Guesses(guesses, lie(asked))
    })
    .await;
    let prober = internet.prober_with(|config| config.udp_timeout = Duration::from_secs(2));
    let checked = check(&prober, "flooded.com").await;
    assert_bounded(&checked);
    assert_eq!(checked.verdict(), "record_not_found", "{checked:#?}");
    assert!(server.connected() > 0);
}
