//! Badly signed zones, and attackers on the path to them: none of their answers is believed.
use std::sync::Arc;

use deed_diagnosis::Security;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::chain::{
    AT, Chain, SignedWorld, chain, chain_of, no_data, probe_with, reason, records_of_acme, security,
};
use crate::records::{a, name, ns, soa, txt};
use crate::signed::{Denial, PAST, Signed, TO_COME, VALID, Validity};
use crate::world::{Behaviour, ReceivedQuery, ScriptedServers, acme, with_value};

fn chain_valid(validity: Validity) -> Chain {
    let acme = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")])).valid(validity);
    chain_of(acme, true, Denial::Nsec)
}

#[tokio::test]
async fn explains_signatures_out_of_validity_period() {
    for (validity, code, word) in [(PAST, 7, "expired"), (TO_COME, 8, "not valid before")] {
        let seen = chain_valid(validity).listen().await.probe().await;
        let (security, found, text) = reason(&seen);
        assert_eq!((security, found), (Security::Bogus, code), "{text}");
        assert!(text.contains(word), "{text}");
        assert_eq!(seen.confirmation.repeated, None, "it would change nothing");
    }
}

#[tokio::test]
async fn suspects_clock_when_root_signatures_are_invalid() {
    // Where the root's own signatures are out of time, the local clock is wrong.
    for (validity, code) in [(PAST, 7), (TO_COME, 8)] {
        let mut off = chain_valid(validity);
        off.test = off.test.valid(validity);
        off.root = off.root.valid(validity);
        let seen = off.listen().await.probe().await;
        let (security, found, text) = reason(&seen);
        assert_eq!((security, found), (Security::Indeterminate, code), "{text}");
        assert!(text.contains("clock"), "{text}");
    }
}

#[tokio::test]
async fn explains_missing_keys() {
    // The parent has a DS record for another key.
    let stranger = Signed::new("acme.test", vec![]);
    let mut broken = chain_valid(VALID);
    let ds = broken.test.ds_of("acme.test");
    broken.test = broken.test.without(&ds).with(stranger.ds());
    broken.root = Signed::new(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3"), broken.test.ds()]);
    let seen = broken.listen().await.probe().await;
    assert_eq!(reason(&seen).1, 9, "{}", reason(&seen).2);

    // The zone's servers do not give their keys.
    let seen =
        chain_valid(VALID)
            .attacked(|seen, reply| {
                if seen.is("acme.test", RecordType::DNSKEY) { no_data("acme.test", reply) } else { reply }
            })
            .await
            .probe()
            .await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 9), "{}", reason(&seen).2);
}

#[tokio::test]
async fn explains_forged_signatures() {
    // Another value under the same signature.
    let seen = chain_valid(VALID)
        .attacked(|seen, mut reply| {
            if seen.is(AT, RecordType::TXT) {
                reply.answers[0] = txt(AT, "v");
                reply.answers.push(txt(AT, "v too"));
            }
            reply
        })
        .await
        .probe()
        .await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 6), "{}", reason(&seen).2);

    // Signed by a key that the zone does not have.
    let thief = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")]));
    let seen = chain_valid(VALID)
        .attacked(
            move |seen, reply| {
                if seen.is(AT, RecordType::TXT) { thief.answer(&seen.message) } else { reply }
            },
        )
        .await
        .probe()
        .await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 6), "{}", reason(&seen).2);
}

fn is_signature(record: &Record) -> bool {
    matches!(&record.data, RData::DNSSEC(DNSSECRData::RRSIG(_)))
}

fn strip(mut reply: Message) -> Message {
    let dnssec = |r: &Record| matches!(r.data, RData::DNSSEC(_));
    reply.answers.retain(|r| !dnssec(r));
    reply.authorities.retain(|r| !dnssec(r));
    reply
}

/// On the path to the zone: the attacker strips signatures and inserts a value.
#[tokio::test]
async fn stripped_signatures_are_bogus() {
    let signed = chain(vec![txt(AT, "owner")])
        .attacked(|seen, reply| {
            if seen.server != "127.0.0.4" {
                return reply;
            }
            if seen.is(AT, RecordType::TXT) { with_value("v").answer(&seen.message) } else { strip(reply) }
        })
        .await;
    let seen = signed.probe().await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 10), "{}", reason(&seen).2);

    // The same attacker drops every other query.
    let thief = |seen: &ReceivedQuery| seen.is(AT, RecordType::TXT) || seen.is("acme.test", RecordType::NS);
    let zone = Signed::new("acme.test", records_of_acme(vec![txt(AT, "owner")]));
    let chain = chain_of(zone, true, Denial::Nsec);
    let anchor = chain.root.anchor();
    let Chain { root, test, acme } = chain;
    let world = ScriptedServers::default()
        .with("127.0.0.2", move |s| root.answer(&s.message).into())
        .with("127.0.0.3", move |s| test.answer(&s.message).into())
        .with("127.0.0.4", move |s| {
            let _ = &acme;
            if thief(s) { thief_with_signature(s).into() } else { Behaviour::Close }
        })
        .listen()
        .await;
    let prober = world.impatient_prober_with(|c| c.trust_anchor = Some(anchor.parse().unwrap()));
    let seen = probe_with(&prober, false).await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 9), "{}", reason(&seen).2);
}

/// A value signed by the attacker's key.
fn thief_with_signature(seen: &ReceivedQuery) -> Message {
    Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")])).answer(&seen.message)
}

type Forge = fn(Message) -> Message;

/// The parent zone as the attacker would have it.
fn unsigned_delegation() -> Signed {
    Signed::new("test", vec![ns("acme.test", "ns1.acme.test")])
}

fn unsigned(mut reply: Message) -> Message {
    reply.authorities.retain(|r| !is_signature(r));
    reply
}

/// On the path to the parent: the attacker denies that the zone is signed.
#[tokio::test]
async fn forged_ds_denial_is_bogus() {
    let forged: [(&str, Forge, u16); 3] = [
        ("no proof", |reply| strip(no_data("test", reply)), 12),
        ("unsigned proof", |reply| unsigned(unsigned_delegation().answer(&question_of(&reply))), 6),
        ("proof by another key", |reply| unsigned_delegation().answer(&question_of(&reply)), 6),
    ];
    for (what, forge, _) in forged {
        let signed = chain(vec![txt(AT, "owner")])
            .attacked(move |seen, reply| match seen.server.as_str() {
                "127.0.0.4" => acme(vec![txt(AT, "v")]).answer(&seen.message),
                "127.0.0.3" if seen.is("acme.test", RecordType::DS) => forge(reply),
                _ => reply,
            })
            .await;
        let seen = signed.probe().await;
        assert_eq!(security(&seen), Security::Bogus, "{what}: {seen:?}");
    }
}

fn question_of(reply: &Message) -> Message {
    let mut asked = Message::query();
    asked.metadata.id = reply.metadata.id;
    asked.add_query(reply.queries[0].clone());
    asked
}

/// The attacker replays the proof that a sister zone is unsigned.
#[tokio::test]
async fn rejects_replayed_proof_of_other_name() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let acme_zone = Signed::new("acme.test", records_of_acme(vec![txt(AT, "owner")]));
        let chain = chain_of(acme_zone, true, denial);
        let test = Arc::new(chain.test);
        let replay = Arc::clone(&test);
        let anchor = chain.root.anchor();
        let root = chain.root;
        let world = ScriptedServers::default()
            .with("127.0.0.2", move |s| root.answer(&s.message).into())
            .with("127.0.0.3", move |s| {
                if s.is("acme.test", RecordType::DS) {
                    let mut asked = s.message.clone();
                    asked.queries[0].name = name("sister.test");
                    let mut proof = replay.answer(&asked);
                    proof.queries.clone_from(&s.message.queries);
                    proof.into()
                } else {
                    test.answer(&s.message).into()
                }
            })
            .with("127.0.0.4", |s| acme(vec![txt(AT, "v")]).answer(&s.message).into())
            .listen()
            .await;
        let seen = probe_with(&SignedWorld { world, anchor }.prober(), false).await;
        assert_eq!(security(&seen), Security::Bogus, "{seen:?}");
    }
}

/// A zone with an unsigned delegation, whose SOA denies no name above it.
#[tokio::test]
async fn ignores_denial_by_unsigned_sibling_zone() {
    let records =
        vec![txt(AT, "v"), ns("lab.acme.test", "ns1.lab.acme.test"), a("ns1.lab.acme.test", "127.0.0.4")];
    let signed = chain(records)
        .attacked(
            |seen, reply| {
                if seen.is(AT, RecordType::TXT) { no_data("lab.acme.test", reply) } else { reply }
            },
        )
        .await;
    let prober = signed.prober();
    // No server gives a usable answer, so there is nothing to confirm.
    let seen = probe_with(&prober, true).await;
    assert_eq!(seen.confirmation.validation, None, "{seen:?}");
}

/// Zones that have DS records for each other in a circle, so that a validation could go on for ever.
#[tokio::test]
async fn bounds_validation_of_circular_key_dependencies() {
    let cuts: Vec<String> = (0..8).map(|i| format!("c{i}.acme.test")).collect();
    let mut records = vec![];
    for cut in &cuts {
        records.push(ns(cut, "ns1.acme.test"));
    }
    let circle: Vec<Record> = cuts
        .iter()
        .flat_map(|cut| {
            let forger = Signed::new(cut, vec![]);
            let mut asked = Message::query();
            asked.add_query(Query::query(name(&format!("x.{cut}")), RecordType::A));
            forger.answer(&asked).authorities
        })
        .collect();
    for signed in [true, false] {
        let circle = circle.clone();
        let signed = chain(records.clone())
            .attacked(move |seen, mut reply| {
                if seen.server == "127.0.0.4" && reply.answers.is_empty() {
                    reply.metadata.authoritative = true;
                    let more = circle.iter().filter(|r| signed || !is_signature(r));
                    reply.authorities.splice(0..0, more.cloned());
                    reply.authorities.insert(0, soa("acme.test"));
                }
                reply
            })
            .await;
        let seen = signed.probe_for_absence().await;
        let text = reason(&seen).2;
        assert!(!text.contains("more signatures"), "{text}");
        assert!(seen.queries < 40, "{}", seen.queries);
    }
}
