//! Finding the zone: from the root downwards, over shared servers, without glue, from resolvers, past dead ones.
use std::sync::atomic::{AtomicBool, Ordering};

use deed_claims::{Confirmation, NetworkFault, Observation, ProbeFailure, Reply};
use deed_probe::DelegationSource;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::records::{Zones, a, cname, ns, soa, txt};
use crate::world::{Cast, ONE, Play, TWO, acme, look, server, values, with_value};

#[tokio::test]
async fn a_walk_goes_from_the_root_over_the_parent_to_the_zone() {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;

    assert_eq!(seen.name, "_deed.acme.test");
    assert_eq!(seen.zone.as_deref(), Some("acme.test"));
    assert_eq!((seen.failure, seen.confirmation, seen.queries), (None, Confirmation::default(), 3));
    assert_eq!((seen.vantage.as_str(), seen.aliases.len()), ("test", 0));
    let answer = &seen.servers[0];
    assert_eq!(
        (answer.server.as_str(), answer.address),
        ("ns1.acme.test", Some("127.0.0.4".parse().unwrap()))
    );
    assert_eq!(values(answer), ["v"]);

    // Names are minimised: nobody above the zone learns of the full name.
    let asked = world.seen();
    assert!(asked[0].server == "127.0.0.2" && asked[0].is("test", RecordType::NS));
    assert!(asked[1].server == "127.0.0.3" && asked[1].is("acme.test", RecordType::NS));
    assert!(asked[2].server == "127.0.0.4" && asked[2].is("_deed.acme.test", RecordType::TXT));
    assert!(asked.iter().all(|s| !s.message.metadata.recursion_desired));
    assert!(asked.iter().all(|s| s.message.edns.as_ref().is_some_and(|e| e.flags().dnssec_ok)));
}

#[tokio::test]
async fn delegations_are_remembered_and_answers_are_not() {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let prober = world.prober();
    look(&prober, "_deed.acme.test").await;
    let seen = look(&prober, "_deed.acme.test").await;
    assert_eq!((seen.queries, values(&seen.servers[0])), (1, vec!["v".to_owned()]));
    assert_eq!((world.asked("127.0.0.2"), world.asked("127.0.0.3"), world.asked("127.0.0.4")), (1, 1, 2));

    let forgetful = world.prober_with(|c| c.delegation_cache_ttl = std::time::Duration::ZERO);
    look(&forgetful, "_deed.acme.test").await;
    assert_eq!(look(&forgetful, "_deed.acme.test").await.queries, 3);
}

/// Root, top-level domain and zone on one server that answers for each of them with authority.
fn all_in_one(glue: bool) -> Zones {
    let cut = |apex: &str| {
        let mut records = vec![ns(apex, "ns.acme.test")];
        if glue {
            records.push(a("ns.acme.test", "127.0.0.2"));
        }
        records
    };
    Zones::default().with(".", cut(".")).with("test", cut("test")).with(
        "acme.test",
        [cut("acme.test"), vec![a("ns.acme.test", "127.0.0.2"), txt("_deed.acme.test", "v")]].concat(),
    )
}

#[tokio::test]
async fn one_server_may_hold_every_zone_on_the_way() {
    let world = Cast::default().zones("127.0.0.2", all_in_one(true)).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), &seen.failure, seen.queries), (Some("acme.test"), &None, 3));
    assert_eq!(values(server(&seen, "ns.acme.test")), ["v"]);
}

#[tokio::test]
async fn a_shared_server_that_gives_no_addresses_is_asked_for_them() {
    let world = Cast::default().zones("127.0.0.2", all_in_one(false)).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(server(&seen, "ns.acme.test")), ["v"]);
}

#[tokio::test]
async fn a_cut_at_the_name_itself_is_followed_down() {
    let above = acme(vec![ns("_deed.acme.test", "ns._deed.acme.test"), a("ns._deed.acme.test", "127.0.0.5")]);
    let below = Zones::default().with("_deed.acme.test", vec![txt("_deed.acme.test", "below")]);
    let world =
        Cast::default().parents(ONE).zones("127.0.0.4", above).zones("127.0.0.5", below).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure), (Some("_deed.acme.test"), None));
    assert_eq!(values(&seen.servers[0]), ["below"]);
}

#[tokio::test]
async fn names_in_between_without_a_cut_are_passed() {
    let zone = acme(vec![txt("_deed.a.b.acme.test", "deep")]);
    let world = Cast::default().parents(ONE).zones("127.0.0.4", zone).listen().await;
    let seen = look(&world.prober(), "_deed.a.b.acme.test").await;
    assert_eq!(
        (seen.zone.as_deref(), values(&seen.servers[0])),
        (Some("acme.test"), vec!["deep".to_owned()])
    );
}

#[tokio::test]
async fn a_name_that_the_parent_denies_is_asked_for_at_the_parent() {
    let world = Cast::default().parents(&[]).listen().await;
    let seen = look(&world.prober(), "_deed.a.b.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure, seen.queries), (Some("test"), None, 3));
    let Reply::Message { rcode, authoritative, soa, .. } = &seen.servers[0].reply else { panic!() };
    assert_eq!((*rcode, *authoritative), (3, true));
    let soa = soa.as_ref().unwrap();
    assert_eq!((soa.owner.as_str(), soa.serial, soa.negative_ttl), ("test", 42, 60));
}

#[tokio::test]
async fn an_alias_on_the_way_ends_the_walk() {
    let zone = acme(vec![cname("www.acme.test", "elsewhere.test")]);
    let world = Cast::default().parents(ONE).zones("127.0.0.4", zone).listen().await;
    let seen = look(&world.prober(), "_deed.x.www.acme.test").await;
    assert_eq!(seen.zone.as_deref(), Some("acme.test"));
    assert!(matches!(seen.servers[0].reply, Reply::Message { rcode: 3, .. }), "{seen:?}");
    assert!(!world.seen().iter().any(|s| s.is("x.www.acme.test", RecordType::NS)));
}

#[tokio::test]
async fn referrals_upward_and_sideways_lead_nowhere() {
    for owner in [".", "test", "other.test"] {
        let world = Cast::default()
            .parents(ONE)
            .with("127.0.0.4", move |seen| {
                let mut reply = seen.message.clone().into_response();
                reply.add_authority(ns(owner, "ns.evil.test")).add_additional(a("ns.evil.test", "127.0.0.6"));
                reply.into()
            })
            .zones("127.0.0.6", with_value("evil"))
            .listen()
            .await;
        let seen = look(&world.prober(), "_deed.www.acme.test").await;
        assert_eq!(world.asked("127.0.0.6"), 0, "{owner}");
        assert!(
            matches!(seen.servers[..], [ref s] if matches!(s.reply, Reply::Message { authoritative: false, .. })),
            "the lame server itself is reported: {seen:?}"
        );
    }
}

#[tokio::test]
async fn glue_from_outside_the_speaking_zone_is_hearsay() {
    let test = vec![ns("acme.test", "ns.elsewhere"), a("ns.elsewhere", "127.0.0.6")];
    let world = Cast::default().parents_with(test).zones("127.0.0.6", with_value("evil")).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert_eq!((world.asked("127.0.0.6"), seen.failure), (0, Some(ProbeFailure::NoAddress)));
}

#[tokio::test]
async fn names_without_glue_are_resolved_by_a_trusted_resolver() {
    let test = vec![ns("acme.test", "ns.elsewhere"), ns("acme.test", "dead.elsewhere")];
    let resolver = Zones::default().with("elsewhere", vec![a("ns.elsewhere", "127.0.0.4")]);
    let world = Cast::default()
        .parents_with(test)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.9", resolver)
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let seen = look(&world.prober_with(|c| c.resolvers = vec![resolver]), "_deed.acme.test").await;

    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None));
    assert_eq!(values(server(&seen, "ns.elsewhere")), ["v"]);
    let without = server(&seen, "dead.elsewhere");
    assert_eq!((without.address, &without.reply), (None, &Reply::Fault(NetworkFault::Unreachable)));
    let asked: Vec<_> = world.seen().into_iter().filter(|s| s.server == "127.0.0.9").collect();
    assert_eq!(asked.len(), 4, "A and AAAA for two names");
    assert!(asked.iter().all(|s| s.message.metadata.recursion_desired));
    assert!(
        !asked.iter().any(|s| s.is("_deed.acme.test", RecordType::TXT)),
        "a cache must not learn the name"
    );
}

#[tokio::test]
async fn a_silent_resolver_is_our_own_trouble() {
    let test = vec![ns("acme.test", "ns.elsewhere")];
    let world = Cast::default().parents_with(test).with("127.0.0.9", |_| Play::Silence).listen().await;
    let resolver = world.at("127.0.0.9");
    let seen = look(&world.hasty_with(|c| c.resolvers = vec![resolver]), "_deed.acme.test").await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Internal(_))), "{seen:?}");
}

fn failing(asked: &Message) -> Play {
    let mut reply = asked.clone().into_response();
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.into()
}

#[tokio::test]
async fn a_name_that_a_resolver_cannot_resolve_is_no_trouble_of_ours() {
    let test = vec![ns("acme.test", "ns.elsewhere")];
    let world = Cast::default().parents_with(test).with("127.0.0.9", |s| failing(&s.message)).listen().await;
    let resolver = world.at("127.0.0.9");
    let seen = look(&world.prober_with(|c| c.resolvers = vec![resolver]), "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "{seen:?}");
}

#[tokio::test]
async fn a_family_that_was_not_answered_for_is_asked_for_again_by_the_next_look() {
    let once = AtomicBool::new(true);
    let elsewhere = Zones::default().with("elsewhere", vec![a("ns.elsewhere", "127.0.0.4")]);
    let world = Cast::default()
        .parents_with(vec![ns("acme.test", "ns.elsewhere")])
        .zones("127.0.0.4", with_value("v"))
        .with("127.0.0.9", move |s| {
            if s.is("ns.elsewhere", RecordType::A) && once.swap(false, Ordering::Relaxed) {
                failing(&s.message)
            } else {
                elsewhere.answer(&s.message).into()
            }
        })
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let prober = world.prober_with(|c| c.resolvers = vec![resolver]);
    let seen = look(&prober, "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "no IPv6 address says nothing of IPv4: {seen:?}");
    assert_eq!(values(&look(&prober, "_deed.acme.test").await.servers[0]), ["v"]);
}

#[tokio::test]
async fn a_server_whose_address_was_not_found_out_is_not_remembered_as_dead() {
    let once = AtomicBool::new(true);
    let addresses = vec![a("one.elsewhere", "127.0.0.4"), a("two.elsewhere", "127.0.0.5")];
    let elsewhere = Zones::default().with("elsewhere", addresses);
    let world = Cast::default()
        .parents_with(vec![ns("acme.test", "one.elsewhere"), ns("acme.test", "two.elsewhere")])
        .zones("127.0.0.4", acme(vec![txt("_deed.www.acme.test", "v")]))
        .zones("127.0.0.5", acme(vec![txt("_deed.www.acme.test", "v")]))
        .with("127.0.0.9", move |s| {
            if s.is("two.elsewhere", RecordType::A) && once.swap(false, Ordering::Relaxed) {
                failing(&s.message)
            } else {
                elsewhere.answer(&s.message).into()
            }
        })
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let prober = world.prober_with(|c| c.resolvers = vec![resolver]);
    let seen = look(&prober, "_deed.www.acme.test").await;
    assert_eq!(server(&seen, "two.elsewhere").reply, Reply::Fault(NetworkFault::Timeout));
    let seen = look(&prober, "_deed.www.acme.test").await;
    assert_eq!(values(server(&seen, "two.elsewhere")), ["v"]);
}

#[tokio::test]
async fn without_a_resolver_the_walk_itself_finds_addresses() {
    let test = vec![
        ns("acme.test", "ns.provider.test"),
        ns("provider.test", "ns.provider.test"),
        a("ns.provider.test", "127.0.0.5"),
    ];
    // The parent keeps the provider's glue to itself when it refers to the other zone.
    let zones = Zones::default().with("test", test);
    let provider = Zones::default().with("provider.test", vec![a("ns.provider.test", "127.0.0.4")]);
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = Cast::default()
        .zones("127.0.0.2", root)
        .with("127.0.0.3", move |seen| {
            let mut reply = zones.answer(&seen.message);
            if reply.authorities.first().is_some_and(|r| r.name == crate::records::name("acme.test")) {
                reply.additionals.clear();
            }
            reply.into()
        })
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", provider)
        .listen()
        .await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(server(&seen, "ns.provider.test")), ["v"]);
}

/// Nobody knows the address of the one server, which is said of it and of nothing else.
fn is_without_an_answer(seen: &Observation) -> bool {
    let [server] = &seen.servers[..] else { return false };
    seen.failure.is_none() && (server.address, &server.reply) == (None, &Reply::Fault(NetworkFault::Timeout))
}

#[tokio::test]
async fn zones_that_have_their_servers_in_each_other_end_without_an_answer() {
    let test = vec![ns("acme.test", "ns.b.test"), ns("b.test", "ns.acme.test")];
    let world = Cast::default().parents_with(test).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "{seen:?}");
    assert!(seen.queries < 12, "{}", seen.queries);
}

#[tokio::test]
async fn a_providers_zone_may_have_its_servers_in_a_third_one() {
    let test = vec![
        ns("acme.test", "ns1.host.test"),
        ns("acme.test", "ns2.host.test"),
        ns("host.test", "ns1.other.test"),
        ns("other.test", "ns.other.test"),
        a("ns.other.test", "127.0.0.6"),
    ];
    let host = vec![a("ns1.host.test", "127.0.0.4"), a("ns2.host.test", "127.0.0.7")];
    let world = Cast::default()
        .parents_with(test)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", Zones::default().with("host.test", host))
        .zones("127.0.0.6", Zones::default().with("other.test", vec![a("ns1.other.test", "127.0.0.5")]))
        .zones("127.0.0.7", with_value("v"))
        .listen()
        .await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(server(&seen, "ns1.host.test")), ["v"]);
    assert_eq!(values(server(&seen, "ns2.host.test")), ["v"]);
    let asked = world.seen();
    let found_out = asked.iter().filter(|s| s.server == "127.0.0.6" && s.is("ns1.other.test", RecordType::A));
    assert_eq!(found_out.count(), 1, "once for both servers");
}

#[tokio::test]
async fn a_fourth_zone_is_not_asked_and_not_taken_for_a_server_without_address() {
    let test = vec![
        ns("acme.test", "ns.host.test"),
        ns("host.test", "ns.other.test"),
        ns("other.test", "ns.third.test"),
        ns("third.test", "x.third.test"),
        a("x.third.test", "127.0.0.6"),
    ];
    let third = Zones::default().with("third.test", vec![a("ns.third.test", "127.0.0.5")]);
    let world = Cast::default().parents_with(test).zones("127.0.0.6", third).listen().await;
    let seen = look(&world.prober(), "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "{seen:?}");
    assert_eq!(world.asked("127.0.0.6"), 0);
}

#[tokio::test]
async fn delegations_may_come_from_a_resolver() {
    let resolver = Zones::default()
        .with("test", vec![ns("test", "ns.test")])
        .with("acme.test", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let world = Cast::default()
        .zones("127.0.0.4", acme(vec![txt("_deed.www.acme.test", "v")]))
        .zones("127.0.0.9", resolver)
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let prober = world.prober_with(|c| {
        c.resolvers = vec![resolver];
        c.delegation = DelegationSource::FromResolver;
        c.roots.clear();
    });
    let seen = look(&prober, "_deed.www.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(&seen.servers[0]), ["v"]);
    assert!(
        !world.seen().iter().any(|s| s.server == "127.0.0.9" && s.message.queries[0].name.iter().len() > 3)
    );
}

#[tokio::test]
async fn a_dead_server_of_a_parent_is_passed_over() {
    let two = vec![
        ns("test", "dead.test"),
        a("dead.test", "127.0.0.7"),
        ns("test", "ns.test"),
        a("ns.test", "127.0.0.3"),
    ];
    for dead in [Play::Silence, Play::Raw(vec![])] {
        let refuses = matches!(dead, Play::Silence);
        let test = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
        let world = Cast::default()
            .zones("127.0.0.2", Zones::default().with(".", two.clone()))
            .zones("127.0.0.3", Zones::default().with("test", test))
            .zones("127.0.0.4", with_value("v"))
            .with("127.0.0.7", move |seen| {
                if refuses {
                    let mut reply = seen.message.clone().into_response();
                    reply.metadata.response_code = ResponseCode::Refused;
                    reply.into()
                } else {
                    Play::Silence
                }
            })
            .listen()
            .await;
        for _ in 0..4 {
            let seen = look(&world.hasty(), "_deed.acme.test").await;
            assert_eq!((seen.failure, values(&seen.servers[0])), (None, vec!["v".to_owned()]));
        }
    }
}

#[tokio::test]
async fn dead_parents_are_told_apart() {
    let answering = |code: Option<ResponseCode>| async move {
        let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
        let world = Cast::default()
            .zones("127.0.0.2", root)
            .with("127.0.0.3", move |seen| match code {
                None => Play::Silence,
                Some(code) => {
                    let mut reply = seen.message.clone().into_response();
                    reply.metadata.response_code = code;
                    reply.into()
                }
            })
            .listen()
            .await;
        look(&world.hasty(), "_deed.acme.test").await.failure
    };
    assert_eq!(answering(Some(ResponseCode::Refused)).await, Some(ProbeFailure::ParentRefused(5)));
    assert_eq!(answering(Some(ResponseCode::ServFail)).await, Some(ProbeFailure::ParentRefused(2)));
    assert_eq!(answering(None).await, Some(ProbeFailure::NoDelegation(NetworkFault::Timeout)));
}

#[tokio::test]
async fn silent_root_servers_are_our_own_trouble() {
    let world = Cast::default().with("127.0.0.2", |_| Play::Silence).listen().await;
    let seen = look(&world.hasty(), "_deed.acme.test").await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert!(seen.servers.is_empty() && seen.zone.is_none());
}

#[tokio::test]
async fn a_dead_zone_below_is_reported_server_by_server() {
    let world = Cast::default()
        .parents(TWO)
        .with("127.0.0.4", |_| Play::Silence)
        .with("127.0.0.5", |seen| {
            let mut reply = seen.message.clone().into_response();
            reply.metadata.response_code = ResponseCode::ServFail;
            reply.into()
        })
        .listen()
        .await;
    let seen = look(&world.hasty(), "_deed.www.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None));
    assert_eq!(server(&seen, "ns1.acme.test").reply, Reply::Fault(NetworkFault::Timeout));
    assert!(matches!(server(&seen, "ns2.acme.test").reply, Reply::Message { rcode: 2, .. }));
}

#[tokio::test]
async fn a_denial_from_a_zone_above_is_a_lame_servers() {
    for above in ["test", ".", "sister.test"] {
        let world = Cast::default()
            .parents(ONE)
            .with("127.0.0.4", move |seen| {
                let mut reply = seen.message.clone().into_response();
                reply.metadata.authoritative = true;
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(soa(above));
                reply.into()
            })
            .listen()
            .await;
        let seen = look(&world.prober(), "_deed.acme.test").await;
        let Reply::Message { rcode: 3, authoritative: true, soa, .. } = &seen.servers[0].reply else {
            panic!("{seen:?}")
        };
        assert_eq!(soa, &None, "{above}");
    }
}
