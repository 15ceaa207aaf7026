//! Trusted resolvers that validate, and vantage points.
use std::sync::atomic::{AtomicUsize, Ordering};

use deed_diagnosis::{NetworkFault, Observation, Reply, Security, Validation};
use deed_probe::{ProbeConfig, Prober, Question};
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;

use crate::records::{soa, txt};
use crate::world::{Behaviour, ONE, ReceivedQuery, ScriptedServers, World, acme, with_value};

const AT: &str = "_deed.acme.test";
const RESOLVER: &str = "127.0.0.53";

/// A resolver's answer for the name.
fn said(seen: &ReceivedQuery, values: &[&str], change: impl FnOnce(&mut Message)) -> Behaviour {
    let mut reply = seen.message.clone().into_response();
    reply.edns = None;
    reply.metadata.recursion_available = true;
    reply.answers = values.iter().map(|value| txt(AT, value)).collect();
    if values.is_empty() {
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply.authorities = vec![soa("acme.test")];
    }
    change(&mut reply);
    reply.into()
}

fn servfail(seen: &ReceivedQuery, code: u8, text: &[u8]) -> Behaviour {
    said(seen, &[], |reply| {
        reply.authorities.clear();
        reply.metadata.response_code = ResponseCode::ServFail;
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, [&[0, code], text].concat()));
        reply.set_edns(edns);
    })
}

async fn with_resolver(play: impl Fn(&ReceivedQuery) -> Behaviour + Send + Sync + 'static) -> World {
    ScriptedServers::default()
        .parents(ONE)
        .zones("127.0.0.4", with_value("v"))
        .with(RESOLVER, play)
        .listen()
        .await
}

fn prober(world: &World, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
    let resolver = world.at(RESOLVER);
    world.impatient_prober_with(|config| {
        config.resolvers = vec![resolver];
        change(config);
    })
}

async fn probe(prober: &Prober, value: &str, confirm_absence: bool) -> Observation {
    let looking_for = vec![value.as_bytes().to_vec()];
    prober.probe(Question { name: AT.into(), looking_for, confirm_absence, ..Question::default() }).await
}

fn validation(seen: &Observation) -> &Validation {
    seen.confirmation.validation.as_ref().unwrap_or_else(|| panic!("{seen:?}"))
}

#[tokio::test]
async fn accepts_authentic_data_of_resolver() {
    let world = with_resolver(|s| said(s, &["v"], |reply| reply.metadata.authentic_data = true)).await;
    let seen = probe(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    assert_eq!(
        (verdict.security, verdict.rcode, &verdict.values),
        (Security::Secure, Some(0), &vec![b"v".to_vec()])
    );
    assert_eq!((verdict.by.clone(), &seen.confirmation.repeated), (world.at(RESOLVER).to_string(), &None));
    assert_eq!(seen.queries, 4);
    let asked = world.queries().into_iter().find(|s| s.server == RESOLVER).unwrap().message;
    assert!(asked.metadata.recursion_desired && !asked.metadata.checking_disabled);
    assert!(asked.edns.is_some_and(|edns| edns.flags().dnssec_ok));
}

#[tokio::test]
async fn repeats_lookup_when_resolver_says_insecure() {
    // The resolver still has the denial in its cache.
    let world = with_resolver(|s| said(s, &[], |_| {})).await;
    let seen = probe(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    assert_eq!(
        (verdict.security, verdict.rcode, verdict.negative_ttl),
        (Security::Insecure, Some(3), Some(60))
    );
    assert_eq!(seen.confirmation.repeated.map(|rows| rows.len()), Some(1));
}

#[tokio::test]
async fn tells_bogus_from_unresolvable_by_unchecked_query() {
    let world = with_resolver(|s| {
        if s.message.metadata.checking_disabled {
            said(s, &["v"], |_| {})
        } else {
            servfail(s, 7, b"expired")
        }
    })
    .await;
    let seen = probe(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    let ede = verdict.ede.clone().unwrap();
    assert_eq!((verdict.security, verdict.rcode), (Security::Bogus, Some(2)));
    assert_eq!((ede.code, ede.text.as_slice(), &verdict.values), (7, b"expired".as_slice(), &vec![]));
    assert_eq!(seen.confirmation.repeated, None);

    let world = with_resolver(|s| servfail(s, 22, b"no reachable authority")).await;
    let seen = probe(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    assert_eq!(
        (verdict.security, verdict.rcode, &verdict.ede),
        (Security::Indeterminate, Some(2), &None),
        "it was there and could not find out"
    );
    assert_eq!(seen.confirmation.repeated.map(|rows| rows.len()), Some(1));
}

#[tokio::test]
async fn retries_resolver_after_dropped_answers() {
    // Both datagrams, the one without EDNS and the connection of the first try get no answer.
    let dropped = AtomicUsize::new(0);
    let world = with_resolver(move |s| {
        if dropped.fetch_add(1, Ordering::Relaxed) < 4 {
            Behaviour::Close
        } else {
            said(s, &["v"], |reply| reply.metadata.authentic_data = true)
        }
    })
    .await;
    let seen = probe(&prober(&world, |_| {}), "v", false).await;
    assert_eq!(validation(&seen).security, Security::Secure, "{seen:?}");
}

#[tokio::test]
async fn falls_back_to_next_resolver_then_indeterminate() {
    let world = with_resolver(|s| said(s, &["v"], |reply| reply.metadata.authentic_data = true)).await;
    let dead = world.at("127.0.0.54");
    let seen = probe(&prober(&world, |c| c.resolvers.insert(0, dead)), "v", false).await;
    assert_eq!(
        (validation(&seen).security, &validation(&seen).by),
        (Security::Secure, &world.at(RESOLVER).to_string())
    );
    let seen = probe(&prober(&world, |c| c.resolvers = vec![dead]), "v", false).await;
    assert_eq!((validation(&seen).security, validation(&seen).rcode), (Security::Indeterminate, None));
    assert_eq!(seen.confirmation.repeated.map(|rows| rows.len()), Some(1));
}

#[tokio::test]
async fn validates_required_absence() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .zones("127.0.0.4", acme(vec![]))
        .with(RESOLVER, |s| said(s, &[], |reply| reply.metadata.authentic_data = true))
        .listen()
        .await;
    let prober = prober(&world, |_| {});
    let seen = probe(&prober, "v", true).await;
    assert_eq!((validation(&seen).security, validation(&seen).rcode), (Security::Secure, Some(3)));
    assert_eq!(seen.confirmation.repeated, None);
    let seen = probe(&prober, "v", false).await;
    assert_eq!(seen.confirmation.validation, None, "nobody may lose by it");
}

#[tokio::test]
async fn reports_each_vantage() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .zones("127.0.0.4", with_value("v"))
        .with("127.0.0.61", |s| said(s, &["v", "w"], |_| {}))
        .with("127.0.0.62", |s| said(s, &[], |_| {}))
        .with("127.0.0.63", |_| Behaviour::Close)
        // Too long for a datagram.
        .with("127.0.0.64", |s| {
            said(s, &["v"], |reply| {
                if !s.tcp {
                    reply.metadata.truncation = true;
                    reply.answers.clear();
                }
            })
        })
        .listen()
        .await;
    let at: Vec<_> = [61, 62, 63, 64].map(|i| format!("v{i}={}", world.at(&format!("127.0.0.{i}")))).into();
    let prober = world.impatient_prober_with(|config| {
        config.vantages = at.iter().map(|text| text.parse().unwrap()).collect();
        config.vantage_quorum = 2;
    });
    let seen = probe(&prober, "v", false).await;
    let vantages = &seen.confirmation.vantages;
    let names: Vec<_> = vantages.iter().map(|answer| answer.vantage.as_str()).collect();
    assert_eq!((names, seen.confirmation.quorum), (vec!["v61", "v62", "v63", "v64"], 2));
    let values = |i: usize| match &vantages[i].reply {
        Reply::Message { values, .. } => values.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((values(0).len(), values(1).len(), values(3).len()), (2, 0, 1));
    assert!(matches!(vantages[1].reply, Reply::Message { rcode: 3, soa: Some(_), .. }));
    assert_eq!(vantages[2].reply, Reply::Fault(NetworkFault::Timeout));
    assert_eq!(seen.confirmation.repeated.as_ref().map(Vec::len), Some(1));
    let asked = world.queries();
    assert!(asked.iter().filter(|s| s.server == "127.0.0.61").all(|s| s.message.metadata.recursion_desired));
    assert!(
        probe(&prober, "other", false).await.confirmation.vantages.is_empty(),
        "nothing is to be confirmed"
    );
}
