//! Own validation against zones that are signed well or not at all.
use deed_claims::Security;
use deed_probe::ValidationMode;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::chain::{AT, chain, chain_of, look_with, no_data, reason, records_of_acme, security, validation};
use crate::records::{Zones, a, cname, dname, ns, txt};
use crate::signed::{Denial, Signed};
use crate::world::{Cast, Seen, with_value};

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
