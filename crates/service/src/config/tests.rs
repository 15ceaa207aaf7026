//! Tests of loading, validating and printing the configuration, and of the sample file.
use std::ffi::OsString;
use std::fmt::Write as _;

use chrono::TimeDelta;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

fn from(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deed.toml");
    std::fs::write(&path, file).unwrap();
    let os = |text: &str| OsString::from(text);
    load(Inputs {
        file: Some(path),
        variables: variables.iter().map(|(name, value)| (os(name), os(value))).collect(),
        flags: flags.iter().map(|(flag, key, value)| (*flag, *key, (*value).to_owned())).collect(),
    })
}

/// All faults as `key (origin): problem`, without the temporary folder.
fn faults(loaded: Loaded) -> Vec<String> {
    let ConfigFaults(faults) = loaded.settings.unwrap_err();
    let origin = |origin: &Origin| match origin {
        Origin::File(_, line) => format!("file:{line}"),
        other => other.to_string(),
    };
    faults
        .iter()
        .map(|f| format!("{} ({}): {}", f.key.as_deref().unwrap_or("-"), origin(&f.origin), f.problem))
        .collect()
}

#[test]
fn defaults_are_valid() {
    let loaded = from("", &[], &[]);
    assert_eq!(loaded.keys, defaults());
    let settings = loaded.settings.unwrap();
    assert_eq!(settings.config.policy, deed_claims::Policy::default());
    assert_eq!(settings.config.names, deed_claims::name::NamePolicy::default());
    assert_eq!(settings.templates, deed_claims::ChallengeTemplates::default());
    assert_eq!(settings.config.bus.limits, deed_bus::Limits::default());
    assert_eq!(format!("{:?}", settings.probe), format!("{:?}", deed_probe::ProbeConfig::default()));
    assert_eq!(settings.database, Database::File("./deed.db".into()));
}

/// The keys with their defaults.
fn defaults() -> Vec<KeyView> {
    Config::read(&mut Sources::default()).1
}

/// The sample with the types, bounds and defaults of all keys renewed. Descriptions are written by hand.
fn renewed_sample() -> String {
    let (head, mut rest) = SAMPLE.split_once("\n\n").unwrap();
    let (mut out, mut section) = (head.to_owned(), "");
    for key in defaults() {
        let header = if key.section == section { String::new() } else { format!("[{}]\n", key.section) };
        let (paragraph, more) = rest.split_once("\n\n").unwrap_or((rest, ""));
        (rest, section) = (more, key.section);
        let (about, described) = paragraph.split_at(paragraph.find(&*header).unwrap() + header.len());
        let is_text = |line: &&str| !line.starts_with("# Has to be ") && line.starts_with("# ");
        let description: Vec<_> = described.lines().take_while(is_text).collect();
        assert!(
            !description.is_empty() && about.starts_with('#') != header.is_empty(),
            "{key:?}: {paragraph}"
        );
        let (text, line) = (description.join("\n"), print::assignment(&key));
        write!(out, "\n\n{about}{text}\n# Has to be {}.\n{line}", key.expected).unwrap();
    }
    assert_eq!(rest, "", "it has more than the keys");
    out + "\n"
}

#[test]
fn sample_lists_every_key_and_its_default() {
    let wanted = renewed_sample();
    if std::env::var_os("UPDATE_SAMPLE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/sample.toml"), wanted).unwrap();
        return;
    }
    assert_eq!(SAMPLE, wanted, "update it: UPDATE_SAMPLE=1 cargo test -p deed-service sample");
    let loaded = from(SAMPLE, &[], &[]);
    assert_eq!(loaded.keys, defaults());
    assert!(loaded.settings.is_ok());
}

#[test]
fn default_filter_mutes_foreign_input() {
    let filter = log_filter(&from("", &[], &[]).settings.unwrap().config.log.filter).unwrap();
    let lines = tracing_subscriber::registry().with(filter);
    tracing::subscriber::with_default(lines, || {
        assert!(!tracing::enabled!(target: "actix_http::h1::dispatcher", tracing::Level::ERROR));
        // hickory logs whole messages, which come from foreign servers.
        assert!(!tracing::enabled!(target: "hickory_net::dnssec", tracing::Level::ERROR));
        assert!(tracing::enabled!(target: "deed_api::pipeline", tracing::Level::INFO));
    });
}

#[test]
fn flags_override_variables_file_and_defaults() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nops_listen = \"127.0.0.1:2\"\n[names]\nbrand = \"acme\"\n\
                [policy]\nwatch_first = \"5s\"\n[dns.budgets]\nqueries = 30\n";
    let variables = [
        ("DEED__SERVER__LISTEN", "127.0.0.1:3"),
        ("DEED__SERVER__OPS_LISTEN", "127.0.0.1:4"),
        ("DEED__DNS__BUDGETS__QUERIES", "40"),
        ("DEED__DNS__ALLOW_NETWORKS", "10.0.0.0/8, fd00::/8"),
        ("DEED__NAMES__ALLOW_SPECIAL_USE", "true"),
        ("DEED_CONFIG", "not ours"),
        ("PATH", "/bin"),
    ];
    let loaded = from(file, &variables, &[("--listen", "server.listen", "127.0.0.1:5")]);
    let settings = loaded.settings.as_ref().unwrap();
    let config = &settings.config;
    assert_eq!(config.server.listen.port(), 5);
    assert_eq!(config.server.ops_listen.port(), 4);
    assert_eq!(config.dns.probe.budgets.queries, 40);
    assert_eq!(config.policy.watch_first, TimeDelta::seconds(5));
    assert_eq!(config.dns.probe.allow_networks.len(), 2);
    assert!(config.names.allow_special_use);
    assert_eq!(loaded.sources.origin("server.listen"), Origin::Flag("--listen"));
    assert_eq!(
        loaded.sources.origin("server.ops_listen").to_string(),
        "environment DEED__SERVER__OPS_LISTEN"
    );
    assert!(matches!(loaded.sources.origin("names.brand"), Origin::File(_, 5)));
    assert_eq!(loaded.sources.origin("names.allow_consumer_mail"), Origin::Default);
    let name = "acme.com".parse().unwrap();
    let made = settings.templates.challenge(
        deed_claims::Scope::Apex,
        &name,
        deed_claims::Token::from_bytes([0; 20]),
    );
    assert_eq!(&*made.record_name, "_acme.acme.com");
}

#[test]
fn reports_all_faults_with_key_and_origin() {
    let file = r#"
[server]
listen = "here"
roles = ["api", "cook"]
[dns]
port = 70000
udp_tries = 4
allow_networks = ["10.0.0.0/8", "10.0.0.1/8"]
roots = "/nowhere/root.hints"
delegation = "from_resolver"
validation = "self"
trust_anchor = "/nowhere/root.key"
vantages = ["tokyo=192.0.2.53:53", "192.0.2.54:53"]
vantage_quorum = 1
canary = "not a name"
delegation_cache_ttl = "61s"
in_flight = 0
[dns.budgets]
queries = "many"
[names]
brand = "Acme Corp"
consumer_mail = ["mail.acme.com", "no domain"]
[names.templates]
apex_value = "no place for it"
[policy]
contest = "coin"
contest_grace = "soon"
watch_first = "5h"
watch_longest = "1h"
manual_per_hour = 1.5
[domains]
default_region = "zürich"
[log]
filter = "deed=loud"
"#;
    let variables = [
        ("DEED__LIMITS__RATE", "0"),
        ("DEED__STORE__PATH", ""),
        ("DEED__POLICY__HELD_INTERVAL", "9999years"),
        ("DEED__VERIFIER__IN_FLIGHT", "65"),
    ];
    insta::assert_snapshot!(faults(from(file, &variables, &[])).join("\n"));
}

#[test]
fn rejects_unknown_keys_of_every_source() {
    let file = "name = 1\nserver = 3\n[server]\n";
    // A duplicate key is a syntax error of the whole file.
    assert_eq!(faults(from(file, &[], &[])).len(), 1);
    let file = "name = 1\n[server]\nlisten = \"127.0.0.1:1\"\nlissten = 1\n[dns.budgets]\nspeed = 1\n[cache]\nsize = 3\n";
    let variables =
        [("DEED__SERVER__LISTEN__PORT", "1"), ("DEED__DNS__BUDGET", "1"), ("DEED__server__listen", "x")];
    insta::assert_snapshot!(faults(from(file, &variables, &[])).join("\n"));
    assert_eq!(faults(from("server = 3", &[], &[])), ["server (file:1): is a section, written [server]"]);
}

#[test]
fn reports_invalid_or_missing_file() {
    let found = faults(from("[server]\nlisten = \n", &[], &[]));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("- (file:2): "), "{found:?}");
    let loaded = load(Inputs { file: Some("/nowhere/deed.toml".into()), ..Inputs::default() });
    assert!(faults(loaded)[0].contains("cannot be read"));
}

#[test]
fn rejects_service_urls_without_showing_passwords() {
    let file = "[store]\nurl = \"mysql://deed:hunter2@db/deed\"\n[bus]\nurl = \"hunter2@mq\"\n";
    let loaded = from(file, &[], &[]);
    let shown = loaded.to_toml() + &loaded.to_json().to_string();
    assert!(shown.contains("url = \"[redacted]\"") && !shown.contains("hunter2"), "{shown}");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let found = faults(loaded);
    assert!(!found.join("").contains("hunter2"), "{found:?}");
    insta::assert_snapshot!(found.join("\n"));
    let found = faults(from("[store]\nurl = [\"hunter2\"]\n", &[], &[]));
    assert_eq!(found, ["store.url (file:2): expected a text, got something else"]);
    let good = "[store]\nurl = \"postgres://deed:hunter2@db/deed?sslmode=require\"\n[bus]\nurl = \"amqp://deed:hunter2@mq\"\n";
    let settings = from(good, &[], &[]).settings.unwrap();
    assert_eq!(settings.database, Database::Server("postgres://db/deed".to_owned()));
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn separate_roles_need_store_and_bus_urls() {
    let with = |roles: &str| from("", &[], &[("--roles", "server.roles", roles)]);
    assert!(with("projector,verifier,api").settings.is_ok());
    let all = ["verifier", "api", "api,projector", ""].map(|roles| faults(with(roles)).join("\n"));
    insta::assert_snapshot!(all.join("\n"));
    let (store, bus) = ("[store]\nurl = \"postgres://db/deed\"\n", "[bus]\nurl = \"amqp://mq\"\n");
    let alone = |file: &str| from(file, &[], &[("--roles", "server.roles", "verifier")]);
    assert!(alone(&format!("{store}{bus}")).settings.is_ok());
    let (no_bus, no_store) = (faults(alone(store)), faults(alone(bus)));
    assert!(no_bus.len() == 1 && no_bus[0].contains("`bus.url`"), "{no_bus:?}");
    assert!(no_store.len() == 1 && no_store[0].contains("`store.url`"), "{no_store:?}");
}

#[test]
fn validation_settings_are_checked_and_applied() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("root.key");
    std::fs::write(
        &anchor,
        ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n",
    )
    .unwrap();
    let file = format!(
        "[dns]\nresolvers = [\"127.0.0.1:53\"]\nvalidation = \"self\"\ntrust_anchor = {anchor:?}\n\
         vantages = [\"tokyo=192.0.2.53:53\"]\nvantage_quorum = 1\ncanary = \"acme.com\"\n"
    );
    let probe = from(&file, &[], &[]).settings.unwrap().probe;
    assert_eq!(probe.validation, deed_probe::ValidationMode::Own);
    assert!(probe.trust_anchor.is_some());
    assert_eq!((probe.vantages[0].name.as_str(), probe.vantage_quorum), ("tokyo", 1));
    assert_eq!(probe.canary.as_deref(), Some("acme.com"));
    assert!(deed_probe::Prober::new(probe).is_ok());
    std::fs::write(&anchor, ". IN TXT x\n").unwrap();
    assert_eq!(
        faults(from(&file, &[], &[])),
        ["dns.trust_anchor (file:4): record 1 is not a usable DS or DNSKEY record"]
    );
    let one_more =
        "[dns]\nvalidation = \"resolver\"\nvantages = [\"tokyo=192.0.2.53:53\"]\nvantage_quorum = 2\n";
    assert_eq!(
        faults(from(one_more, &[], &[])),
        [
            "dns.validation (file:2): \"resolver\" needs at least one of `dns.resolvers`",
            "dns.vantage_quorum (file:4): has to be between 1 and the number of `dns.vantages`, which is 1",
        ]
    );
}

#[test]
fn printed_configuration_round_trips() {
    let file = "[server]\nlisten = \"127.0.0.1:9\"\n[names]\nconsumer_mail = [\"mail.acme.com\"]\n[names.templates]\n\
                apex_label = \"_own\"\n[dns]\nin_flight = 7\ndelegation_cache_ttl = \"0s\"\n";
    let loaded = from(file, &[("DEED__LOG__FORMAT", "human")], &[]);
    let printed = loaded.to_toml();
    assert!(printed.contains("format = \"human\"  # environment DEED__LOG__FORMAT"), "{printed}");
    let again = from(&printed, &[], &[]);
    assert!(again.settings.is_ok(), "{:?}", again.settings);
    assert_eq!(again.keys, loaded.keys);
}

#[test]
fn tracing_follows_the_telemetry_section() {
    assert_eq!(from("", &[], &[]).settings.unwrap().traces, None);
    let file = "[telemetry]\nendpoint = \"http://collector:4318/\"\nsample_ratio = 0.25\n";
    let settings = from(file, &[("DEED__TELEMETRY__HEADERS", "x-key=open=sesame, x-team=a")], &[]).settings;
    let traces = settings.unwrap().traces.unwrap();
    assert_eq!(traces.endpoint.as_str(), "http://collector:4318/v1/traces");
    assert!((traces.sample_ratio - 0.25).abs() < f64::EPSILON);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(traces.headers(), [pair("x-key", "open=sesame"), pair("x-team", "a")]);
    assert!(!format!("{traces:?}").contains("sesame"));
    for ratio in ["0", "1", "0.001"] {
        assert!(
            from(&format!("[telemetry]\nsample_ratio = {ratio}\n"), &[], &[]).settings.is_ok(),
            "{ratio}"
        );
    }
    let wrong = |endpoint: &str| {
        faults(from(&format!("[telemetry]\nendpoint = \"{endpoint}\"\n"), &[], &[])).join("\n")
    };
    assert!(wrong("https://collector").contains("speaks no TLS"));
    assert!(wrong("collector:4318").contains("`http://…`"));
    assert!(wrong("http://").contains("http://host:4318"));
    assert!(wrong("http://a:sesame@b").contains("telemetry.headers"));
    assert!(!wrong("http://a:sesame@b").contains("sesame"));
    let more = "[telemetry]\nsample_ratio = 1.5\nheaders = \"sesame\"\nqueue = 0\n";
    let more = faults(from(more, &[], &[])).join("\n");
    for key in ["telemetry.sample_ratio", "telemetry.headers", "telemetry.queue"] {
        assert!(more.contains(key), "{more}");
    }
    assert!(!more.contains("sesame"), "{more}");
}
