//! Validated settings in the types of the crates that use them; checks that span several keys.
use std::path::{Path, PathBuf};

use deed_claims::{ChallengeTemplates, ContestPolicy};
use deed_probe::{AnchorError, DelegationSource, ProbeConfig, TrustAnchor, ValidationMode, roots_from_hints};

use super::log::log_filter;
use super::sections::{Config, DnsSection, RecordSection};
use super::setting::Role;
use super::source::Sources;
use super::traces::{Traces, traces};

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL server; its URL without credentials.
    Server(String),
}

/// A valid configuration, with what follows from several keys or from files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sections.
    pub config: Config,
    /// Where the store is.
    pub database: Database,
    /// The configuration of the prober, with root hints and trust anchor.
    pub probe: ProbeConfig,
    /// The names and values of validation records.
    pub templates: ChallengeTemplates,
    /// The trace receiver; none when tracing is off.
    pub traces: Option<Traces>,
}

impl Settings {
    /// None when a fault leaves no usable settings; the faults are in `sources`.
    pub(crate) fn of(config: Config, sources: &mut Sources) -> Option<Self> {
        services(&config, sources);
        roles(&config, sources);
        cross_key_rules(&config, sources);
        filter(&config, sources);
        let traces = traces(&config.telemetry, sources);
        // All parts are built before the first `?`, so that the faults of all are reported.
        let probe = probe(&config.dns, sources);
        let templates = templates(&config.records, sources);
        Some(Self { database: database(&config), probe: probe?, templates: templates?, traces, config })
    }
}

fn database(config: &Config) -> Database {
    match &config.store.url {
        Some(url) => Database::Server(url.without_credentials()),
        None => Database::File(config.store.data_dir.join(&config.store.path)),
    }
}

/// Checks that service URLs have a supported scheme.
fn services(config: &Config, sources: &mut Sources) {
    for (key, url, what, schemes) in [
        ("store.url", &config.store.url, "PostgreSQL", &["postgres", "postgresql"][..]),
        ("bus.url", &config.bus.url, "RabbitMQ", &["amqp", "amqps"]),
    ] {
        let Some(url) = url else { continue };
        let scheme = url.scheme().filter(|s| s.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
            let known: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://…`")).collect();
            let got = scheme.map(|scheme| format!(", got `{scheme}://…`")).unwrap_or_default();
            let known = known.join(" or ");
            sources.fault_of(key, format!("expected the address of a {what} server, {known}{got}"));
        }
    }
}

/// Separate roles need a database and a broker that all of them can reach.
fn roles(config: &Config, sources: &mut Sources) {
    let roles = &config.server.roles;
    if roles.is_empty() {
        return sources.fault_of("server.roles", "expected at least one role");
    }
    let missing: Vec<String> =
        Role::ALL.iter().filter(|r| !roles.contains(r)).map(|r| format!("`{r}`")).collect();
    if missing.is_empty() {
        return;
    }
    let missing = missing.join(" and ");
    if config.bus.url.is_none() {
        let why = if roles.contains(&Role::Verifier) {
            "without a broker the bus lives within one process, so a `verifier` here would never be sent any work: its \
             work comes from `api` (what clients ask for) and `projector` (what falls due)"
        } else {
            "without a broker the bus lives within one process, so the work that is sent here would reach no `verifier`, \
             and no claim would ever be checked"
        };
        let way = "Set `bus.url` to a RabbitMQ broker, or run all three in this process";
        sources.fault_of("server.roles", format!("{missing} missing: {why}. {way}"));
    }
    if config.store.url.is_none() {
        let why = "a SQLite file belongs to one process, so the other roles could not open it";
        let way = "Set `store.url` to a PostgreSQL server, or run all three in this process";
        sources.fault_of("server.roles", format!("{missing} missing: {why}. {way}"));
    }
}

fn cross_key_rules(config: &Config, sources: &mut Sources) {
    let policy = &config.policy;
    if policy.watch_first > policy.watch_longest {
        sources.fault_of("policy.watch_first", "has to be at most `policy.watch_longest`");
    }
    if policy.contest == ContestPolicy::Review {
        let why = "this build has no command by which an operator could decide: a contest would never end";
        sources.fault_of("policy.contest", why);
    }
    if config.verifier.in_flight > config.bus.limits.prefetch {
        sources.fault_of(
            "verifier.in_flight",
            "has to be at most `bus.prefetch`: what is not fetched is not worked on",
        );
    }
    if config.dispatcher.window > config.bus.limits.capacity {
        sources.fault_of("dispatcher.window", "has to be at most `bus.capacity`");
    }
    if !deed_claims::is_region(&config.default_region) {
        sources.fault_of("domains.default_region", "expected at most 64 printable ASCII characters");
    }
    if config.server.listen == config.server.ops_listen && config.server.listen.port() != 0 {
        sources.fault_of("server.ops_listen", "has to differ from `server.listen`: it is not for the public");
    }
}

fn filter(config: &Config, sources: &mut Sources) {
    if let Err(error) = log_filter(&config.log.filter) {
        sources.fault_of("log.filter", format!("expected a level or `target=level` pairs: {error}"));
    }
}

fn templates(records: &RecordSection, sources: &mut Sources) -> Option<ChallengeTemplates> {
    let made = match ChallengeTemplates::branded(&records.brand) {
        Ok(made) => made,
        Err(error) => {
            sources.fault_of("names.brand", error.to_string());
            // The overrides are still checked, against the default templates.
            ChallengeTemplates::default()
        }
    };
    let parts = [&records.apex_label, &records.apex_value, &records.host_label, &records.host_value];
    let parts = parts.map(Option::as_deref);
    let keys = ["apex_label", "apex_value", "host_label", "host_value"];
    for (index, key) in keys.into_iter().enumerate() {
        let alone = |at| parts[index].filter(|_| at == index);
        if let Err(error) = made.clone().with(alone(0), alone(1), alone(2), alone(3)) {
            sources.fault_of(&format!("names.templates.{key}"), error.to_string());
        }
    }
    let [apex_label, apex_value, host_label, host_value] = parts;
    made.with(apex_label, apex_value, host_label, host_value).ok()
}

fn probe(dns: &DnsSection, sources: &mut Sources) -> Option<ProbeConfig> {
    if dns.probe.delegation == DelegationSource::FromResolver && dns.probe.resolvers.is_empty() {
        sources.fault_of("dns.delegation", "\"from_resolver\" needs at least one of `dns.resolvers`");
    }
    validation(&dns.probe, sources);
    let trust_anchor = match dns.trust_anchor.as_deref().map(read_anchor).transpose() {
        Ok(anchor) => anchor,
        Err(problem) => {
            sources.fault_of("dns.trust_anchor", problem);
            return None;
        }
    };
    let roots = match &dns.roots {
        None => deed_probe::iana_roots(),
        Some(path) => {
            let read = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
            match read.and_then(|text| roots_from_hints(&text).map_err(|error| error.to_string())) {
                Ok(roots) => roots,
                Err(problem) => {
                    sources.fault_of("dns.roots", problem);
                    return None;
                }
            }
        }
    };
    Some(ProbeConfig { roots, trust_anchor, ..dns.probe.clone() })
}

/// Checks that the prober makes too, here reported with the key.
fn validation(dns: &ProbeConfig, sources: &mut Sources) {
    match dns.validation {
        ValidationMode::Resolver if dns.resolvers.is_empty() => {
            sources.fault_of("dns.validation", "\"resolver\" needs at least one of `dns.resolvers`");
        }
        ValidationMode::Own if dns.delegation == DelegationSource::FromResolver => {
            sources.fault_of("dns.validation", "\"self\" needs `dns.delegation` to be \"from_parent\"");
        }
        _ => {}
    }
    let (quorum, vantages) = (dns.vantage_quorum, dns.vantages.len());
    if vantages > 8 {
        sources.fault_of("dns.vantages", "at most 8 are asked");
    } else if quorum > vantages || (quorum == 0 && vantages > 0) {
        sources.fault_of(
            "dns.vantage_quorum",
            format!("has to be between 1 and the number of `dns.vantages`, which is {vantages}"),
        );
    }
}

fn read_anchor(path: &Path) -> Result<TrustAnchor, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    text.parse().map_err(|error: AnchorError| error.to_string())
}
