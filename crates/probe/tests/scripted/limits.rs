//! What a hostile zone can make us spend: questions, time, servers, sockets.
use std::time::Duration;

use deed_claims::{ProbeFailure, Reply};
use hickory_proto::rr::{Record, RecordType};
use tokio::time::Instant;

use crate::records::{Zones, a, cname, ns, txt};
use crate::world::{Cast, ONE, Play, TWO, look, look_for, values, with_value};

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
async fn a_fan_of_name_servers_costs_no_more_than_the_budget() {
    let world = Cast::default().parents_with(fan_out()).listen().await;
    let seen = look(&world.prober(), AT).await;
    assert!(seen.queries <= 60, "{}", seen.queries);
    assert!(world.seen().len() <= seen.queries as usize);
    let asked_for = |i: usize| world.seen().iter().any(|s| s.is(&format!("fan{i}.test"), RecordType::NS));
    assert_eq!((0..30).filter(|i| asked_for(*i)).count(), 4, "four names without glue are looked for");
}

#[tokio::test]
async fn a_fan_of_fans_is_narrow_on_both_levels() {
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
    let world = Cast::default().parents_with(records).listen().await;
    let seen = look(&world.prober(), AT).await;
    assert!(seen.queries <= 60, "{}", seen.queries);
    let asked = world.seen();
    let asked_for = |zone: String| asked.iter().any(|s| s.is(&zone, RecordType::NS));
    assert_eq!((0..30).filter(|i| asked_for(format!("fan{i}.test"))).count(), 4);
    let subs = (0..30).flat_map(|i| (0..10).map(move |j| format!("sub{i}-{j}.test")));
    assert_eq!(subs.filter(|zone| asked_for(zone.clone())).count(), 4, "for all of them together");
}

#[tokio::test]
async fn a_fan_through_a_resolver_is_narrow_as_well() {
    let test = (0..30).map(|i| ns("acme.test", &format!("ns{i}.elsewhere"))).collect();
    let addresses = (0..30).map(|i| a(&format!("ns{i}.elsewhere"), "127.0.0.4")).collect();
    let world = Cast::default()
        .parents_with(test)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.9", Zones::default().with("elsewhere", addresses))
        .listen()
        .await;
    let resolver = world.at("127.0.0.9");
    let seen = look(&world.prober_with(|c| c.resolvers = vec![resolver]), AT).await;
    assert_eq!(world.asked("127.0.0.9"), 8, "two questions for each of four names");
    assert_eq!((seen.servers.len(), world.asked("127.0.0.4")), (4, 1), "all of them are one server");
}

#[tokio::test]
async fn at_most_eight_servers_of_a_zone_are_asked() {
    let servers: Vec<(String, String)> =
        (10..23).map(|i| (format!("ns{i}.acme.test"), format!("127.0.0.{i}"))).collect();
    let named: Vec<(&str, &str)> = servers.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
    let mut cast = Cast::default().parents(&named);
    for (_, address) in &servers {
        cast = cast.zones(address, with_value("v"));
    }
    let world = cast.listen().await;
    let seen = look(&world.prober(), AT).await;
    assert_eq!((seen.servers.len(), seen.queries), (8, 10));
}

#[tokio::test]
async fn the_last_question_of_the_budget_is_the_last_one_sent() {
    let world = Cast::default()
        .parents(TWO)
        .zones("127.0.0.4", with_value("v"))
        .zones("127.0.0.5", with_value("v"))
        .listen()
        .await;
    let seen = look(&world.prober_with(|c| c.budgets.queries = 3), AT).await;
    assert_eq!((seen.queries, world.seen().len()), (3, 3));
    assert_eq!(seen.failure, Some(ProbeFailure::BudgetExhausted));
    assert_eq!((seen.zone.as_deref(), seen.servers.len()), (Some("acme.test"), 1), "what was seen is kept");
    assert_eq!(values(&seen.servers[0]), ["v"]);

    let seen = look(&world.prober_with(|c| c.budgets.queries = 1), AT).await;
    assert_eq!((seen.queries, seen.failure), (1, Some(ProbeFailure::BudgetExhausted)));
}

#[tokio::test]
async fn a_confirmation_counts_towards_the_same_budget() {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let seen = look_for(&world.prober_with(|c| c.budgets.queries = 5), AT, &["v"]).await;
    assert_eq!((seen.queries, seen.failure), (5, None));
    assert_eq!(values(&seen.servers[0]), ["v"]);
    assert_eq!(seen.confirmation.repeated, Some(vec![]));
}

#[tokio::test]
async fn a_look_ends_when_its_time_is_over() {
    let world = Cast::default()
        .parents(TWO)
        .with("127.0.0.4", |_| Play::Silence)
        .zones("127.0.0.5", with_value("v"))
        .listen()
        .await;
    let prober = world.prober_with(|c| {
        c.budgets.time = Duration::from_millis(700);
        c.udp_timeout = Duration::from_mins(1);
    });
    let started = Instant::now();
    let seen = look(&prober, AT).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(seen.took_ms >= 700);
    assert_eq!(seen.failure, Some(ProbeFailure::BudgetExhausted));
    assert!(
        seen.servers.iter().any(|s| matches!(&s.reply, Reply::Message { values, .. } if !values.is_empty()))
    );
}

#[tokio::test]
async fn a_look_that_hears_nobody_and_its_canary_stay_within_the_limits_together() {
    let world = Cast::default().with("127.0.0.2", |_| Play::Silence).listen().await;
    let prober = world.hasty_with(|c| c.budgets.queries = 5);
    let seen = look(&prober, AT).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert_eq!((seen.queries, world.seen().len()), (5, 5), "three and two");

    let prober = world.prober_with(|c| {
        c.budgets.time = Duration::from_secs(2);
        c.udp_timeout = Duration::from_mins(1);
    });
    let started = Instant::now();
    let seen = look(&prober, AT).await;
    assert!(matches!(seen.failure, Some(ProbeFailure::Canary(_))), "{seen:?}");
    assert!((1900..4000).contains(&seen.took_ms), "{}", seen.took_ms);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn referrals_are_counted() {
    // Every label is a zone of its own.
    let world = Cast::default()
        .with("127.0.0.2", |s| {
            let child = s.message.queries[0].name.to_lowercase().to_ascii();
            let server = format!("ns.{child}");
            let mut reply = s.message.clone().into_response();
            reply.add_authority(ns(&child, &server)).add_additional(a(&server, "127.0.0.2"));
            reply.into()
        })
        .listen()
        .await;
    let seen = look(&world.prober_with(|c| c.budgets.referrals = 5), "_x.i.h.g.f.e.d.c.b.a").await;
    assert_eq!(seen.failure, Some(ProbeFailure::BudgetExhausted), "{seen:?}");
    assert_eq!(seen.queries, 6, "five referrals are followed");
}

#[tokio::test]
async fn a_chain_of_aliases_through_dead_zones_stays_inside_the_budget() {
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
    let world = Cast::default().parents_with(test).zones("127.0.0.4", zones).listen().await;
    let seen = look(&world.prober(), "n.z0.test").await;
    assert!(
        matches!(seen.failure, Some(ProbeFailure::AliasTooLong | ProbeFailure::BudgetExhausted)),
        "{seen:?}"
    );
    assert!(seen.queries <= 60);
}

#[tokio::test]
async fn a_crowd_of_looks_shares_few_sockets() {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", with_value("v")).listen().await;
    let prober = world.prober_with(|c| c.in_flight = Some(2));
    let names: Vec<String> = (0..50).map(|i| format!("_deed{i}.acme.test")).collect();
    let seen = futures::future::join_all(names.iter().map(|name| look(&prober, name))).await;
    assert!(
        seen.iter().all(|s| s.failure.is_none() && s.servers.len() == 1),
        "waiting for a socket is no fault"
    );
}

#[tokio::test]
async fn a_faulty_name_is_answered_without_a_question() {
    let world = Cast::default().parents(ONE).listen().await;
    for name in ["", "acme..test", "acme.test."] {
        let seen = look(&world.prober(), name).await;
        assert!(matches!(seen.failure, Some(ProbeFailure::Internal(_))));
        assert_eq!((seen.queries, seen.name.as_str()), (0, name));
    }
}

#[tokio::test]
async fn thousands_of_claimed_records_are_no_answer() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let mut bytes = s.message.clone().into_response().to_vec().unwrap();
            bytes[6..8].copy_from_slice(&[0xff, 0xff]);
            Play::Raw(vec![bytes])
        })
        .listen()
        .await;
    let seen = look(&world.prober(), AT).await;
    assert!(matches!(seen.servers[0].reply, Reply::Fault(_)), "{seen:?}");
}

#[tokio::test]
async fn every_record_of_a_large_set_is_there() {
    let many: Vec<Record> = (0..200).map(|i| txt(AT, &format!("{i:0>200}"))).collect();
    let world = Cast::default().parents(ONE).zones("127.0.0.4", crate::world::acme(many)).listen().await;
    let seen = look(&world.prober(), AT).await;
    let Reply::Message { values, oversize: true, .. } = &seen.servers[0].reply else { panic!("{seen:?}") };
    assert_eq!(values.len(), 200);
}

#[tokio::test]
async fn made_up_names_of_servers_are_given_up_after_three() {
    // Four zones without glue at the top, each of which leads on to two names that do not exist.
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
    let world = Cast::default().parents_with(records).zones("127.0.0.4", made_up).listen().await;
    let seen = look(&world.prober(), AT).await;
    let asked: std::collections::HashSet<_> = world
        .seen()
        .iter()
        .filter(|s| s.server == "127.0.0.4" && s.message.queries[0].query_type == RecordType::A)
        .map(|s| s.message.queries[0].name.to_lowercase())
        .collect();
    assert!(asked.len() <= 4, "those that were under way already: {asked:?}");
    assert!(seen.servers.iter().all(|s| s.address.is_none()), "{seen:?}");
}
