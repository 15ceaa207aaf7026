//! Where else a record may stand, what else stands at its name, and whether it comes from a wildcard.
use deed_claims::{Dname, Findings, Observation, Place};
use deed_probe::{Prober, Question};
use hickory_proto::rr::{Record, RecordType};

use crate::records::{Zones, a, cname, dname, mx, ns, txt};
use crate::world::{Cast, ONE, Play, TWO, World, acme, with_value};

const AT: &str = "_deed.acme.test";

async fn look_at(prober: &Prober, name: &str) -> Observation {
    let question = Question {
        name: name.into(),
        looking_for: vec![b"v".to_vec()],
        confirm_absence: false,
        apex: Some("acme.test".into()),
        route: None,
    };
    prober.look(question).await
}

async fn found(records: Vec<Record>, name: &str) -> (Observation, World) {
    let world = Cast::default().parents(ONE).zones("127.0.0.4", acme(records)).listen().await;
    (look_at(&world.prober(), name).await, world)
}

/// Place, name, values and control of what was found elsewhere.
fn elsewhere(findings: &Findings) -> Vec<(Place, &str, usize, usize)> {
    let each = findings.elsewhere.iter();
    each.map(|e| (e.place, e.name.as_str(), e.values.len(), e.control.len())).collect()
}

#[tokio::test]
async fn the_usual_mistakes_are_found_with_what_stands_there() {
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
        "the look, lower case, three places and the sibling, one control"
    );
}

#[tokio::test]
async fn the_mistakes_of_a_hostnames_record_are_found_as_well() {
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
async fn what_a_wildcard_makes_shows_in_the_control() {
    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            // `*.acme.test` over everything that is not there.
            let name = s.message.queries[0].name.to_ascii();
            let mut records = vec![txt("acme.test", "other")];
            if name.to_lowercase() != "acme.test." {
                records.push(txt(&name, "wild"));
            }
            acme(records).answer(&s.message).into()
        })
        .listen()
        .await;
    let seen = look_at(&world.prober(), AT).await;
    assert_eq!(seen.findings.wildcard, [b"wild".to_vec()]);
    for place in &seen.findings.elsewhere {
        let wild = place.place != Place::Apex;
        assert_eq!(place.control == [b"wild".to_vec()], wild, "{place:?}");
    }
    assert_eq!(seen.findings.elsewhere.len(), 3);
}

#[tokio::test]
async fn a_match_is_held_against_a_sibling_and_costs_one_question_more() {
    let (seen, world) = found(vec![txt(AT, "v")], AT).await;
    assert_eq!(seen.findings, Findings::default());
    assert_eq!(seen.queries, 3 + 3 + 1, "the look, the repetition, the sibling");
    let sibling = world.seen().into_iter().find(|s| s.server == "127.0.0.4" && !s.is(AT, RecordType::TXT));
    assert_eq!(sibling.unwrap().message.queries[0].name.base_name(), crate::records::name("acme.test"));

    let world = Cast::default()
        .parents(ONE)
        .with("127.0.0.4", |s| {
            let name = s.message.queries[0].name.to_ascii();
            acme(vec![txt(&name, "v")]).answer(&s.message).into()
        })
        .listen()
        .await;
    assert_eq!(look_at(&world.prober(), AT).await.findings.wildcard, [b"v".to_vec()]);
}

#[tokio::test]
async fn other_types_tell_what_a_name_without_values_is_there_for() {
    let (seen, _world) = found(vec![a(AT, "192.0.2.1"), mx(AT, "mail.acme.test")], AT).await;
    assert_eq!(seen.findings.other_types, ["A", "MX"]);
    assert!(seen.queries <= 3 + 8);
    let (seen, world) = found(vec![], AT).await;
    assert!(seen.findings.other_types.is_empty());
    assert!(world.seen().iter().all(|s| !s.is(AT, RecordType::A)), "nothing is there at all");
}

#[tokio::test]
async fn serials_are_told_where_servers_differ() {
    let world = Cast::default()
        .parents(TWO)
        .with("127.0.0.4", |s| {
            let soa = crate::records::soa_with("acme.test", 43);
            acme(vec![txt(AT, "v"), soa]).answer(&s.message).into()
        })
        .zones("127.0.0.5", acme(vec![]))
        .listen()
        .await;
    let seen = look_at(&world.prober(), AT).await;
    let mut serials: Vec<_> = seen.findings.serials.iter().map(|s| (s.server.as_str(), s.serial)).collect();
    serials.sort_unstable();
    assert_eq!(serials, [("ns1.acme.test", 43), ("ns2.acme.test", 42)]);
    let both = |value: &str| acme(vec![txt(AT, value)]);
    let world = Cast::default()
        .parents(TWO)
        .zones("127.0.0.4", both("x"))
        .zones("127.0.0.5", both("x"))
        .listen()
        .await;
    assert!(look_at(&world.prober(), AT).await.findings.serials.is_empty());
}

#[tokio::test]
async fn nothing_is_asked_without_an_apex_or_an_answer_or_beyond_the_budget() {
    let world =
        Cast::default().parents(ONE).zones("127.0.0.4", acme(vec![txt("acme.test", "v")])).listen().await;
    let prober = world.prober_with(|c| c.budgets.queries = 5);
    let seen = look_at(&prober, AT).await;
    assert!((seen.queries, seen.failure) == (5, None));
    let question = Question { name: AT.into(), looking_for: vec![b"v".to_vec()], ..Question::default() };
    let seen = world.prober().look(question).await;
    assert_eq!((seen.findings, seen.queries), (Findings::default(), 3));
    let world = Cast::default().parents(ONE).with("127.0.0.4", |_| Play::Silence).listen().await;
    assert_eq!(look_at(&world.hasty(), AT).await.findings, Findings::default());
}

#[tokio::test]
async fn a_diagnosis_asks_no_more_than_eight_questions() {
    let records = vec![
        a("_v.search.acme.test", "192.0.2.1"),
        txt("acme.test", "x"),
        txt("_v.acme.test", "x"),
        txt("v.search.acme.test", "x"),
        txt("_v.search.acme.test.acme.test", "x"),
    ];
    let world = Cast::default()
        .parents(TWO)
        .zones("127.0.0.4", acme(records))
        .zones("127.0.0.5", acme(vec![txt("_v.search.acme.test", "old")]))
        .listen()
        .await;
    let seen = look_at(&world.prober(), "_v.search.acme.test").await;
    // The root, the parent, a step of the walk at both servers, and both servers.
    assert!(seen.queries <= 6 + 8, "{}", seen.queries);
}

#[tokio::test]
async fn a_dname_is_told_from_an_alias_and_followed() {
    let test = vec![
        ns("acme.test", "ns1.acme.test"),
        a("ns1.acme.test", "127.0.0.4"),
        ns("other.test", "ns1.other.test"),
        a("ns1.other.test", "127.0.0.5"),
    ];
    for alias in [dname("acme.test", "other.test"), cname(AT, "_deed.other.test")] {
        let is_dname = alias.record_type() == RecordType::DNAME;
        let world = Cast::default()
            .parents_with(test.clone())
            .zones("127.0.0.4", acme(vec![alias]))
            .zones("127.0.0.5", Zones::default().with("other.test", vec![txt("_deed.other.test", "v")]))
            .listen()
            .await;
        let seen = look_at(&world.prober(), AT).await;
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
async fn the_servers_that_answered_are_the_ones_that_are_asked() {
    let world = Cast::default()
        .parents(TWO)
        .with("127.0.0.4", |_| Play::Silence)
        .zones("127.0.0.5", with_value("x"))
        .listen()
        .await;
    let before = 4;
    let seen = look_at(&world.hasty(), AT).await;
    assert_eq!(seen.failure, None);
    // Two datagrams, one without EDNS, a connection: and no more.
    assert_eq!(world.asked("127.0.0.4"), before);
}
