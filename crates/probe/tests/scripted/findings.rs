//! Records at other likely places, other types at the name, and wildcards.
use deed_diagnosis::{Dname, Findings, Observation, Place};
use deed_probe::{Prober, Question};
use hickory_proto::rr::{Record, RecordType};

use crate::records::{Zones, a, cname, dname, mx, ns, txt};
use crate::world::{Behaviour, ONE, ScriptedServers, TWO, World, acme, with_value};

const AT: &str = "_deed.acme.test";

async fn probe_at(prober: &Prober, name: &str) -> Observation {
    let question = Question {
        name: name.into(),
        looking_for: vec![b"v".to_vec()],
        confirm_absence: false,
        apex: Some("acme.test".into()),
        route: None,
    };
    prober.probe(question).await
}

async fn found(records: Vec<Record>, name: &str) -> (Observation, World) {
    let world = ScriptedServers::default().parents(ONE).zones("127.0.0.4", acme(records)).listen().await;
    (probe_at(&world.prober(), name).await, world)
}

/// Place, name, values and control of what was found elsewhere.
fn elsewhere(findings: &Findings) -> Vec<(Place, &str, usize, usize)> {
    let each = findings.elsewhere.iter();
    each.map(|e| (e.place, e.name.as_str(), e.values.len(), e.control.len())).collect()
}

#[tokio::test]
async fn finds_misplaced_records() {
    let records = vec![
        txt("acme.test", "v"),
        txt("acme.test", "spf"),
        txt("deed.acme.test", "v"),
        txt("_deed.acme.test.acme.test", "v"),
    ];
    let (seen, _world) = found(records, AT).await;
    assert_eq!(
        elsewhere(&seen.findings),
        [
            (Place::DoubledZone, "_deed.acme.test.acme.test", 1, 0),
            (Place::Apex, "acme.test", 2, 0),
            (Place::ParentLabel, "deed.acme.test", 1, 0),
        ]
    );
    assert!(seen.findings.wildcard.is_empty() && seen.findings.serials.is_empty());
    assert_eq!(
        seen.queries,
        3 + 1 + 4 + 1,
        "the probe, lower case, three places and the sibling, one control"
    );
}

#[tokio::test]
async fn finds_misplaced_records_of_hostname() {
    let records = vec![
        a("search.acme.test", "192.0.2.1"),
        txt("_v.acme.test", "v"),
        txt("v.search.acme.test", "v"),
        txt("_v.search.acme.test.acme.test", "v"),
    ];
    let (seen, _world) = found(records, "_v.search.acme.test").await;
    assert_eq!(
        elsewhere(&seen.findings),
        [
            (Place::DoubledZone, "_v.search.acme.test.acme.test", 1, 0),
            (Place::ParentLabel, "v.search.acme.test", 1, 0),
            (Place::ParentLabel, "_v.acme.test", 1, 0),
        ]
    );
}

#[tokio::test]
async fn control_query_reveals_wildcard() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            // `*.acme.test` for every name that does not exist.
            let name = s.message.queries[0].name.to_ascii();
            let mut records = vec![txt("acme.test", "other")];
            if name.to_lowercase() != "acme.test." {
                records.push(txt(&name, "wild"));
            }
            acme(records).answer(&s.message).into()
        })
        .listen()
        .await;
    let seen = probe_at(&world.prober(), AT).await;
    assert_eq!(seen.findings.wildcard, [b"wild".to_vec()]);
    for place in &seen.findings.elsewhere {
        let wild = place.place != Place::Apex;
        assert_eq!(place.control == [b"wild".to_vec()], wild, "{place:?}");
    }
    assert_eq!(seen.findings.elsewhere.len(), 3);
}

#[tokio::test]
async fn checks_sibling_of_match_with_one_query() {
    let (seen, world) = found(vec![txt(AT, "v")], AT).await;
    assert_eq!(seen.findings, Findings::default());
    assert_eq!(seen.queries, 3 + 3 + 1, "the probe, the repetition, the sibling");
    let sibling = world.queries().into_iter().find(|s| s.server == "127.0.0.4" && !s.is(AT, RecordType::TXT));
    assert_eq!(sibling.unwrap().message.queries[0].name.base_name(), crate::records::name("acme.test"));

    let world = ScriptedServers::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let name = s.message.queries[0].name.to_ascii();
            acme(vec![txt(&name, "v")]).answer(&s.message).into()
        })
        .listen()
        .await;
    assert_eq!(probe_at(&world.prober(), AT).await.findings.wildcard, [b"v".to_vec()]);
}

#[tokio::test]
async fn reports_other_types_at_name_without_txt() {
    let (seen, _world) = found(vec![a(AT, "192.0.2.1"), mx(AT, "mail.acme.test")], AT).await;
    assert_eq!(seen.findings.other_types, ["A", "MX"]);
    assert!(seen.queries <= 3 + 8);
    let (seen, world) = found(vec![], AT).await;
    assert!(seen.findings.other_types.is_empty());
    assert!(world.queries().iter().all(|s| !s.is(AT, RecordType::A)), "nothing is there at all");
}

#[tokio::test]
async fn reports_serials_when_servers_differ() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .with("127.0.0.4", |s| {
            let soa = crate::records::soa_with("acme.test", 43);
            acme(vec![txt(AT, "v"), soa]).answer(&s.message).into()
        })
        .zones("127.0.0.5", acme(vec![]))
        .listen()
        .await;
    let seen = probe_at(&world.prober(), AT).await;
    let mut serials: Vec<_> = seen.findings.serials.iter().map(|s| (s.server.as_str(), s.serial)).collect();
    serials.sort_unstable();
    assert_eq!(serials, [("ns1.acme.test", 43), ("ns2.acme.test", 42)]);
    let both = |value: &str| acme(vec![txt(AT, value)]);
    let world = ScriptedServers::default()
        .parents(TWO)
        .zones("127.0.0.4", both("x"))
        .zones("127.0.0.5", both("x"))
        .listen()
        .await;
    assert!(probe_at(&world.prober(), AT).await.findings.serials.is_empty());
}

#[tokio::test]
async fn skips_search_without_apex_answer_or_budget() {
    let world = ScriptedServers::default()
        .parents(ONE)
        .zones("127.0.0.4", acme(vec![txt("acme.test", "v")]))
        .listen()
        .await;
    let prober = world.prober_with(|c| c.budgets.queries = 5);
    let seen = probe_at(&prober, AT).await;
    assert!((seen.queries, seen.failure) == (5, None));
    let question = Question { name: AT.into(), looking_for: vec![b"v".to_vec()], ..Question::default() };
    let seen = world.prober().probe(question).await;
    assert_eq!((seen.findings, seen.queries), (Findings::default(), 3));
    let world =
        ScriptedServers::default().parents(ONE).with("127.0.0.4", |_| Behaviour::Close).listen().await;
    assert_eq!(probe_at(&world.impatient_prober(), AT).await.findings, Findings::default());
}

#[tokio::test]
async fn search_sends_at_most_eight_queries() {
    let records = vec![
        a("_v.search.acme.test", "192.0.2.1"),
        txt("acme.test", "x"),
        txt("_v.acme.test", "x"),
        txt("v.search.acme.test", "x"),
        txt("_v.search.acme.test.acme.test", "x"),
    ];
    let world = ScriptedServers::default()
        .parents(TWO)
        .zones("127.0.0.4", acme(records))
        .zones("127.0.0.5", acme(vec![txt("_v.search.acme.test", "old")]))
        .listen()
        .await;
    let seen = probe_at(&world.prober(), "_v.search.acme.test").await;
    // The root, the parent, a step of the walk at both servers, and the final query at both.
    assert!(seen.queries <= 6 + 8, "{}", seen.queries);
}

#[tokio::test]
async fn follows_dname_and_tells_it_from_alias() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("other.test", "ns1.other.test"),
        a("ns1.other.test", "127.0.0.5"),
    ];
    for alias in [dname("acme.test", "other.test"), cname(AT, "_deed.other.test")] {
        let is_dname = alias.record_type() == RecordType::DNAME;
        let world = ScriptedServers::default()
            .parents_with(test.clone())
            .zones("127.0.0.4", acme(vec![alias]))
            .zones("127.0.0.5", Zones::default().with("other.test", vec![txt("_deed.other.test", "v")]))
            .listen()
            .await;
        let seen = probe_at(&world.prober(), AT).await;
        let wanted = Dname { owner: "acme.test".into(), target: "other.test".into() };
        assert_eq!(seen.dname, is_dname.then_some(wanted));
        assert_eq!(seen.aliases, ["_deed.other.test"]);
        assert_eq!(
            (seen.zone.as_deref(), crate::world::values(&seen.servers[0])),
            (Some("other.test"), vec!["v".to_owned()])
        );
    }
}

#[tokio::test]
async fn search_prefers_servers_that_answered() {
    let world = ScriptedServers::default()
        .parents(TWO)
        .with("127.0.0.4", |_| Behaviour::Close)
        .zones("127.0.0.5", with_value("x"))
        .listen()
        .await;
    let before = 4;
    let seen = probe_at(&world.impatient_prober(), AT).await;
    assert_eq!(seen.failure, None);
    // Two datagrams, one without EDNS, and a connection; no more.
    assert_eq!(world.query_count("127.0.0.4"), before);
}
