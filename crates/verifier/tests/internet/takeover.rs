//! Attempts to take a name over with control of a part of its DNS.
//!
//! Each zone depends on something that an attacker can register: a name server whose domain expired, the target of a
//! wildcard or of an alias. The attacker controls that, and knows the token of a claim of its own.
use std::fmt::Write as _;
use std::time::Duration;

use deed_diagnosis::{Context, judge_within};
use deed_probe::{ProbeConfig, Prober, Question};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::internet::{Daemon, Internet, InternetPlan, at, challenge, challenge_with, value};
use crate::scripted_server::{ScriptedQuery, ScriptedReply, ScriptedServer, address, cname, ns, soa, txt};

const BLOCK: u8 = 24;

/// The last octets of the owner's servers, and of the attacker's.
const OWNERS: [u8; 3] = [41, 42, 43];
const ATTACKERS: [u8; 4] = [51, 52, 53, 54];

/// One attempt, and the codes that result.
struct TakeoverAttempt {
    description: &'static str,
    domain: &'static str,
    /// The code of the attacker's claim while no claim holds the name.
    unclaimed: &'static str,
    /// The code of the attacker's claim while the owner holds the name.
    held: &'static str,
    /// The code of the owner's record at that time.
    owner: &'static str,
}

const fn attempt(
    description: &'static str,
    domain: &'static str,
    unclaimed: &'static str,
    held: &'static str,
    owner: &'static str,
) -> TakeoverAttempt {
    TakeoverAttempt { description, domain, unclaimed, held, owner }
}

const ATTEMPTS: &[TakeoverAttempt] = &[
    attempt(
        "one of four name servers, at four addresses",
        "many-addressed.com",
        "inconsistent_servers",
        "inconsistent_servers",
        "proven",
    ),
    attempt(
        "one of four name servers, at one address",
        "one-addressed.com",
        "inconsistent_servers",
        "inconsistent_servers",
        "proven",
    ),
    attempt(
        "two of four name servers, at two addresses each",
        "two-of-four.com",
        "inconsistent_servers",
        "inconsistent_servers",
        "inconsistent_servers",
    ),
    attempt(
        "two of three name servers: control of an unclaimed name",
        "two-of-three.com",
        "proven",
        "inconsistent_servers",
        "inconsistent_servers",
    ),
    attempt(
        "one of four name servers, the others kept from answering",
        "silenced.com",
        "proven",
        "partially_lame",
        "partially_lame",
    ),
    attempt(
        "one of two name servers, the other one answering",
        "half.com",
        "inconsistent_servers",
        "inconsistent_servers",
        "inconsistent_servers",
    ),
    attempt(
        "a name server whose addresses are those of the owner's",
        "borrowed.com",
        "wrong_value",
        "wrong_value",
        "proven",
    ),
    attempt(
        "one of four name servers, with an alias to the attacker's zone",
        "alias.com",
        "wrong_value",
        "wrong_value",
        "proven",
    ),
    attempt(
        "one of four name servers, with a delegation of the record's name",
        "referral.com",
        "wrong_value",
        "wrong_value",
        "proven",
    ),
    attempt(
        "one of four name servers, with a delegation of a name above the record's",
        "above.com",
        "wrong_value",
        "wrong_value",
        "proven",
    ),
    attempt(
        "one of a provider's name servers, with other addresses of its servers",
        "provided.com",
        "wrong_value",
        "wrong_value",
        "proven",
    ),
    attempt(
        "the end of a wildcard alias, where the owner has no record",
        "wildcard.com",
        "wildcard_answer",
        "wildcard_answer",
        "cname_elsewhere",
    ),
    attempt(
        "the end of a wildcard alias that one of four name servers hides",
        "hidden.com",
        "wildcard_answer",
        "wildcard_answer",
        "cname_elsewhere",
    ),
    attempt(
        "an additional name server that only the zone itself lists",
        "childside.com",
        "wrong_value",
        "wrong_value",
        "proven",
    ),
    attempt("the old value of a claim that has ended", "old.com", "wrong_value", "wrong_value", "proven"),
    attempt(
        "datagrams that only the attacker answers",
        "forged.com",
        "inconsistent_servers",
        "inconsistent_servers",
        "inconsistent_servers",
    ),
    attempt("without authority", "hearsay.com", "lame_delegation", "lame_delegation", "lame_delegation"),
    attempt(
        "beside an alias of the owner's",
        "beside.com",
        "cname_dangling",
        "cname_dangling",
        "cname_dangling",
    ),
];

fn owners_value() -> String {
    challenge_with("acme.com", [9; 20]).record_value.to_string()
}

/// The record's name; one attempt is about a name further down.
fn record(domain: &str) -> String {
    if domain == "above.com" { "_deed.www.above.com".to_owned() } else { format!("_deed.{domain}") }
}

/// The owner's servers, named inside the zone, and the attacker's, named in expired domains.
fn delegation(domain: &str, owners: &[u8], attackers: &[&[u8]]) -> String {
    let mut lines = String::new();
    for last in owners {
        let _ = writeln!(lines, "{domain}. NS n{last}.{domain}.\nn{last}.{domain}. A {}", at(BLOCK, *last));
    }
    for (index, addresses) in attackers.iter().enumerate() {
        let server = format!("ns{index}.{}-expired.com", domain.trim_end_matches(".com"));
        let _ = writeln!(lines, "{domain}. NS {server}.");
        for last in *addresses {
            let _ = writeln!(lines, "{server}. A {}", at(BLOCK, *last));
        }
        // Makes the parent give glue for it.
        let _ = writeln!(lines, "{}-expired.com. NS {server}.", domain.trim_end_matches(".com"));
    }
    lines
}

fn plan() -> InternetPlan {
    let all = &OWNERS[..];
    let (one, pairs): (&[u8], [&[u8]; 2]) = (&ATTACKERS[..1], [&ATTACKERS[..2], &ATTACKERS[2..]]);
    let mut plan = InternetPlan::in_block(BLOCK)
        .com(&delegation("many-addressed.com", all, &[&ATTACKERS]))
        .com(&delegation("two-of-four.com", &OWNERS[..2], &pairs))
        .com(&delegation("two-of-three.com", &OWNERS[..1], &pairs))
        .com(&delegation("half.com", &OWNERS[..1], &[one]))
        // No server listens at these addresses.
        .com(&delegation("silenced.com", &[61, 62, 63], &[one]))
        .com(&delegation("borrowed.com", all, &[all]))
        .com(&delegation("wildcard.com", all, &[]))
        .com(&delegation("childside.com", all, &[]))
        .com(&delegation("old.com", all, &[]))
        .com(&delegation("forged.com", &[], &[&[64]]))
        .com(&delegation("hearsay.com", &[], &[&[65]]))
        .com(&delegation("beside.com", all, &[]))
        .com(&delegation("provider.com", all, &[one]))
        .com("provided.com. NS ns.provider.com.")
        .domain("attackers.com", &[Daemon::Nsd], &format!("tenant TXT \"{}\"", value()));
    for domain in ["one-addressed.com", "alias.com", "referral.com", "above.com", "hidden.com"] {
        plan = plan.com(&delegation(domain, all, &[one]));
    }
    plan
}

fn negative(query: &ScriptedQuery, zone: &str, code: ResponseCode) -> ScriptedReply {
    let mut answer = query.answer();
    answer.metadata.response_code = code;
    answer.authorities.push(soa(zone));
    ScriptedReply::Answer(answer)
}

/// The last two labels.
fn zone_of(name: &str) -> String {
    let labels: Vec<&str> = name.split('.').collect();
    labels[labels.len().saturating_sub(2)..].join(".")
}

/// The replies of the owner's servers.
fn owner(query: &ScriptedQuery) -> ScriptedReply {
    let (name, rtype) = (query.name(), query.message.queries[0].query_type);
    let zone = zone_of(&name);
    let wildcard = matches!(zone.as_str(), "wildcard.com" | "hidden.com") && name != zone;
    match rtype {
        _ if wildcard => query.with([cname(&name, "tenant.attackers.com")]),
        RecordType::A if name == "ns.provider.com" => {
            query.with([address(&name, at(BLOCK, OWNERS[0]).into())])
        }
        RecordType::NS if name == "childside.com" => query.with([ns(&name, "ns0.childside-expired.com")]),
        RecordType::TXT if zone == "beside.com" && name != zone => {
            query.with([cname(&name, "nowhere.beside-target.com"), txt(&name, &value())])
        }
        RecordType::TXT if name == record(&zone) && zone == "old.com" => {
            let old = challenge_with("acme.com", [6; 20]).record_value;
            query.with([txt(&name, &owners_value()), txt(&name, &old)])
        }
        RecordType::TXT if name == record(&zone) => query.with([txt(&name, &owners_value())]),
        _ if name == record(&zone) || name == zone || name == format!("www.{zone}") => {
            negative(query, &zone, ResponseCode::NoError)
        }
        _ => negative(query, &zone, ResponseCode::NXDomain),
    }
}

/// The replies of the attacker's servers.
fn attacker(query: &ScriptedQuery) -> ScriptedReply {
    let (name, rtype) = (query.name(), query.message.queries[0].query_type);
    let zone = zone_of(&name);
    let to_attacker = |cut: &str| {
        let server = "ns.attackers.com";
        query.referral(vec![ns(cut, server)], vec![address(server, at(BLOCK, ATTACKERS[1]).into())])
    };
    match zone.as_str() {
        "alias.com" if name != zone => query.with([cname(&name, "tenant.attackers.com")]),
        "referral.com" if name == record(&zone) => to_attacker(&record("referral.com")),
        "above.com" if name.ends_with("www.above.com") => to_attacker("www.above.com"),
        "provider.com" if rtype == RecordType::A => {
            query.with([address(&name, at(BLOCK, ATTACKERS[0]).into())])
        }
        "hidden.com" if name == record(&zone) => query.with([cname(&name, "tenant.attackers.com")]),
        "hidden.com" if name != zone => negative(query, &zone, ResponseCode::NXDomain),
        _ if rtype == RecordType::TXT && name != zone => query.with([txt(&name, &value())]),
        _ => negative(query, &zone, ResponseCode::NoError),
    }
}

async fn scripted_servers(internet: &Internet) -> Vec<ScriptedServer> {
    let mut scripted_servers = vec![];
    for last in OWNERS {
        scripted_servers.push(ScriptedServer::listen(internet.at(last), owner).await);
    }
    for last in ATTACKERS {
        scripted_servers.push(ScriptedServer::listen(internet.at(last), attacker).await);
    }
    let forged = |query: &ScriptedQuery| if query.tcp { owner(query) } else { attacker(query) };
    scripted_servers.push(ScriptedServer::listen(internet.at(64), forged).await);
    let without_authority = |query: &ScriptedQuery| match attacker(query) {
        ScriptedReply::Answer(mut answer) => {
            answer.metadata.authoritative = false;
            ScriptedReply::Answer(answer)
        }
        other => other,
    };
    scripted_servers.push(ScriptedServer::listen(internet.at(65), without_authority).await);
    scripted_servers
}

/// The codes of the attacker's claim and of the owner's, judged from one observation.
async fn codes(prober: &Prober, domain: &str, held: bool) -> (&'static str, &'static str) {
    let (own, owners) = (challenge(domain), challenge_with(domain, [9; 20]));
    let values = [&own, &owners].map(|challenge| challenge.record_value.as_bytes().to_vec());
    let question = Question {
        name: record(domain),
        looking_for: values.to_vec(),
        confirm_absence: held,
        apex: Some(domain.to_owned()),
        route: None,
    };
    let seen = prober.probe(question).await;
    let code =
        |outcome: deed_diagnosis::Outcome| outcome.code().map_or("proven", deed_diagnosis::Code::as_str);
    let context = Context { held_by_another: held, at_stake: held, ..Context::default() };
    let challenged = Context { challenged: held, at_stake: held, ..Context::default() };
    (code(judge_within(&own, &context, &seen)), code(judge_within(&owners, &challenged, &seen)))
}

fn short_timeouts(config: &mut ProbeConfig) {
    config.udp_timeout = Duration::from_millis(500);
    config.tcp_timeout = Duration::from_secs(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partial_dns_control_takes_no_name() {
    let internet = plan().start();
    let _actors = scripted_servers(&internet).await;
    let mut mismatches = vec![];
    for tried in ATTEMPTS {
        // Each prober asks the servers in another order.
        for _ in 0..5 {
            let prober = internet.prober_with(short_timeouts);
            let (unclaimed, _) = codes(&prober, tried.domain, false).await;
            let (held, owner) = codes(&internet.prober_with(short_timeouts), tried.domain, true).await;
            if (unclaimed, held, owner) != (tried.unclaimed, tried.held, tried.owner) {
                mismatches.push(format!("{}: {unclaimed}, {held}, owner {owner}", tried.description));
            }
        }
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");
}

#[test]
fn no_attempt_takes_a_held_name() {
    for tried in ATTEMPTS {
        assert_ne!(tried.held, "proven", "{}", tried.description);
        let absent = ["record_not_found", "no_txt_at_name", "wrong_value"].contains(&tried.owner);
        assert!(!absent, "the owner loses the name: {}", tried.description);
    }
}
