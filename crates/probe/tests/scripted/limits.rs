//! The limits on what a hostile zone can make a probe spend: queries, time, servers, sockets.
use std::time::Duration;

use deed_diagnosis::{ProbeFailure, Reply};
use hickory_proto::rr::{Record, RecordType};
use tokio::time::Instant;

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{Behaviour, ONE, ScriptedServers, TWO, probe, probe_for, values, with_value};

const AT: &str = "_deed.acme.test";

/// Every zone has thirty servers in thirty other zones, none with glue; only the parents answer.
fn fan_out() -> Vec<Record> {
    let mut records = vec![];
    for i in 0..30 {
        records.push(ns("acme.test", &format!("ns.fan{i}.test")));
        for j in 0..30 {
            records.push(ns(&format!("fan{i}.test"), &format!("ns{j}.fan{i}.test")));
            records.push(a(&format!("ns{j}.fan{i}.test"), &format!("127.0.1.{j}")));
        }
    }
    records
}

#[tokio::test]
async fn fan_of_name_servers_stays_in_budget() {
    let world = ScriptedServers::default().parents_with(fan_out()).listen().await;
    let seen = probe(&world.prober(), AT).await;
    assert!(seen.queries <= 60, "{}", seen.queries);
    assert!(world.queries().len() <= seen.queries as usize);
    let asked_for = |i: usize| world.queries().iter().any(|s| s.is(&format!("fan{i}.test"), RecordType::NS));
    assert_eq!((0..30).filter(|i| asked_for(*i)).count(), 4, "four names without glue are looked for");
}

#[tokio::test]
async fn limits_nested_fans() {
    let mut records = vec![];
    for i in 0..30 {
        records.push(ns("acme.test", &format!("ns.fan{i}.test")));
        for j in 0..10 {
            let zone = format!("sub{i}-{j}.test");
            records.push(ns(&format!("fan{i}.test"), &format!("ns.{zone}")));
            records.push(ns(&zone, &format!("x.{zone}")));
            records.push(a(&format!("x.{zone}"), "127.0.1.1"));
        }
    }
    let world = ScriptedServers::default().parents_with(records).listen().await;
    let seen = probe(&world.prober(), AT).await;
    assert!(seen.queries <= 60, "{}", seen.queries);
    let asked = world.queries();
    let asked_for = |zone: String| asked.iter().any(|s| s.is(&zone, RecordType::NS));
    assert_eq!((0..30).filter(|i| asked_for(format!("fan{i}.test"))).count(), 4);
    let subs = (0..30).flat_map(|i| (0..10).map(move |j| format!("sub{i}-{j}.test")));
    assert_eq!(subs.filter(|zone| asked_for(zone.clone())).count(), 4, "for all of them together");
}

#[tokio::test]
async fn limits_fan_through_resolver() {
    let test = (0..30).map(|i| ns("acme.test", &format!("ns{i}.elsewhere"))).collect();
    let addresses = (0..30).map(|i| a(&format!("ns{i}.elsewhere"), "127.0.0.4")).collect();
    let world = ScriptedServers::default()
        .parents_with(test)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.9", Zones::default().with("elsewhere", addresses))
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let seen = probe(&world.prober_with(|c| c.resolvers = vec![resolver]), AT).await;
    assert_eq!(world.query_count("127.0.0.9"), 8, "two questions for each of four names");
    assert_eq!((seen.servers.len(), world.query_count("127.0.0.4")), (4, 1), "all of them are one server");
}

#[tokio::test]
async fn queries_at_most_eight_servers_per_zone() {
    let addresses: Vec<(String, String)> =
        (10..23).map(|i| (format!("ns{i}.acme.test"), format!("127.0.0.{i}"))).collect();
    let named: Vec<(&str, &str)> = addresses.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
    let mut servers = ScriptedServers::default().parents(&named);
    for (_, address) in &addresses {
        servers = servers.zones(address, with_value("v"));
    }
    let world = servers.listen().await;
    let seen = probe(&world.prober(), AT).await;
    assert_eq!((seen.servers.len(), seen.queries), (8, 10));
}

#[tokio::test]
async fn sends_no_query_beyond_budget() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", with_value("v"))
        .listen()
        .await;
    let seen = probe(&world.prober_with(|c| c.budgets.queries = 3), AT).await;
    assert_eq!((seen.queries, world.queries().len()), (3, 3));
    assert_eq!(seen.failure, Some(ProbeFailure::BudgetExhausted));
    assert_eq!((seen.zone.as_deref(), seen.servers.len()), (Some("acme.test"), 1), "what was seen is kept");
    assert_eq!(values(&seen.servers[0]), ["v"]);

    let seen = probe(&world.prober_with(|c| c.budgets.queries = 1), AT).await;
    assert_eq!((seen.queries, seen.failure), (1, Some(ProbeFailure::BudgetExhausted)));
}

#[tokio::test]
async fn a_confirmation_counts_towards_the_same_budget() {
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let seen = probe_for(&world.prober_with(|c| c.budgets.queries = 5), AT, &["v"]).await;
    assert_eq!((seen.queries, seen.failure), (5, None));
    assert_eq!(values(&seen.servers[0]), ["v"]);
    assert_eq!(seen.confirmation.repeated, Some(vec![]));
}

#[tokio::test]
async fn probe_ends_when_time_is_over() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .with("127.0.0.4", |_| Behaviour::Close)
        .zones("127.0.0.5", with_value("v"))
        .listen()
        .await;
    let prober = world.prober_with(|c| {
        c.budgets.time = Duration::from_millis(700);
        c.udp_timeout = Duration::from_mins(1);
    });
    let started = Instant::now();
    let seen = probe(&prober, AT).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(seen.took_ms >= 700);
    assert_eq!(seen.failure, Some(ProbeFailure::BudgetExhausted));
    assert!(
        seen.servers.iter().any(|s| matches!(&s.reply, Reply::Message { values, .. } if !values.is_empty()))
    );
}

#[tokio::test]
async fn shares_budget_between_unanswered_probe_and_canary() {
    let world = ScriptedServers::default().with("127.0.0.2", |_| Behaviour::Close).listen().await;
    let prober = world.impatient_prober_with(|c| c.budgets.queries = 5);
    let seen = probe(&prober, AT).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert_eq!((seen.queries, world.queries().len()), (5, 5), "three and two");

    let prober = world.prober_with(|c| {
        c.budgets.time = Duration::from_secs(2);
        c.udp_timeout = Duration::from_mins(1);
    });
    let started = Instant::now();
    let seen = probe(&prober, AT).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert!((1900..4000).contains(&seen.took_ms), "{}", seen.took_ms);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn referrals_are_counted() {
    // Every label is a zone of its own.
    let world = ScriptedServers::default()
        .with("127.0.0.2", |s| {
            let child = s.message.queries[0].name.to_lowercase().to_ascii();
            let server = format!("ns.{child}");
            let mut reply = s.message.clone().into_response();
            reply.add_authority(ns(&child, &server)).add_additional(a(&server, "127.0.0.2"));
            reply.into()
        })
        .listen()
        .await;
    let seen = probe(&world.prober_with(|c| c.budgets.referrals = 5), "_x.i.h.g.f.e.d.c.b.a").await;
    assert_eq!(seen.failure, Some(ProbeFailure::BudgetExhausted), "{seen:?}");
    assert_eq!(seen.queries, 6, "five referrals are followed");
}

#[tokio::test]
async fn alias_chain_through_dead_zones_stays_in_budget() {
    let mut test = vec![];
    let mut records = vec![];
    for i in 0..9 {
        test.push(ns(&format!("z{i}.test"), &format!("ns.z{i}.test")));
        test.push(a(&format!("ns.z{i}.test"), "127.0.0.4"));
        records.push((format!("z{i}.test"), cname(&format!("n.z{i}.test"), &format!("n.z{}.test", i + 1))));
    }
    let mut zones = Zones::default();
    for (apex, record) in records {
        zones = zones.with(&apex, vec![record]);
    }
    let world = ScriptedServers::default().parents_with(test).zones("127.0.0.4", zones).listen().await;
    let seen = probe(&world.prober(), "n.z0.test").await;
    assert!(
        matches!(seen.failure, Some(ProbeFailure::AliasTooLong | ProbeFailure::BudgetExhausted)),
        "{seen:?}"
    );
    assert!(seen.queries <= 60);
}

#[tokio::test]
async fn many_probes_share_few_sockets() {
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let prober = world.prober_with(|c| c.in_flight = Some(2));
    let names: Vec<String> = (0..50).map(|i| format!("_deed{i}.acme.test")).collect();
    let seen = futures::future::join_all(names.iter().map(|name| probe(&prober, name))).await;
    assert!(
        seen.iter().all(|s| s.failure.is_none() && s.servers.len() == 1),
        "waiting for a socket is no fault"
    );
}

#[tokio::test]
async fn answers_faulty_name_without_question() {
    let world = ScriptedServers::default().parents(ONE).listen().await;
    for name in ["", "acme..test", "acme.test."] {
        let seen = probe(&world.prober(), name).await;
        assert!(matches!(seen.failure, Some(ProbeFailure::Internal(_))));
        assert_eq!((seen.queries, seen.name.as_str()), (0, name));
    }
}

#[tokio::test]
async fn rejects_answer_with_wrong_record_count() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let mut bytes = s.message.clone().into_response().to_vec().unwrap();
            bytes[6..8].copy_from_slice(&[0xff, 0xff]);
            Behaviour::Raw(vec![bytes])
        })
        .listen()
        .await;
    let seen = probe(&world.prober(), AT).await;
    assert!(matches!(seen.servers[0].reply, Reply::Fault(_)), "{seen:?}");
}

#[tokio::test]
async fn every_record_of_a_large_set_is_there() {
    let many: Vec<Record> = (0..200).map(|i| txt(AT, &format!("{i:0>200}"))).collect();
    let world =
        ScriptedServers::default().parents(ONE).zones("127.0.0.4", crate::world::acme(many)).listen().await;
    let seen = probe(&world.prober(), AT).await;
    let Reply::Message { values, oversize: true, .. } = &seen.servers[0].reply else { panic!("{seen:?}") };
    assert_eq!(values.len(), 200);
}

#[tokio::test]
async fn gives_up_after_three_nonexistent_server_names() {
    // Four zones without glue at the top, each with two name servers whose names do not exist.
    let mut records = vec![];
    for i in 0..4 {
        records.push(ns("acme.test", &format!("ns.fan{i}.test")));
        for j in 0..2 {
            records.push(ns(&format!("fan{i}.test"), &format!("no{i}-{j}.made-up.test")));
        }
    }
    records.push(ns("made-up.test", "ns.made-up.test"));
    records.push(a("ns.made-up.test", "127.0.0.4"));
    let made_up = Zones::default().with("made-up.test", vec![]);
    let world = ScriptedServers::default().parents_with(records).zones("127.0.0.4", made_up).listen().await;
    let seen = probe(&world.prober(), AT).await;
    let asked: std::collections::HashSet<_> = world
        .queries()
        .iter()
        .filter(|s| s.server == "127.0.0.4" && s.message.queries[0].query_type == RecordType::A)
        .map(|s| s.message.queries[0].name.to_lowercase())
        .collect();
    assert!(asked.len() <= 4, "those that were under way already: {asked:?}");
    assert!(seen.servers.iter().all(|s| s.address.is_none()), "{seen:?}");
}
