//! The page that lists every metric is made of what a process of each role registers.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use deed_testkit::eventually;
use prometheus::proto::{MetricFamily, MetricType};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Process;
use super::parts::Parts;
use super::store::Store;
use super::tasks::Tasks;
use crate::config::{Inputs, Role, Settings, load};

const PATIENCE: Duration = Duration::from_secs(30);

const HEAD: &str = "\
# Metrics

<!-- Made by `make generate` of what a running process registers: crates/deed/src/run/metrics_page.rs. -->

What the operations port tells at `/metrics` (`server.ops_listen`, no key), in the text format of Prometheus. A process tells of
its own roles. Every series is there from its start, with 0, except those whose description says when they are absent. No label
is ever a name, an id or the text of an error.

A histogram `NAME` has the series `NAME_bucket`, `NAME_sum` and `NAME_count`. What describes the whole service rather than one
process (lags, due work, queues) is told alike by the process that leads and by its standbys: take the maximum, not the sum.

| metric | type | labels | unit | what it tells | roles |
|---|---|---|---|---|---|
";

/// One family over all roles.
struct Family {
    kind: MetricType,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
    roles: BTreeSet<Role>,
}

fn settings(folder: &std::path::Path, roles: BTreeSet<Role>) -> Settings {
    let data = ("--data-dir", "store.data_dir", folder.display().to_string());
    let inputs = Inputs { flags: vec![data], ..Inputs::default() };
    let mut settings = load(inputs).settings.unwrap_or_else(|faults| panic!("{faults:?}"));
    // A role alone needs a broker; what it registers is the same without.
    settings.config.server.roles = roles;
    settings
}

/// What a process of these roles tells once everything in it has looked once.
async fn told(roles: BTreeSet<Role>) -> Vec<MetricFamily> {
    let folder = tempfile::tempdir().unwrap();
    let (stop, queue) = (CancellationToken::new(), roles.contains(&Role::Projector));
    let settings = settings(folder.path(), roles);
    let store = Store::open(&settings, &stop).await.unwrap();
    let process = Process { name: "page".to_owned(), exporting: None };
    let parts = Parts::new(settings, store.clone(), &process).unwrap();
    let mut tasks = Tasks::default();
    let ops = parts.ops().unwrap();
    if parts.has(Role::Api) {
        parts.app_state(stop.clone(), stop.clone()).unwrap();
    }
    parts.start_roles(&mut tasks, &stop).unwrap();
    let families = eventually("every part to tell something", PATIENCE, || async {
        let families = ops.registry.gather();
        let looked = families.iter().any(|family| family.name() == "deed_queue_messages");
        (looked || !queue).then_some(families)
    })
    .await;
    stop.cancel();
    tasks.finish(Instant::now() + PATIENCE).await;
    store.close().await.unwrap();
    families
}

async fn families() -> BTreeMap<String, Family> {
    let mut all = BTreeMap::new();
    for role in Role::ALL {
        for family in told([role].into()).await {
            let known = all.entry(family.name().to_owned()).or_insert_with(|| Family {
                kind: family.get_field_type(),
                help: family.help().to_owned(),
                labels: BTreeMap::new(),
                roles: BTreeSet::new(),
            });
            known.roles.insert(role);
            let labels = family.get_metric().iter().flat_map(prometheus::proto::Metric::get_label);
            for label in labels {
                known.labels.entry(label.name().to_owned()).or_default().insert(label.value().to_owned());
            }
        }
    }
    all
}

fn kind(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => panic!("nothing of ours is of this type"),
    }
}

/// By the name's own words.
fn unit(name: &str) -> &'static str {
    let stem = name.trim_end_matches("_total");
    ["seconds", "bytes"].into_iter().find(|unit| stem.ends_with(&format!("_{unit}"))).unwrap_or("")
}

fn labels(family: &Family) -> String {
    let shown = family.labels.iter().map(|(label, values)| match label.as_str() {
        "code" => "`code`: those of [DIAGNOSES.md](DIAGNOSES.md), `none`".to_owned(),
        "version" => "`version`: that of the executable".to_owned(),
        _ => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`: {}", values.join(", "))
        }
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn page(families: &BTreeMap<String, Family>) -> String {
    let mut page = HEAD.to_owned();
    for (name, family) in families {
        let roles: Vec<_> = family.roles.iter().map(ToString::to_string).collect();
        let roles = if roles.len() == Role::ALL.len() { "all".to_owned() } else { roles.join(", ") };
        let (kind, unit, labels) = (kind(family.kind), unit(name), labels(family));
        let help = family.help.trim_end_matches('.');
        writeln!(page, "| `{name}` | {kind} | {labels} | {unit} | {help} | {roles} |").unwrap();
    }
    page
}

#[tokio::test]
async fn the_page_is_what_processes_register() {
    let families = families().await;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
    let now = page(&families);
    if std::env::var_os("DEED_GENERATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "docs/METRICS.md is not what it would be made as now: run `make generate`");
    // Names are a contract with those who have dashboards and alarms: none goes away unseen.
    let names = families.iter().map(|(name, family)| {
        let labels: Vec<_> = family.labels.keys().map(String::as_str).collect();
        format!("{name}{{{}}} {}", labels.join(","), kind(family.kind))
    });
    let names = names.filter(|name| name.starts_with("deed_")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("names", names);
}

#[tokio::test]
async fn roles_share_a_process_and_labels_stay_bounded() {
    let families = told(Role::ALL.into()).await;
    let mut series = 0;
    for family in &families {
        assert!(!family.help().is_empty(), "{} says nothing of itself", family.name());
        series += family.get_metric().len();
        for label in family.get_metric().iter().flat_map(prometheus::proto::Metric::get_label) {
            let value = label.value();
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
            assert!(value.len() <= 40 && value.chars().all(is_word), "{}: {value:?}", family.name());
        }
    }
    assert!(series < 1_500, "{series} series before anything has happened");
    for family in &families {
        let zero = |metric: &prometheus::proto::Metric| match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value() <= 0.0,
            _ => metric.get_histogram().get_sample_count() == 0,
        };
        let is_count = family.get_field_type() != MetricType::GAUGE;
        // What taking leases and looking at the process itself counts is no traffic.
        let moves = ["process_", "deed_lease_changes_total"];
        if is_count && !moves.iter().any(|prefix| family.name().starts_with(prefix)) {
            assert!(family.get_metric().iter().all(zero), "{} has counted already", family.name());
        }
    }
}
