//! All keys of the configuration: the name, the value that it sets, and the bounds. The sample file describes each.
use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::TimeDelta;
use deed_claims::name::DomainName;

use super::sections::Config;
use super::setting::{Bounds, Setting};
use super::source::Sources;
use super::view::KeyView;

/// Sets values from the sources, key by key, and collects a view of each.
struct KeyReader<'a> {
    sources: &'a mut Sources,
    section: &'static str,
    views: Vec<KeyView>,
}

impl KeyReader<'_> {
    fn section(&mut self, path: &'static str) {
        self.section = path;
    }

    #[expect(clippy::needless_pass_by_value, reason = "bounds are written in place, as ranges")]
    fn key<T: Setting>(&mut self, key: &'static str, value: &mut T, bounds: impl Bounds<T>) {
        self.sources.take(&format!("{}.{key}", self.section), value, &bounds);
        let expected = [T::expected(), bounds.describe()].join(", ");
        let expected = expected.trim_end_matches(", ").to_owned();
        self.views.push(KeyView { section: self.section, key, value: value.show(), expected });
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const HOUR: Duration = Duration::from_hours(1);
const SECOND: TimeDelta = TimeDelta::seconds(1);

impl Config {
    /// The defaults with what the sources set, and a view of each key.
    pub(crate) fn read(sources: &mut Sources) -> (Self, Vec<KeyView>) {
        let mut config = Self::default();
        let mut keys = KeyReader { sources, section: "", views: vec![] };
        config.read_server(&mut keys);
        config.read_store_and_bus(&mut keys);
        config.read_dns(&mut keys);
        config.read_names(&mut keys);
        config.read_policy(&mut keys);
        config.read_api(&mut keys);
        config.read_work(&mut keys);
        config.read_telemetry(&mut keys);
        (config, keys.views)
    }

    fn read_server(&mut self, keys: &mut KeyReader<'_>) {
        let server = &mut self.server;
        keys.section("server");
        keys.key("listen", &mut server.listen, ..);
        keys.key("ops_listen", &mut server.ops_listen, ..);
        keys.key("roles", &mut server.roles, ..);
        keys.key("workers", &mut server.workers, ..);
        keys.key("shutdown_delay", &mut server.shutdown_delay, secs(0)..=secs(300));
        keys.key("shutdown_deadline", &mut server.shutdown_deadline, secs(1)..=HOUR);
    }

    fn read_store_and_bus(&mut self, keys: &mut KeyReader<'_>) {
        let store = &mut self.store;
        keys.section("store");
        keys.key("data_dir", &mut store.data_dir, ..);
        keys.key("path", &mut store.path, ..);
        keys.key("url", &mut store.url, ..);
        keys.key("max_connections", &mut store.postgres.max_connections, 4..=100);
        keys.key("acquire_timeout", &mut store.postgres.acquire_timeout, ms(100)..=secs(60));
        keys.key("statement_timeout", &mut store.postgres.statement_timeout, ms(100)..=secs(300));
        let bus = &mut self.bus;
        keys.section("bus");
        keys.key("capacity", &mut bus.limits.capacity, 1..=10_000_000);
        keys.key("publish_deadline", &mut bus.limits.publish_deadline, ms(100)..=secs(60));
        keys.key("max_deliveries", &mut bus.limits.max_deliveries, 1..=1000);
        keys.key("prefetch", &mut bus.limits.prefetch, 1..=10_000);
        keys.key("source", &mut self.dispatcher.source, ..);
        keys.key("url", &mut bus.url, ..);
        keys.key("heartbeat", &mut bus.heartbeat, secs(1)..=secs(60));
    }

    fn read_dns(&mut self, keys: &mut KeyReader<'_>) {
        let probe = &mut self.dns.probe;
        let (mut canary, mut in_flight) = (None::<DomainName>, None::<NonZeroUsize>);
        keys.section("dns");
        keys.key("vantage", &mut probe.vantage, ..);
        keys.key("port", &mut probe.port, 1..=65_535);
        keys.key("allow_networks", &mut probe.allow_networks, ..);
        keys.key("refuse_networks", &mut probe.refuse_networks, ..);
        keys.key("roots", &mut self.dns.roots, ..);
        keys.key("resolvers", &mut probe.resolvers, ..);
        keys.key("validation", &mut probe.validation, ..);
        keys.key("trust_anchor", &mut self.dns.trust_anchor, ..);
        keys.key("vantages", &mut probe.vantages, ..);
        keys.key("vantage_quorum", &mut probe.vantage_quorum, 0..=8);
        keys.key("canary", &mut canary, ..);
        keys.key("delegation", &mut probe.delegation, ..);
        keys.key("ipv6", &mut probe.ipv6, ..);
        keys.key("udp_timeout", &mut probe.udp_timeout, ms(10)..=secs(10));
        keys.key("udp_tries", &mut probe.udp_tries, 1..=3);
        keys.key("tcp_timeout", &mut probe.tcp_timeout, ms(10)..=secs(30));
        keys.key("in_flight", &mut in_flight, ..);
        keys.key("server_rate", &mut probe.server_rate, 0..=100_000);
        keys.key("server_burst", &mut probe.server_burst, 1..=100_000);
        keys.key("delegation_cache_ttl", &mut probe.delegation_cache_ttl, secs(0)..=secs(60));
        probe.canary = canary.map(|name| name.to_string());
        probe.in_flight = in_flight.map(NonZeroUsize::get);
        let budgets = &mut probe.budgets;
        keys.section("dns.budgets");
        keys.key("queries", &mut budgets.queries, 1..=1000);
        keys.key("time", &mut budgets.time, secs(1)..=secs(300));
        keys.key("referrals", &mut budgets.referrals, 1..=64);
        keys.key("aliases", &mut budgets.aliases, 0..=32);
        keys.key("ns_read", &mut budgets.ns_read, 1..=64);
        keys.key("ns_resolved", &mut budgets.ns_resolved, 0..=64);
        keys.key("servers", &mut budgets.servers, 1..=32);
        keys.key("txt_records", &mut budgets.txt_records, 1..=1000);
        keys.key("txt_bytes", &mut budgets.txt_bytes, 255..=65_535);
    }

    fn read_names(&mut self, keys: &mut KeyReader<'_>) {
        let (names, records) = (&mut self.names, &mut self.records);
        keys.section("names");
        keys.key("brand", &mut records.brand, ..);
        keys.key("allow_special_use", &mut names.allow_special_use, ..);
        keys.key("allow_private_suffix", &mut names.allow_private_suffix, ..);
        keys.key("allow_consumer_mail", &mut names.allow_consumer_mail, ..);
        keys.key("consumer_mail", &mut names.extra_consumer_mail, ..);
        keys.section("names.templates");
        keys.key("apex_label", &mut records.apex_label, ..);
        keys.key("apex_value", &mut records.apex_value, ..);
        keys.key("host_label", &mut records.host_label, ..);
        keys.key("host_value", &mut records.host_value, ..);
    }

    fn read_policy(&mut self, keys: &mut KeyReader<'_>) {
        let policy = &mut self.policy;
        keys.section("policy");
        keys.key("contest", &mut policy.contest, ..);
        keys.key("contest_grace", &mut policy.contest_grace, SECOND..);
        keys.key("contest_interval", &mut policy.contest_interval, SECOND..);
        keys.key("apex_deadline", &mut policy.apex_deadline, SECOND..);
        keys.key("host_deadline", &mut policy.host_deadline, SECOND..);
        keys.key("watch_first", &mut policy.watch_first, SECOND / 10..);
        keys.key("watch_longest", &mut policy.watch_longest, SECOND / 10..);
        keys.key("held_interval", &mut policy.held_interval, SECOND..);
        keys.key("drift_grace", &mut policy.drift_grace, SECOND..);
        keys.key("unreachable_after", &mut policy.unreachable_after, SECOND..);
        keys.key("manual_gap", &mut policy.manual_gap, ..);
        keys.key("manual_per_hour", &mut policy.manual_per_hour, 1..=100);
        keys.key("open_claims_per_claimant", &mut policy.open_claims_per_claimant, 1..);
        keys.key("open_claims_per_name", &mut policy.open_claims_per_name, 1..);
    }

    fn read_api(&mut self, keys: &mut KeyReader<'_>) {
        let limits = &mut self.limits;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
        let mut rate = limits.rate.per_second as u32;
        keys.section("limits");
        keys.key("rate", &mut rate, 1..);
        keys.key("burst", &mut limits.rate.burst, 1..);
        keys.key("open_claims_per_workspace", &mut limits.open_claims_per_workspace, 1..);
        keys.key("key_memory", &mut limits.key_memory, TimeDelta::zero()..=SECOND * 300);
        limits.rate.per_second = f64::from(rate);
        keys.section("domains");
        keys.key("default_region", &mut self.default_region, ..);
        keys.section("apps");
        keys.key("cname_base", &mut self.cname_base, ..);
        keys.key("activation", &mut self.policy.activation, ..);
        keys.key("proxy_networks", &mut self.dns.probe.proxy_networks, ..);
    }

    fn read_work(&mut self, keys: &mut KeyReader<'_>) {
        let verifier = &mut self.verifier;
        keys.section("verifier");
        keys.key("agreement", &mut verifier.agreement, ..);
        keys.key("accept_wildcard", &mut verifier.accept_wildcard, ..);
        keys.key("in_flight", &mut verifier.in_flight, 1..=10_000);
        keys.key("early", &mut verifier.early, secs(0)..=secs(60));
        keys.key("pause", &mut verifier.pause, ms(10)..=secs(60));
        let subscriptions = &mut self.subscriptions;
        keys.section("subscriptions");
        keys.key("batch", &mut subscriptions.batch, 1..=10_000);
        keys.key("poll", &mut subscriptions.poll, ms(10)..=secs(60));
        keys.key("lease_ttl", &mut subscriptions.lease_ttl, secs(1)..=secs(300));
        keys.key("backoff_max", &mut subscriptions.backoff_max, ms(50)..=secs(300));
        let dispatcher = &mut self.dispatcher;
        keys.section("dispatcher");
        keys.key("visibility", &mut dispatcher.visibility, secs(1)..=HOUR);
        keys.key("poll", &mut dispatcher.poll, ms(10)..=secs(60));
        keys.key("batch", &mut dispatcher.limit, 1..=10_000);
        keys.key("rate", &mut dispatcher.rate, 1..=1_000_000);
        keys.key("window", &mut dispatcher.window, 1..=1_000_000);
    }

    fn read_telemetry(&mut self, keys: &mut KeyReader<'_>) {
        keys.section("log");
        keys.key("format", &mut self.log.format, ..);
        keys.key("filter", &mut self.log.filter, ..);
        let telemetry = &mut self.telemetry;
        keys.section("telemetry");
        keys.key("endpoint", &mut telemetry.endpoint, ..);
        keys.key("sample_ratio", &mut telemetry.sample_ratio, ..);
        keys.key("headers", &mut telemetry.headers, ..);
        keys.key("timeout", &mut telemetry.timeout, ms(100)..=secs(60));
        keys.key("queue", &mut telemetry.queue, 1..=1_000_000);
    }
}
