//! Who may depend on whom: reads the manifests as cargo does and fails on any arrow that is not listed.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Our crates and which of ours each may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("deed-claims", &[]),
    ("deed-store", &["deed-claims"]),
    ("deed-bus", &[]),
    ("deed-probe", &["deed-claims"]),
    ("deed-api", &["deed-claims", "deed-store", "deed-bus", "deed-trace"]),
    ("deed-verifier", &["deed-claims", "deed-store", "deed-bus", "deed-probe", "deed-trace"]),
    ("deed-projector", &["deed-claims", "deed-store", "deed-bus", "deed-trace"]),
    ("deed-sandbox", &[]),
    ("deed-trace", &[]),
];

/// Says whether one of our crates may.
type May = fn(&str) -> bool;

/// Outside crates by the beginning of their name, and which of ours may use them.
const KEPT_OUT: &[(&str, May)] = &[
    ("sqlx", is_backend),
    ("lapin", |ours| ours == "deed-bus"),
    // The drills have a DNS server of their own, which lives longer than what they break.
    ("hickory-", |ours| matches!(ours, "deed-probe" | "deed-sandbox" | "deed-drill")),
    ("actix-", |ours| ours == "deed-api"),
    ("opentelemetry", traces),
    ("tracing-opentelemetry", traces),
];

/// Who ties traces together, and who sends them.
fn traces(ours: &str) -> bool {
    matches!(ours, "deed-trace" | "deed")
}

/// `store-sqlite`, `store-postgres`: every backend of the store.
fn is_backend(ours: &str) -> bool {
    ours.starts_with("deed-store-")
}

/// Why `from` must not depend on `to`; none when it may.
fn fault(from: &str, to: &str) -> Option<String> {
    let is_ours = to == "deed" || to.starts_with("deed-");
    let allowed = if is_ours {
        match from {
            "deed-testkit" => true,
            "deed-drill" => to == "deed-testkit",
            "deed" => to != "deed-testkit",
            backend if is_backend(backend) => matches!(to, "deed-store" | "deed-claims"),
            _ => ARROWS
                .iter()
                .find(|(ours, _)| *ours == from)
                .is_some_and(|(_, to_these)| to_these.contains(&to)),
        }
    } else {
        KEPT_OUT.iter().filter(|(outside, _)| to.starts_with(outside)).all(|(_, may)| may(from))
    };
    (!allowed).then(|| format!("{from} must not depend on {to}"))
}

/// Normal and build dependencies of our crates, by name.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("`cargo metadata` reads this workspace");
    let used = |package: &cargo_metadata::Package| {
        let counted = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        counted.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), used(package))).collect()
}

#[test]
fn every_arrow_is_one_of_the_plan() {
    let arrows = arrows();
    // An empty answer would prove nothing.
    for (ours, _) in ARROWS {
        assert!(arrows.contains_key(*ours), "{ours} is not in the workspace");
    }
    let faults: Vec<String> =
        arrows.iter().flat_map(|(from, all)| all.iter().filter_map(|to| fault(from, to))).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_forbidden_arrow_is_caught_and_an_allowed_one_is_not() {
    for (from, to) in [
        ("deed-claims", "deed-store"),
        ("deed-bus", "deed-claims"),
        ("deed-api", "deed-probe"),
        ("deed-api", "deed-store-sqlite"),
        ("deed-projector", "deed-probe"),
        ("deed-verifier", "deed-api"),
        ("deed-sandbox", "deed-claims"),
        ("deed-store", "deed-store-sqlite"),
        ("deed-store-sqlite", "deed-bus"),
        ("deed", "deed-testkit"),
        ("deed-drill", "deed-store"),
        ("deed-newroom", "deed-claims"),
        ("deed-store", "sqlx"),
        ("deed", "sqlx"),
        ("deed-api", "sqlx-core"),
        ("deed-verifier", "hickory-proto"),
        ("deed", "actix-web"),
        ("deed-sandbox", "actix-web"),
        ("deed-api", "lapin"),
        ("deed-bus", "deed-trace"),
        ("deed-api", "opentelemetry_sdk"),
        ("deed-verifier", "tracing-opentelemetry"),
    ] {
        assert!(fault(from, to).is_some(), "{from} -> {to} is not caught");
    }
    for (from, to) in [
        ("deed-store", "deed-claims"),
        ("deed-store-postgres", "sqlx"),
        ("deed-store-sqlite", "deed-store"),
        ("deed-verifier", "deed-probe"),
        ("deed", "deed-sandbox"),
        ("deed-testkit", "deed-api"),
        ("deed-probe", "hickory-proto"),
        ("deed-bus", "lapin"),
        ("deed-api", "actix-web"),
        ("deed-api", "serde"),
        ("deed-api", "deed-trace"),
        ("deed", "opentelemetry-otlp"),
    ] {
        assert_eq!(fault(from, to), None);
    }
}
