//! Finding the zone: from the root down, over shared servers, without glue, from resolvers, past dead servers.
use std::sync::atomic::{AtomicBool, Ordering};

use deed_diagnosis::{Confirmation, NetworkFault, Observation, ProbeFailure, Reply};
use deed_probe::DelegationSource;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::records::{Zones, a, cname, ns, soa, txt};
use crate::world::{Behaviour, ONE, ScriptedServers, TWO, acme, probe, server, values, with_value};

#[tokio::test]
async fn walks_from_root_to_zone() {
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;

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

    // QNAME minimisation: the servers above the zone never learn the full name.
    let asked = world.queries();
    assert!(asked[0].server == "127.0.0.2" && asked[0].is("test", RecordType::NS));
    assert!(asked[1].server == "127.0.0.3" && asked[1].is("acme.test", RecordType::NS));
    assert!(asked[2].server == "127.0.0.4" && asked[2].is("_deed.acme.test", RecordType::TXT));
    assert!(asked.iter().all(|s| !s.message.metadata.recursion_desired));
    assert!(asked.iter().all(|s| s.message.edns.as_ref().is_some_and(|e| e.flags().dnssec_ok)));
}

#[tokio::test]
async fn caches_delegations_but_not_answers() {
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let prober = world.prober();
    probe(&prober, "_deed.acme.test").await;
    let seen = probe(&prober, "_deed.acme.test").await;
    assert_eq!((seen.queries, values(&seen.servers[0])), (1, vec!["v".to_owned()]));
    assert_eq!(
        (world.query_count("127.0.0.2"), world.query_count("127.0.0.3"), world.query_count("127.0.0.4")),
        (1, 1, 2)
    );

    let forgetful = world.prober_with(|c| c.delegation_cache_ttl = std::time::Duration::ZERO);
    probe(&forgetful, "_deed.acme.test").await;
    assert_eq!(probe(&forgetful, "_deed.acme.test").await.queries, 3);
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
async fn walks_through_zones_on_one_server() {
    let world = ScriptedServers::default().zones("127.0.0.2", all_in_one(true)).listen().await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), &seen.failure, seen.queries), (Some("acme.test"), &None, 3));
    assert_eq!(values(server(&seen, "ns.acme.test")), ["v"]);
}

#[tokio::test]
async fn queries_shared_server_for_missing_addresses() {
    let world = ScriptedServers::default().zones("127.0.0.2", all_in_one(false)).listen().await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(server(&seen, "ns.acme.test")), ["v"]);
}

#[tokio::test]
async fn follows_cut_at_the_name() {
    let above = acme(vec![ns("_deed.acme.test", "ns._deed.acme.test"), a("ns._deed.acme.test", "127.0.0.5")]);
    let below = Zones::default().with("_deed.acme.test", vec![txt("_deed.acme.test", "below")]);
    let world = ScriptedServers::default()
        .parents(ONE)
        .zones("127.0.0.4", above)
        .zones("127.0.0.5", below)
        .listen()
        .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure), (Some("_deed.acme.test"), None));
    assert_eq!(values(&seen.servers[0]), ["below"]);
}

#[tokio::test]
async fn passes_names_without_cut() {
    let zone = acme(vec![txt("_deed.a.b.acme.test", "deep")]);
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", zone).listen().await;
    let seen = probe(&world.prober(), "_deed.a.b.acme.test").await;
    assert_eq!(
        (seen.zone.as_deref(), values(&seen.servers[0])),
        (Some("acme.test"), vec!["deep".to_owned()])
    );
}

#[tokio::test]
async fn queries_parent_for_name_it_denies() {
    let world = ScriptedServers::default().parents(&[]).listen().await;
    let seen = probe(&world.prober(), "_deed.a.b.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure, seen.queries), (Some("test"), None, 3));
    let Reply::Message { rcode, authoritative, soa, .. } = &seen.servers[0].reply else { panic!() };
    assert_eq!((*rcode, *authoritative), (3, true));
    let soa = soa.as_ref().unwrap();
    assert_eq!((soa.owner.as_str(), soa.serial, soa.negative_ttl), ("test", 42, 60));
}

#[tokio::test]
async fn alias_ends_walk() {
    let zone = acme(vec![cname("www.acme.test", "elsewhere.test")]);
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", zone).listen().await;
    let seen = probe(&world.prober(), "_deed.x.www.acme.test").await;
    assert_eq!(seen.zone.as_deref(), Some("acme.test"));
    assert!(matches!(seen.servers[0].reply, Reply::Message { rcode: 3, .. }), "{seen:?}");
    assert!(!world.queries().iter().any(|s| s.is("x.www.acme.test", RecordType::NS)));
}

#[tokio::test]
async fn ignores_upward_and_sideways_referrals() {
    for owner in [".", "test", "other.test"] {
        let world = ScriptedServers::default()
            .parents(ONE)
            .with("127.0.0.4", move |seen| {
                let mut reply = seen.message.clone().into_response();
                reply.add_authority(ns(owner, "ns.evil.test")).add_additional(a("ns.evil.test", "127.0.0.6"));
                reply.into()
            })
            .zones("127.0.0.6", with_value("evil"))
            .listen()
            .await;
        let seen = probe(&world.prober(), "_deed.www.acme.test").await;
        assert_eq!(world.query_count("127.0.0.6"), 0, "{owner}");
        assert!(
            matches!(seen.servers[..], [ref s] if matches!(s.reply, Reply::Message { authoritative: false, .. })),
            "the lame server itself is reported: {seen:?}"
        );
    }
}

#[tokio::test]
async fn ignores_out_of_bailiwick_glue() {
    let test = vec![ns("acme.test", "ns.elsewhere"), a("ns.elsewhere", "127.0.0.6")];
    let world =
        ScriptedServers::default().parents_with(test).zones("127.0.0.6", with_value("evil")).listen().await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((world.query_count("127.0.0.6"), seen.failure), (0, Some(ProbeFailure::NoAddress)));
}

#[tokio::test]
async fn names_without_glue_are_resolved_by_a_trusted_resolver() {
    let test = vec![ns("acme.test", "ns.elsewhere"), ns("acme.test", "dead.elsewhere")];
    let resolver = Zones::default().with("elsewhere", vec![a("ns.elsewhere", "127.0.0.4")]);
    let world = ScriptedServers::default()
        .parents_with(test)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.9", resolver)
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let seen = probe(&world.prober_with(|c| c.resolvers = vec![resolver]), "_deed.acme.test").await;

    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None));
    assert_eq!(values(server(&seen, "ns.elsewhere")), ["v"]);
    let without = server(&seen, "dead.elsewhere");
    assert_eq!((without.address, &without.reply), (None, &Reply::Fault(NetworkFault::Unreachable)));
    let asked: Vec<_> = world.queries().into_iter().filter(|s| s.server == "127.0.0.9").collect();
    assert_eq!(asked.len(), 4, "A and AAAA for two names");
    assert!(asked.iter().all(|s| s.message.metadata.recursion_desired));
    assert!(
        !asked.iter().any(|s| s.is("_deed.acme.test", RecordType::TXT)),
        "a cache must not learn the name"
    );
}

#[tokio::test]
async fn silent_resolver_is_internal_failure() {
    let test = vec![ns("acme.test", "ns.elsewhere")];
    let world =
        ScriptedServers::default().parents_with(test).with("127.0.0.9", |_| Behaviour::Close).listen().await;
    let resolver = world.at("127.0.0.9");
    let seen = probe(&world.impatient_prober_with(|c| c.resolvers = vec![resolver]), "_deed.acme.test").await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Internal(_))), "{seen:?}");
}

fn failing(asked: &Message) -> Behaviour {
    let mut reply = asked.clone().into_response();
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.into()
}

#[tokio::test]
async fn unresolvable_server_name_is_not_internal_failure() {
    let test = vec![ns("acme.test", "ns.elsewhere")];
    let world = ScriptedServers::default()
        .parents_with(test)
        .with("127.0.0.9", |s| failing(&s.message))
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let seen = probe(&world.prober_with(|c| c.resolvers = vec![resolver]), "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "{seen:?}");
}

#[tokio::test]
async fn retries_unanswered_address_family_in_next_probe() {
    let once = AtomicBool::new(true);
    let elsewhere = Zones::default().with("elsewhere", vec![a("ns.elsewhere", "127.0.0.4")]);
    let world = ScriptedServers::default()
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
    let seen = probe(&prober, "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "no IPv6 address says nothing of IPv4: {seen:?}");
    assert_eq!(values(&probe(&prober, "_deed.acme.test").await.servers[0]), ["v"]);
}

#[tokio::test]
async fn does_not_cache_unresolved_server_address() {
    let once = AtomicBool::new(true);
    let addresses = vec![a("one.elsewhere", "127.0.0.4"), a("two.elsewhere", "127.0.0.5")];
    let elsewhere = Zones::default().with("elsewhere", addresses);
    let world = ScriptedServers::default()
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
    let seen = probe(&prober, "_deed.www.acme.test").await;
    assert_eq!(server(&seen, "two.elsewhere").reply, Reply::Fault(NetworkFault::Timeout));
    let seen = probe(&prober, "_deed.www.acme.test").await;
    assert_eq!(values(server(&seen, "two.elsewhere")), ["v"]);
}

#[tokio::test]
async fn resolves_server_addresses_by_walk() {
    let test = vec![
        ns("acme.test", "ns.provider.test"),
        ns("provider.test", "ns.provider.test"),
        a("ns.provider.test", "127.0.0.5"),
    ];
    // The parent leaves out the provider's glue when it refers to the other zone.
    let zones = Zones::default().with("test", test);
    let provider = Zones::default().with("provider.test", vec![a("ns.provider.test", "127.0.0.4")]);
    let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
    let world = ScriptedServers::default()
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
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(server(&seen, "ns.provider.test")), ["v"]);
}

/// Whether the one server has no known address, and nothing else is reported.
fn is_without_an_answer(seen: &Observation) -> bool {
    let [server] = &seen.servers[..] else { return false };
    seen.failure.is_none() && (server.address, &server.reply) == (None, &Reply::Fault(NetworkFault::Timeout))
}

#[tokio::test]
async fn ends_circular_name_server_dependency() {
    let test = vec![ns("acme.test", "ns.b.test"), ns("b.test", "ns.acme.test")];
    let world = ScriptedServers::default().parents_with(test).listen().await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "{seen:?}");
    assert!(seen.queries < 12, "{}", seen.queries);
}

#[tokio::test]
async fn resolves_provider_zone_through_third_zone() {
    let test = vec![
        ns("acme.test", "ns1.host.test"),
        ns("acme.test", "ns2.host.test"),
        ns("host.test", "ns1.other.test"),
        ns("other.test", "ns.other.test"),
        a("ns.other.test", "127.0.0.6"),
    ];
    let host = vec![a("ns1.host.test", "127.0.0.4"), a("ns2.host.test", "127.0.0.7")];
    let world = ScriptedServers::default()
        .parents_with(test)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", Zones::default().with("host.test", host))
        .zones("127.0.0.6", Zones::default().with("other.test", vec![a("ns1.other.test", "127.0.0.5")]))
        .zones("127.0.0.7", with_value("v"))
        .listen()
        .await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(server(&seen, "ns1.host.test")), ["v"]);
    assert_eq!(values(server(&seen, "ns2.host.test")), ["v"]);
    let asked = world.queries();
    let found_out = asked.iter().filter(|s| s.server == "127.0.0.6" && s.is("ns1.other.test", RecordType::A));
    assert_eq!(found_out.count(), 1, "once for both servers");
}

#[tokio::test]
async fn stops_resolving_at_fourth_zone_without_blame() {
    let test = vec![
        ns("acme.test", "ns.host.test"),
        ns("host.test", "ns.other.test"),
        ns("other.test", "ns.third.test"),
        ns("third.test", "x.third.test"),
        a("x.third.test", "127.0.0.6"),
    ];
    let third = Zones::default().with("third.test", vec![a("ns.third.test", "127.0.0.5")]);
    let world = ScriptedServers::default().parents_with(test).zones("127.0.0.6", third).listen().await;
    let seen = probe(&world.prober(), "_deed.acme.test").await;
    assert!(is_without_an_answer(&seen), "{seen:?}");
    assert_eq!(world.query_count("127.0.0.6"), 0);
}

#[tokio::test]
async fn delegations_may_come_from_a_resolver() {
    let resolver = Zones::default()
        .with("test", vec![ns("test", "ns.test")])
        .with("acme.test", vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")]);
    let world = ScriptedServers::default()
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
    let seen = probe(&prober, "_deed.www.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None), "{seen:?}");
    assert_eq!(values(&seen.servers[0]), ["v"]);
    assert!(
        !world
            .queries()
            .iter()
            .any(|s| s.server == "127.0.0.9" && s.message.queries[0].name.iter().len() > 3)
    );
}

#[tokio::test]
async fn skips_dead_parent_server() {
    let two = vec![
        ns("test", "dead.test"),
        a("dead.test", "127.0.0.7"),
        ns("test", "ns.test"),
        a("ns.test", "127.0.0.3"),
    ];
    for dead in [Behaviour::Close, Behaviour::Raw(vec![])] {
        let refuses = matches!(dead, Behaviour::Close);
        let test = vec![ns("acme.test", "ns1.acme.test"), a("ns1.acme.test", "127.0.0.4")];
        let world = ScriptedServers::default()
            .zones("127.0.0.2", Zones::default().with(".", two.clone()))
            .zones("127.0.0.3", Zones::default().with("test", test))
            .zones("127.0.0.4", with_value("v"))
            .with("127.0.0.7", move |seen| {
                if refuses {
                    let mut reply = seen.message.clone().into_response();
                    reply.metadata.response_code = ResponseCode::Refused;
                    reply.into()
                } else {
                    Behaviour::Close
                }
            })
            .listen()
            .await;
        for _ in 0..4 {
            let seen = probe(&world.impatient_prober(), "_deed.acme.test").await;
            assert_eq!((seen.failure, values(&seen.servers[0])), (None, vec!["v".to_owned()]));
        }
    }
}

#[tokio::test]
async fn tells_failures_of_parents_apart() {
    let answering = |code: Option<ResponseCode>| async move {
        let root = Zones::default().with(".", vec![ns("test", "ns.test"), a("ns.test", "127.0.0.3")]);
        let world = ScriptedServers::default()
            .zones("127.0.0.2", root)
            .with("127.0.0.3", move |seen| match code {
                None => Behaviour::Close,
                Some(code) => {
                    let mut reply = seen.message.clone().into_response();
                    reply.metadata.response_code = code;
                    reply.into()
                }
            })
            .listen()
            .await;
        probe(&world.impatient_prober(), "_deed.acme.test").await.failure
    };
    assert_eq!(answering(Some(ResponseCode::Refused)).await, Some(ProbeFailure::ParentRefused(5)));
    assert_eq!(answering(Some(ResponseCode::ServFail)).await, Some(ProbeFailure::ParentRefused(2)));
    assert_eq!(answering(None).await, Some(ProbeFailure::NoDelegation(NetworkFault::Timeout)));
}

#[tokio::test]
async fn silent_root_servers_are_internal_failure() {
    let world = ScriptedServers::default().with("127.0.0.2", |_| Behaviour::Close).listen().await;
    let seen = probe(&world.impatient_prober(), "_deed.acme.test").await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert!(seen.servers.is_empty() && seen.zone.is_none());
}

#[tokio::test]
async fn reports_dead_zone_per_server() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .with("127.0.0.4", |_| Behaviour::Close)
        .with("127.0.0.5", |seen| {
            let mut reply = seen.message.clone().into_response();
            reply.metadata.response_code = ResponseCode::ServFail;
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.impatient_prober(), "_deed.www.acme.test").await;
    assert_eq!((seen.zone.as_deref(), seen.failure.clone()), (Some("acme.test"), None));
    assert_eq!(server(&seen, "ns1.acme.test").reply, Reply::Fault(NetworkFault::Timeout));
    assert!(matches!(server(&seen, "ns2.acme.test").reply, Reply::Message { rcode: 2, .. }));
}

#[tokio::test]
async fn treats_denial_by_zone_above_as_lame() {
    for above in ["test", ".", "sister.test"] {
        let world = ScriptedServers::default()
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
        let seen = probe(&world.prober(), "_deed.acme.test").await;
        let Reply::Message { rcode: 3, authoritative: true, soa, .. } = &seen.servers[0].reply else {
            panic!("{seen:?}")
        };
        assert_eq!(soa, &None, "{above}");
    }
}
