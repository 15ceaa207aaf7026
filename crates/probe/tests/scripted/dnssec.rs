//! Local validation of zones that are signed well or not at all.
use deed_diagnosis::Security;
use deed_probe::ValidationMode;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::chain::{AT, chain, chain_of, no_data, probe_with, reason, records_of_acme, security, validation};
use crate::records::{Zones, a, cname, dname, ns, txt};
use crate::signed::{Denial, Signed};
use crate::world::{ReceivedQuery, ScriptedServers, with_value};

#[tokio::test]
async fn signed_value_needs_no_second_lookup() {
    let signed = chain(vec![txt(AT, "v"), txt(AT, "w")]).listen().await;
    let prober = signed.prober();
    let cold = probe_with(&prober, false).await;
    assert_eq!((security(&cold), validation(&cold).rcode), (Security::Secure, Some(0)), "{cold:?}");
    assert_eq!(validation(&cold).values.len(), 2);
    assert_eq!((validation(&cold).by.as_str(), &cold.confirmation.repeated), ("self", &None));
    assert_eq!(cold.queries, 10, "3 of the probe, 5 for keys, the answer and the control");
    let warm = probe_with(&prober, false).await;
    assert_eq!(security(&warm), Security::Secure);
    assert_eq!(warm.queries, 3, "the probe, the answer and the control");
    assert!(signed.world.queries().iter().all(|s| !s.tcp));
}

#[tokio::test]
async fn repeats_lookup_of_provably_unsigned_zone() {
    for denial in [Denial::Nsec, Denial::Nsec3, Denial::OptOut] {
        for signed_alone in [false, true] {
            let acme = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")]));
            let signed = chain_of(acme, false, denial)
                .attacked(move |seen, reply| {
                    let plain = seen.server == "127.0.0.4" && !signed_alone;
                    if plain { with_value("v").answer(&seen.message) } else { reply }
                })
                .await;
            let seen = signed.probe().await;
            assert_eq!(security(&seen), Security::Insecure, "{seen:?}");
            assert_eq!(seen.confirmation.repeated.as_ref().map(Vec::len), Some(1));
            assert_eq!(validation(&seen).values, [b"v".to_vec()]);
        }
    }
}

#[tokio::test]
async fn proves_absence_and_rejects_forged_denial() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        for (records, rcode) in
            [(vec![], 3), (vec![a(AT, "192.0.2.1")], 0), (vec![txt(&format!("x.{AT}"), "x")], 0)]
        {
            let zone = Signed::new("acme.test", records_of_acme(records)).denying(denial);
            let seen = chain_of(zone, true, Denial::Nsec).listen().await.probe_for_absence().await;
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
        let forge = move |seen: &ReceivedQuery, reply: Message| {
            if seen.is(AT, RecordType::TXT) {
                let mut reply = no_data("acme.test", reply);
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply
            } else {
                reply
            }
        };
        let zone = Signed::new("acme.test", records_of_acme(vec![txt(AT, "v")])).denying(denial);
        let seen = chain_of(zone, true, Denial::Nsec).attacked(forge).await.probe_for_absence().await;
        assert_eq!((reason(&seen).0, reason(&seen).1), (Security::Bogus, 12), "{}", reason(&seen).2);
    }
}

#[tokio::test]
async fn validates_wildcard_expansion() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let zone =
            || Signed::new("acme.test", records_of_acme(vec![txt("*.acme.test", "v")])).denying(denial);
        let seen = chain_of(zone(), true, Denial::Nsec).listen().await.probe().await;
        assert_eq!(security(&seen), Security::Secure, "{seen:?}");
        assert_eq!(seen.findings.wildcard, [b"v".to_vec()]);
        // Without the proof that there is no closer match.
        let seen = chain_of(zone(), true, Denial::Nsec)
            .attacked(|seen, mut reply| {
                if seen.is(AT, RecordType::TXT) {
                    reply.authorities.clear();
                }
                reply
            })
            .await
            .probe()
            .await;
        assert_eq!(security(&seen), Security::Bogus, "{seen:?}");
    }
}

#[tokio::test]
async fn validates_each_alias_in_its_zone() {
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
            let servers =
                ScriptedServers::default().with("127.0.0.5", move |s| zone.answer(&s.message).into());
            let seen = chain.with_servers(servers, |_, reply| reply).await.probe().await;
            assert_eq!(security(&seen), wanted, "{seen:?}");
            assert_eq!(validation(&seen).values, [b"v".to_vec()]);
        }
    }
}

#[tokio::test]
async fn validates_more_values_than_limit() {
    let records =
        (0..200).map(|i| txt(AT, &if i == 3 { "v".to_owned() } else { format!("value {i}") })).collect();
    let seen = chain(records).listen().await.probe().await;
    assert_eq!(security(&seen), Security::Secure, "{seen:?}");
}

#[tokio::test]
async fn treats_zones_as_unsigned_without_anchor_or_validation() {
    let signed = chain(vec![txt(AT, "v")]).listen().await;
    let keyless = probe_with(&signed.prober_with(|c| c.trust_anchor = None), false).await;
    assert_eq!(
        (security(&keyless), keyless.confirmation.repeated.map(|r| r.len())),
        (Security::Insecure, Some(1))
    );
    let off = probe_with(&signed.prober_with(|c| c.validation = ValidationMode::Off), false).await;
    assert_eq!((off.confirmation.validation, off.confirmation.repeated.map(|r| r.len())), (None, Some(1)));
    assert!(signed.world.queries().iter().all(|s| !s.is("acme.test", RecordType::DNSKEY)));
}

#[tokio::test]
async fn anchor_with_other_keys_makes_zones_bogus() {
    let mut signed = chain(vec![txt(AT, "v")]).listen().await;
    signed.anchor = Signed::new(".", vec![]).anchor();
    assert_eq!(security(&signed.probe().await), Security::Bogus);
}

#[tokio::test]
async fn validation_without_budget_is_indeterminate() {
    let signed = chain(vec![txt(AT, "v")]).listen().await;
    for queries in 3..9 {
        let seen = probe_with(&signed.prober_with(|c| c.budgets.queries = queries), false).await;
        assert!(seen.queries <= queries);
        assert!(matches!(security(&seen), Security::Indeterminate), "{queries}: {seen:?}");
    }
}

#[tokio::test]
async fn unsigned_zone_costs_few_queries() {
    let zones = Zones::default().with("acme.test", records_of_acme(vec![txt(AT, "v")]));
    let signed = chain_of(Signed::new("acme.test", vec![]), false, Denial::OptOut)
        .attacked(
            move |seen, reply| {
                if seen.server == "127.0.0.4" { zones.answer(&seen.message) } else { reply }
            },
        )
        .await;
    let prober = signed.prober();
    let (cold, warm) = (probe_with(&prober, false).await, probe_with(&prober, false).await);
    assert_eq!((security(&cold), security(&warm)), (Security::Insecure, Security::Insecure));
    assert_eq!((cold.queries, warm.queries), (13, 4), "{cold:?}");
}
