//! Trusted resolvers that validate for us, and resolvers elsewhere that say what they see.
use std::sync::atomic::{AtomicUsize, Ordering};

use deed_claims::{NetworkFault, Observation, Reply, Security, Validation};
use deed_probe::{ProbeConfig, Prober, Question};
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;

use crate::records::{soa, txt};
use crate::world::{Cast, ONE, Play, Seen, World, acme, with_value};

const AT: &str = "_deed.acme.test";
const RESOLVER: &str = "127.0.0.53";

/// What a resolver says of the name.
fn said(seen: &Seen, values: &[&str], change: impl FnOnce(&mut Message)) -> Play {
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

fn servfail(seen: &Seen, code: u8, text: &[u8]) -> Play {
    said(seen, &[], |reply| {
        reply.authorities.clear();
        reply.metadata.response_code = ResponseCode::ServFail;
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, [&[0, code], text].concat()));
        reply.set_edns(edns);
    })
}

async fn with_resolver(play: impl Fn(&Seen) -> Play + Send + Sync + 'static) -> World {
    Cast::default().parents(ONE).zones("127.0.0.4", with_value("v")).with(RESOLVER, play).listen().await
}

fn prober(world: &World, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
    let resolver = world.at(RESOLVER);
    world.hasty_with(|config| {
        config.resolvers = vec![resolver];
        change(config);
    })
}

async fn look(prober: &Prober, value: &str, confirm_absence: bool) -> Observation {
    let looking_for = vec![value.as_bytes().to_vec()];
    prober.look(Question { name: AT.into(), looking_for, confirm_absence, ..Question::default() }).await
}

fn validation(seen: &Observation) -> &Validation {
    seen.confirmation.validation.as_ref().unwrap_or_else(|| panic!("{seen:?}"))
}

#[tokio::test]
async fn a_resolver_that_vouches_settles_it() {
    let world = with_resolver(|s| said(s, &["v"], |reply| reply.metadata.authentic_data = true)).await;
    let seen = look(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    assert_eq!(
        (verdict.security, verdict.rcode, &verdict.values),
        (Security::Secure, Some(0), &vec![b"v".to_vec()])
    );
    assert_eq!((verdict.by.clone(), &seen.confirmation.repeated), (world.at(RESOLVER).to_string(), &None));
    assert_eq!(seen.queries, 4);
    let asked = world.seen().into_iter().find(|s| s.server == RESOLVER).unwrap().message;
    assert!(asked.metadata.recursion_desired && !asked.metadata.checking_disabled);
    assert!(asked.edns.is_some_and(|edns| edns.flags().dnssec_ok));
}

#[tokio::test]
async fn a_resolver_that_does_not_vouch_leaves_it_to_the_repetition() {
    // It still has the denial in its cache.
    let world = with_resolver(|s| said(s, &[], |_| {})).await;
    let seen = look(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    assert_eq!(
        (verdict.security, verdict.rcode, verdict.negative_ttl),
        (Security::Insecure, Some(3), Some(60))
    );
    assert_eq!(seen.confirmation.repeated.map(|rows| rows.len()), Some(1));
}

#[tokio::test]
async fn what_a_resolver_refuses_to_believe_is_bogus_and_what_it_cannot_find_is_not() {
    let world = with_resolver(|s| {
        if s.message.metadata.checking_disabled {
            said(s, &["v"], |_| {})
        } else {
            servfail(s, 7, b"expired")
        }
    })
    .await;
    let seen = look(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    let ede = verdict.ede.clone().unwrap();
    assert_eq!((verdict.security, verdict.rcode), (Security::Bogus, Some(2)));
    assert_eq!((ede.code, ede.text.as_slice(), &verdict.values), (7, b"expired".as_slice(), &vec![]));
    assert_eq!(seen.confirmation.repeated, None);

    let world = with_resolver(|s| servfail(s, 22, b"no reachable authority")).await;
    let seen = look(&prober(&world, |_| {}), "v", false).await;
    let verdict = validation(&seen);
    assert_eq!(
        (verdict.security, verdict.rcode, &verdict.ede),
        (Security::Indeterminate, Some(2), &None),
        "it was there and could not find out"
    );
    assert_eq!(seen.confirmation.repeated.map(|rows| rows.len()), Some(1));
}

#[tokio::test]
async fn a_resolver_that_drops_its_first_answers_is_asked_again() {
    // Both datagrams, the one without EDNS and the connection of the first time go unanswered.
    let dropped = AtomicUsize::new(0);
    let world = with_resolver(move |s| {
        if dropped.fetch_add(1, Ordering::Relaxed) < 4 {
            Play::Silence
        } else {
            said(s, &["v"], |reply| reply.metadata.authentic_data = true)
        }
    })
    .await;
    let seen = look(&prober(&world, |_| {}), "v", false).await;
    assert_eq!(validation(&seen).security, Security::Secure, "{seen:?}");
}

#[tokio::test]
async fn the_next_resolver_is_asked_when_one_is_dead_and_none_means_indeterminate() {
    let world = with_resolver(|s| said(s, &["v"], |reply| reply.metadata.authentic_data = true)).await;
    let dead = world.at("127.0.0.54");
    let seen = look(&prober(&world, |c| c.resolvers.insert(0, dead)), "v", false).await;
    assert_eq!(
        (validation(&seen).security, &validation(&seen).by),
        (Security::Secure, &world.at(RESOLVER).to_string())
    );
    let seen = look(&prober(&world, |c| c.resolvers = vec![dead]), "v", false).await;
    assert_eq!((validation(&seen).security, validation(&seen).rcode), (Security::Indeterminate, None));
    assert_eq!(seen.confirmation.repeated.map(|rows| rows.len()), Some(1));
}

#[tokio::test]
async fn an_absence_that_has_to_be_sure_is_validated_as_well() {
    let world = Cast::default()
        .parents(ONE)
        .zones("127.0.0.4", acme(vec![]))
        .with(RESOLVER, |s| said(s, &[], |reply| reply.metadata.authentic_data = true))
        .listen()
        .await;
    let prober = prober(&world, |_| {});
    let seen = look(&prober, "v", true).await;
    assert_eq!((validation(&seen).security, validation(&seen).rcode), (Security::Secure, Some(3)));
    assert_eq!(seen.confirmation.repeated, None);
    let seen = look(&prober, "v", false).await;
    assert_eq!(seen.confirmation.validation, None, "nobody may lose by it");
}

#[tokio::test]
async fn vantages_say_each_what_they_see() {
    let world = Cast::default()
        .parents(ONE)
        .zones("127.0.0.4", with_value("v"))
        .with("127.0.0.61", |s| said(s, &["v", "w"], |_| {}))
        .with("127.0.0.62", |s| said(s, &[], |_| {}))
        .with("127.0.0.63", |_| Play::Silence)
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
    let prober = world.hasty_with(|config| {
        config.vantages = at.iter().map(|text| text.parse().unwrap()).collect();
        config.vantage_quorum = 2;
    });
    let seen = look(&prober, "v", false).await;
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
    let asked = world.seen();
    assert!(asked.iter().filter(|s| s.server == "127.0.0.61").all(|s| s.message.metadata.recursion_desired));
    assert!(
        look(&prober, "other", false).await.confirmation.vantages.is_empty(),
        "nothing is to be confirmed"
    );
}
