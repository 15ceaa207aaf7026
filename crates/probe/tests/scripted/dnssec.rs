//! Own validation against zones that are signed well, not at all, and badly in every way.
use std::sync::Arc;

use deed_claims::{Observation, Security, Validation};
use deed_probe::{ProbeConfig, Prober, Question, ValidationMode};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::records::{Zones, a, cname, dname, ns, soa, txt};
use crate::signed::{Denial, PAST, Signed, TO_COME, VALID, Validity};
use crate::world::{Cast, Play, Seen, World, acme, with_value};

const AT: &str = "_deed.acme.test";

/// The root, `test` and `acme.test`, of which each vouches for the next one.
struct Chain {
    root: Signed,
    test: Signed,
    acme: Signed,
}

fn records_of_acme(more: Vec<Record>) -> Vec<Record> {
    let mut all = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
    all.extend(more);
    all
}

fn chain_of(acme: Signed, vouched: bool, denial: Denial) -> Chain {
    let mut records = vec![
        ns("test", "ns.test"),
        a("ns.test", "127.0.0.3"),
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("sister.test", "ns1.sister.test"),
        a("ns1.sister.test", "127.0.0.5"),
    ];
    records.extend(vouched.then(|| acme.ds()));
    let test = Signed::new("test", records).denying(denial);
    let root = Signed::new(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3"), test.ds()]);
    Chain { root, test, acme }
}

fn chain(more: Vec<Record>) -> Chain {
    chain_of(Signed::new("acme.test", records_of_acme(more)), true, Denial::Nsec)
}

/// Changes what a server says: its address, the question, and its answer.
type Attack = Arc<dyn Fn(&Seen, Message) -> Message + Send + Sync>;

struct Stage {
    world: World,
    anchor: String,
}

impl Chain {
    async fn listen(self) -> Stage {
        self.attacked(|_, reply| reply).await
    }

    async fn attacked(self, attack: impl Fn(&Seen, Message) -> Message + Send + Sync + 'static) -> Stage {
        self.with_cast(Cast::default(), attack).await
    }

    async fn with_cast(
        self,
        cast: Cast,
        attack: impl Fn(&Seen, Message) -> Message + Send + Sync + 'static,
    ) -> Stage {
        let anchor = self.root.anchor();
        let attack: Attack = Arc::new(attack);
        let play = |zone: Signed| {
            let attack = Arc::clone(&attack);
            move |seen: &Seen| -> Play { attack(seen, zone.answer(&seen.message)).into() }
        };
        let world = cast
            .with("127.0.0.2", play(self.root))
            .with("127.0.0.3", play(self.test))
            .with("127.0.0.4", play(self.acme))
            .listen()
            .await;
        Stage { world, anchor }
    }
}

impl Stage {
    fn prober(&self) -> Prober {
        self.prober_with(|_| {})
    }

    fn prober_with(&self, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
        self.world.prober_with(|config| {
            config.trust_anchor = Some(self.anchor.parse().unwrap());
            change(config);
        })
    }

    async fn look(&self) -> Observation {
        look_with(&self.prober(), false).await
    }

    /// The look of somebody who may lose by what is not there.
    async fn look_for_absence(&self) -> Observation {
        look_with(&self.prober(), true).await
    }
}

async fn look_with(prober: &Prober, confirm_absence: bool) -> Observation {
    let question = Question {
        name: AT.into(),
        looking_for: vec![b"v".to_vec()],
        confirm_absence,
        apex: Some("acme.test".into()),
    };
    prober.look(question).await
}

fn validation(seen: &Observation) -> &Validation {
    seen.confirmation.validation.as_ref().unwrap_or_else(|| panic!("{seen:?}"))
}

fn security(seen: &Observation) -> Security {
    validation(seen).security
}

/// The code of the reason, with its text for whoever reads a failure.
fn reason(seen: &Observation) -> (Security, u16, String) {
    let ede = validation(seen).ede.clone().unwrap_or_else(|| panic!("{seen:?}"));
    (security(seen), ede.code, String::from_utf8(ede.text).unwrap())
}

#[tokio::test]
async fn a_signed_value_is_secure_and_not_asked_for_again() {
    let stage = chain(vec![txt(AT, "v"), txt(AT, "w")]).listen().await;
    let prober = stage.prober();
    let cold = look_with(&prober, false).await;
    assert_eq!((security(&cold), validation(&cold).rcode), (Security::Secure, Some(0)), "{cold:?}");
    assert_eq!(validation(&cold).values.len(), 2);
    assert_eq!((validation(&cold).by.as_str(), &cold.confirmation.repeated), ("self", &None));
    assert_eq!(cold.queries, 10, "3 of the look, 5 for keys, the answer and the control");
    let warm = look_with(&prober, false).await;
    assert_eq!(security(&warm), Security::Secure);
    assert_eq!(warm.queries, 3, "the look, the answer and the control");
    assert!(stage.world.seen().iter().all(|s| !s.tcp));
}

#[tokio::test]
async fn a_delegation_that_is_proven_unsigned_is_insecure_and_asked_for_again() {
    for denial in [Denial::Nsec, Denial::Nsec3, Denial::OptOut] {
        for signed_alone in [false, true] {
            let acme = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")]));
            let stage = chain_of(acme, false, denial)
                .attacked(move |seen, reply| {
                    let plain = seen.server == "127.0.0.4" && !signed_alone;
                    if plain { with_value("v").answer(&seen.message) } else { reply }
                })
                .await;
            let seen = stage.look().await;
            assert_eq!(security(&seen), Security::Insecure, "{seen:?}");
            assert_eq!(seen.confirmation.repeated.as_ref().map(Vec::len), Some(1));
            assert_eq!(validation(&seen).values, [b"v".to_vec()]);
        }
    }
}

#[tokio::test]
async fn every_way_to_sign_badly_is_told() {
    let with = |validity: Validity| {
        let acme = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")])).valid(validity);
        chain_of(acme, true, Denial::Nsec)
    };
    for (validity, code, word) in [(PAST, 7, "expired"), (TO_COME, 8, "not valid before")] {
        let seen = with(validity).listen().await.look().await;
        let (security, found, text) = reason(&seen);
        assert_eq!((security, found), (Security::Bogus, code), "{text}");
        assert!(text.contains(word), "{text}");
        assert_eq!(seen.confirmation.repeated, None, "it would change nothing");
    }

    // The parent vouches for another key.
    let stranger = Signed::new("acme.test", vec![]);
    let mut broken = with(VALID);
    let ds = broken.test.ds_of("acme.test");
    broken.test = broken.test.without(&ds).with(stranger.ds());
    broken.root = Signed::new(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3"), broken.test.ds()]);
    let seen = broken.listen().await.look().await;
    assert_eq!(reason(&seen).1, 9, "{}", reason(&seen).2);

    // The zone's servers do not show their keys.
    let seen =
        with(VALID)
            .attacked(|seen, reply| {
                if seen.is("acme.test", RecordType::DNSKEY) { no_data("acme.test", reply) } else { reply }
            })
            .await
            .look()
            .await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 9), "{}", reason(&seen).2);

    // Another value under the same signature.
    let seen = with(VALID)
        .attacked(|seen, mut reply| {
            if seen.is(AT, RecordType::TXT) {
                reply.answers[0] = txt(AT, "v");
                reply.answers.push(txt(AT, "v too"));
            }
            reply
        })
        .await
        .look()
        .await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 6), "{}", reason(&seen).2);

    // Signed by a key that the zone does not have.
    let thief = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")]));
    let seen = with(VALID)
        .attacked(
            move |seen, reply| {
                if seen.is(AT, RecordType::TXT) { thief.answer(&seen.message) } else { reply }
            },
        )
        .await
        .look()
        .await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 6), "{}", reason(&seen).2);
}

fn no_data(zone: &str, mut reply: Message) -> Message {
    reply.answers.clear();
    reply.authorities = vec![soa(zone)];
    reply
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

/// On the path to the zone: he strips signatures and puts in his own value.
#[tokio::test]
async fn whoever_strips_signatures_on_the_path_proves_nothing() {
    let stage = chain(vec![txt(AT, "owner")])
        .attacked(|seen, reply| {
            if seen.server != "127.0.0.4" {
                return reply;
            }
            if seen.is(AT, RecordType::TXT) { with_value("v").answer(&seen.message) } else { strip(reply) }
        })
        .await;
    let seen = stage.look().await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 10), "{}", reason(&seen).2);

    // The same one drops what he cannot strip.
    let thief = |seen: &Seen| seen.is(AT, RecordType::TXT) || seen.is("acme.test", RecordType::NS);
    let zone = Signed::new("acme.test", records_of_acme(vec![txt(AT, "owner")]));
    let chain = chain_of(zone, true, Denial::Nsec);
    let anchor = chain.root.anchor();
    let Chain { root, test, acme } = chain;
    let world = Cast::default()
        .with("127.0.0.2", move |s| root.answer(&s.message).into())
        .with("127.0.0.3", move |s| test.answer(&s.message).into())
        .with("127.0.0.4", move |s| {
            let _ = &acme;
            if thief(s) { thief_with_signature(s).into() } else { Play::Silence }
        })
        .listen()
        .await;
    let prober = world.hasty_with(|c| c.trust_anchor = Some(anchor.parse().unwrap()));
    let seen = look_with(&prober, false).await;
    assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 9), "{}", reason(&seen).2);
}

/// A value signed by a key of the thief's.
fn thief_with_signature(seen: &Seen) -> Message {
    Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")])).answer(&seen.message)
}

type Forge = fn(Message) -> Message;

/// The parent as a forger would have it.
fn unsigned_delegation() -> Signed {
    Signed::new("test", vec![ns("acme.test", "ns1.acme.test")])
}

fn unsigned(mut reply: Message) -> Message {
    reply.authorities.retain(|r| !is_signature(r));
    reply
}

/// On the path to the parent: he denies that the zone is signed.
#[tokio::test]
async fn a_forged_denial_of_the_delegations_keys_is_bogus() {
    let forged: [(&str, Forge, u16); 3] = [
        ("no proof", |reply| strip(no_data("test", reply)), 12),
        ("unsigned proof", |reply| unsigned(unsigned_delegation().answer(&question_of(&reply))), 6),
        ("proof by another key", |reply| unsigned_delegation().answer(&question_of(&reply)), 6),
    ];
    for (what, forge, _) in forged {
        let stage = chain(vec![txt(AT, "owner")])
            .attacked(move |seen, reply| match seen.server.as_str() {
                "127.0.0.4" => acme(vec![txt(AT, "v")]).answer(&seen.message),
                "127.0.0.3" if seen.is("acme.test", RecordType::DS) => forge(reply),
                _ => reply,
            })
            .await;
        let seen = stage.look().await;
        assert_eq!(security(&seen), Security::Bogus, "{what}: {seen:?}");
    }
}

fn question_of(reply: &Message) -> Message {
    let mut asked = Message::query();
    asked.metadata.id = reply.metadata.id;
    asked.add_query(reply.queries[0].clone());
    asked
}

/// He replays the proof that a sister is unsigned.
#[tokio::test]
async fn a_proof_about_another_name_does_not_do() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let acme_zone = Signed::new("acme.test", records_of_acme(vec![txt(AT, "owner")]));
        let chain = chain_of(acme_zone, true, denial);
        let test = Arc::new(chain.test);
        let replay = Arc::clone(&test);
        let anchor = chain.root.anchor();
        let root = chain.root;
        let world = Cast::default()
            .with("127.0.0.2", move |s| root.answer(&s.message).into())
            .with("127.0.0.3", move |s| {
                if s.is("acme.test", RecordType::DS) {
                    let mut asked = s.message.clone();
                    asked.queries[0].name = crate::records::name("sister.test");
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
        let seen = look_with(&Stage { world, anchor }.prober(), false).await;
        assert_eq!(security(&seen), Security::Bogus, "{seen:?}");
    }
}

#[tokio::test]
async fn an_absence_is_proven_and_a_forged_one_is_bogus() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        for (records, rcode) in
            [(vec![], 3), (vec![a(AT, "192.0.2.1")], 0), (vec![txt(&format!("x.{AT}"), "x")], 0)]
        {
            let zone = Signed::new("acme.test", records_of_acme(records)).denying(denial);
            let seen = chain_of(zone, true, Denial::Nsec).listen().await.look_for_absence().await;
            assert_eq!(
                (security(&seen), validation(&seen).rcode),
                (Security::Secure, Some(rcode)),
                "{seen:?}"
            );
            assert_eq!(
                (validation(&seen).negative_ttl, seen.confirmation.repeated.as_ref()),
                (Some(60), None)
            );
        }
        let forge = move |seen: &Seen, reply: Message| {
            if seen.is(AT, RecordType::TXT) {
                let mut reply = no_data("acme.test", reply);
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply
            } else {
                reply
            }
        };
        let zone = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")])).denying(denial);
        let seen = chain_of(zone, true, Denial::Nsec).attacked(forge).await.look_for_absence().await;
        assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 12), "{}", reason(&seen).2);
    }
}

/// A zone with a delegation that is not signed: its SOA denies nothing above it.
#[tokio::test]
async fn a_denial_in_the_name_of_an_unsigned_zone_aside_is_bogus() {
    let records =
        vec![txt(AT, "v"), ns("lab.acme.test", "ns1.lab.acme.test"), a("ns1.lab.acme.test", "127.0.0.4")];
    let stage = chain(records)
        .attacked(
            |seen, reply| {
                if seen.is(AT, RecordType::TXT) { no_data("lab.acme.test", reply) } else { reply }
            },
        )
        .await;
    let prober = stage.prober();
    // No server gives an answer that counts, so that nothing is to be confirmed.
    let seen = look_with(&prober, true).await;
    assert_eq!(seen.confirmation.validation, None, "{seen:?}");
}

#[tokio::test]
async fn a_wildcard_is_proven_with_what_it_stands_for() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let zone =
            || Signed::new("acme.test", records_of_acme(vec![txt("*.acme.test", "v")])).denying(denial);
        let seen = chain_of(zone(), true, Denial::Nsec).listen().await.look().await;
        assert_eq!(security(&seen), Security::Secure, "{seen:?}");
        assert_eq!(seen.findings.wildcard, [b"v".to_vec()]);
        // Without the proof that there is nothing closer.
        let seen = chain_of(zone(), true, Denial::Nsec)
            .attacked(|seen, mut reply| {
                if seen.is(AT, RecordType::TXT) {
                    reply.authorities.clear();
                }
                reply
            })
            .await
            .look()
            .await;
        assert_eq!(security(&seen), Security::Bogus, "{seen:?}");
    }
}

#[tokio::test]
async fn aliases_are_validated_each_in_its_zone() {
    let sister = |vouched: bool| {
        let zone = Signed::new(
            "sister.test",
            vec![
                ns("sister.test", "ns1.sister.test"),
                a("ns1.sister.test", "127.0.0.5"),
                txt("_deed.sister.test", "v"),
            ],
        );
        (vouched.then(|| zone.ds()), zone)
    };
    for (vouched, wanted) in [(true, Security::Secure), (false, Security::Insecure)] {
        for alias in [cname(AT, "_deed.sister.test"), dname("acme.test", "sister.test")] {
            let (ds, zone) = sister(vouched);
            let mut chain = chain(vec![alias]);
            if let Some(ds) = ds {
                chain.test = chain.test.with(ds);
            }
            let cast = Cast::default().with("127.0.0.5", move |s| zone.answer(&s.message).into());
            let seen = chain.with_cast(cast, |_, reply| reply).await.look().await;
            assert_eq!(security(&seen), wanted, "{seen:?}");
            assert_eq!(validation(&seen).values, [b"v".to_vec()]);
        }
    }
}

#[tokio::test]
async fn more_values_than_are_read_are_still_signed() {
    let records =
        (0..200).map(|i| txt(AT, &if i == 3 { "v".to_owned() } else { format!("value {i}") })).collect();
    let seen = chain(records).listen().await.look().await;
    assert_eq!(security(&seen), Security::Secure, "{seen:?}");
}

#[tokio::test]
async fn roots_without_an_anchor_are_unsigned_and_nobody_validates_when_it_is_off() {
    let stage = chain(vec![txt(AT, "v")]).listen().await;
    let keyless = look_with(&stage.prober_with(|c| c.trust_anchor = None), false).await;
    assert_eq!(
        (security(&keyless), keyless.confirmation.repeated.map(|r| r.len())),
        (Security::Insecure, Some(1))
    );
    let off = look_with(&stage.prober_with(|c| c.validation = ValidationMode::Off), false).await;
    assert_eq!((off.confirmation.validation, off.confirmation.repeated.map(|r| r.len())), (None, Some(1)));
    assert!(stage.world.seen().iter().all(|s| !s.is("acme.test", RecordType::DNSKEY)));
}

#[tokio::test]
async fn an_anchor_of_other_keys_makes_everything_bogus() {
    let mut stage = chain(vec![txt(AT, "v")]).listen().await;
    stage.anchor = Signed::new(".", vec![]).anchor();
    assert_eq!(security(&stage.look().await), Security::Bogus);
}

#[tokio::test]
async fn validation_that_has_spent_the_questions_does_not_guess() {
    let stage = chain(vec![txt(AT, "v")]).listen().await;
    for queries in 3..9 {
        let seen = look_with(&stage.prober_with(|c| c.budgets.queries = queries), false).await;
        assert!(seen.queries <= queries);
        assert!(matches!(security(&seen), Security::Indeterminate), "{queries}: {seen:?}");
    }
}

#[tokio::test]
async fn an_unsigned_zone_below_an_unsigned_one_costs_little() {
    let zones = Zones::default().with("acme.test", records_of_acme(vec![txt(AT, "v")]));
    let stage = chain_of(Signed::new("acme.test", vec![]), false, Denial::OptOut)
        .attacked(
            move |seen, reply| {
                if seen.server == "127.0.0.4" { zones.answer(&seen.message) } else { reply }
            },
        )
        .await;
    let prober = stage.prober();
    let (cold, warm) = (look_with(&prober, false).await, look_with(&prober, false).await);
    assert_eq!((security(&cold), security(&warm)), (Security::Insecure, Security::Insecure));
    assert_eq!((cold.queries, warm.queries), (13, 4), "{cold:?}");
}

/// A stranger whose zones vouch for each other in a circle, so that checks would go round and round.
#[tokio::test]
async fn zones_that_lead_to_each_other_for_keys_do_not_keep_us_busy() {
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
            asked.add_query(hickory_proto::op::Query::query(
                crate::records::name(&format!("x.{cut}")),
                RecordType::A,
            ));
            forger.answer(&asked).authorities
        })
        .collect();
    for signed in [true, false] {
        let circle = circle.clone();
        let stage = chain(records.clone())
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
        let seen = stage.look_for_absence().await;
        let text = reason(&seen).2;
        assert!(!text.contains("more signatures"), "{text}");
        assert!(seen.queries < 40, "{}", seen.queries);
    }
}
