//! Checks the dependencies between crates: fails on any that is not listed here.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The workspace crates that each crate may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("deed-diagnosis", &[]),
    ("deed-claims", &["deed-diagnosis"]),
    ("deed-store", &["deed-claims", "deed-diagnosis"]),
    ("deed-messages", &["deed-claims"]),
    ("deed-bus", &[]),
    ("deed-outbox", &["deed-claims", "deed-messages", "deed-store", "deed-bus", "deed-trace"]),
    ("deed-probe", &["deed-claims", "deed-diagnosis"]),
    ("deed-http", &["deed-claims", "deed-messages", "deed-store", "deed-trace"]),
    (
        "deed-api",
        &[
            "deed-claims",
            "deed-diagnosis",
            "deed-messages",
            "deed-store",
            "deed-bus",
            "deed-http",
            "deed-outbox",
            "deed-trace",
        ],
    ),
    (
        "deed-verifier",
        &[
            "deed-claims",
            "deed-diagnosis",
            "deed-messages",
            "deed-store",
            "deed-bus",
            "deed-probe",
            "deed-trace",
        ],
    ),
    (
        "deed-projector",
        &[
            "deed-claims",
            "deed-diagnosis",
            "deed-messages",
            "deed-store",
            "deed-bus",
            "deed-outbox",
            "deed-trace",
        ],
    ),
    ("deed-sandbox", &[]),
    (
        "deed-service",
        &[
            "deed-claims",
            "deed-diagnosis",
            "deed-messages",
            "deed-store",
            "deed-store-sqlite",
            "deed-store-postgres",
            "deed-bus",
            "deed-probe",
            "deed-api",
            "deed-verifier",
            "deed-projector",
            "deed-trace",
        ],
    ),
    (
        "deed",
        &[
            "deed-service",
            "deed-sandbox",
            "deed-claims",
            "deed-diagnosis",
            "deed-store",
            "deed-bus",
            "deed-probe",
            "deed-api",
            "deed-projector",
        ],
    ),
    ("deed-trace", &["deed-messages"]),
];

/// Returns whether a workspace crate may use an external one.
type MayUse = fn(&str) -> bool;

/// External crates by the beginning of their name, and the workspace crates that may use them.
const EXTERNAL: &[(&str, MayUse)] = &[
    ("sqlx", is_backend),
    ("lapin", |ours| ours == "deed-bus"),
    // The drill has a DNS server of its own, which survives what the drill breaks.
    ("hickory-", |ours| matches!(ours, "deed-probe" | "deed-sandbox" | "deed-drill")),
    ("actix-", |ours| matches!(ours, "deed-http" | "deed-api")),
    ("opentelemetry", uses_opentelemetry),
    ("tracing-opentelemetry", uses_opentelemetry),
];

/// The crates for trace context and trace export.
fn uses_opentelemetry(ours: &str) -> bool {
    matches!(ours, "deed-trace" | "deed-service")
}

/// Backends of the store.
fn is_backend(ours: &str) -> bool {
    ours.starts_with("deed-store-")
}

/// The violation of a dependency; none when it is allowed.
fn violation(from: &str, to: &str) -> Option<String> {
    let is_ours = to == "deed" || to.starts_with("deed-");
    let allowed = if is_ours {
        match from {
            "deed-testkit" => true,
            "deed-drill" => to == "deed-testkit",
            backend if is_backend(backend) => matches!(to, "deed-store" | "deed-claims"),
            _ => ALLOWED
                .iter()
                .find(|(ours, _)| *ours == from)
                .is_some_and(|(_, to_these)| to_these.contains(&to)),
        }
    } else {
        EXTERNAL.iter().filter(|(outside, _)| to.starts_with(outside)).all(|(_, may)| may(from))
    };
    (!allowed).then(|| format!("{from} must not depend on {to}"))
}

/// Normal and build dependencies of the workspace crates, by name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
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
fn dependencies_follow_the_plan() {
    let dependencies = dependencies();
    // An empty list would pass without proving anything.
    for (ours, _) in ALLOWED {
        assert!(dependencies.contains_key(*ours), "{ours} is not in the workspace");
    }
    let violations: Vec<String> =
        dependencies.iter().flat_map(|(from, all)| all.iter().filter_map(|to| violation(from, to))).collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn detects_forbidden_dependencies() {
    for (from, to) in [
        ("deed-claims", "deed-store"),
        ("deed-diagnosis", "deed-claims"),
        ("deed-bus", "deed-claims"),
        ("deed-http", "deed-api"),
        ("deed-http", "deed-bus"),
        ("deed-bus", "deed-messages"),
        ("deed-messages", "deed-bus"),
        ("deed-messages", "opentelemetry"),
        ("deed-api", "deed-probe"),
        ("deed-api", "deed-store-sqlite"),
        ("deed-projector", "deed-probe"),
        ("deed-verifier", "deed-api"),
        ("deed-sandbox", "deed-claims"),
        ("deed-store", "deed-store-sqlite"),
        ("deed-store-sqlite", "deed-bus"),
        ("deed", "deed-testkit"),
        ("deed", "deed-store-sqlite"),
        ("deed-service", "deed-sandbox"),
        ("deed-api", "deed-service"),
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
        ("deed", "opentelemetry"),
    ] {
        assert!(violation(from, to).is_some(), "{from} -> {to} is not caught");
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
        ("deed-http", "actix-web"),
        ("deed-api", "actix-web"),
        ("deed-api", "serde"),
        ("deed-api", "deed-trace"),
        ("deed-service", "opentelemetry-otlp"),
        ("deed", "deed-service"),
    ] {
        assert_eq!(violation(from, to), None);
    }
}
