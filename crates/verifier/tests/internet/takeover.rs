//! Attempts to take a name by a part of the DNS: what whoever tries it gets, and what its owner keeps.
//!
//! Each zone has been left with something that a stranger can have: a name server whose name was given up, a wildcard, an
//! alias. The stranger runs that, and knows the token of a claim of its own.
use std::fmt::Write as _;
use std::time::Duration;

use deed_claims::{Context, judge_within};
use deed_probe::{ProbeConfig, Prober, Question};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::scripted::{Asked, Play, Scripted, address, cname, ns, soa, txt};
use crate::world::{By, Internet, Plan, at, challenge, challenge_with, value};

const BLOCK: u8 = 24;

/// The octets of the owner's servers, and of the stranger's.
const OWNERS: [u8; 3] = [41, 42, 43];
const STRANGERS: [u8; 4] = [51, 52, 53, 54];

/// One attempt and what comes of it.
struct Attempt {
    what: &'static str,
    domain: &'static str,
    /// What the stranger's claim gets while nobody has the name.
    unclaimed: &'static str,
    /// What it gets while the owner has it.
    held: &'static str,
    /// What the owner's record is found to be then.
    owner: &'static str,
}

const fn attempt(
    what: &'static str,
    domain: &'static str,
    unclaimed: &'static str,
    held: &'static str,
    owner: &'static str,
) -> Attempt {
    Attempt { what, domain, unclaimed, held, owner }
}

const ATTEMPTS: &[Attempt] = &[
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
        "two of three name servers: what an unclaimed name takes for its owner",
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
        "one of four name servers, with an alias to the stranger's zone",
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
        "datagrams that only the stranger answers",
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

/// The record's name; some attempts are about names further down.
fn record(domain: &str) -> String {
    if domain == "above.com" { "_deed.www.above.com".to_owned() } else { format!("_deed.{domain}") }
}

/// The owner's servers under names of their own, and the stranger's under names that were given up.
fn delegation(domain: &str, owners: &[u8], strangers: &[&[u8]]) -> String {
    let mut lines = String::new();
    for last in owners {
        let _ = writeln!(lines, "{domain}. NS n{last}.{domain}.\nn{last}.{domain}. A {}", at(BLOCK, *last));
    }
    for (index, addresses) in strangers.iter().enumerate() {
        let server = format!("ns{index}.{}-expired.com", domain.trim_end_matches(".com"));
        let _ = writeln!(lines, "{domain}. NS {server}.");
        for last in *addresses {
            let _ = writeln!(lines, "{server}. A {}", at(BLOCK, *last));
        }
        // So that the parent gives glue for it.
        let _ = writeln!(lines, "{}-expired.com. NS {server}.", domain.trim_end_matches(".com"));
    }
    lines
}

fn plan() -> Plan {
    let all = &OWNERS[..];
    let (one, pairs): (&[u8], [&[u8]; 2]) = (&STRANGERS[..1], [&STRANGERS[..2], &STRANGERS[2..]]);
    let mut plan = Plan::in_block(BLOCK)
        .com(&delegation("many-addressed.com", all, &[&STRANGERS]))
        .com(&delegation("two-of-four.com", &OWNERS[..2], &pairs))
        .com(&delegation("two-of-three.com", &OWNERS[..1], &pairs))
        .com(&delegation("half.com", &OWNERS[..1], &[one]))
        // Where nobody listens.
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
        .domain("strangers.com", &[By::Nsd], &format!("tenant TXT \"{}\"", value()));
    for domain in ["one-addressed.com", "alias.com", "referral.com", "above.com", "hidden.com"] {
        plan = plan.com(&delegation(domain, all, &[one]));
    }
    plan
}

fn denied(asked: &Asked, zone: &str, code: ResponseCode) -> Play {
    let mut answer = asked.answer();
    answer.metadata.response_code = code;
    answer.authorities.push(soa(zone));
    Play::Answer(answer)
}

/// The last two labels.
fn zone_of(name: &str) -> String {
    let labels: Vec<&str> = name.split('.').collect();
    labels[labels.len().saturating_sub(2)..].join(".")
}

/// What every server of the owner says.
fn owner(asked: &Asked) -> Play {
    let (name, rtype) = (asked.name(), asked.message.queries[0].query_type);
    let zone = zone_of(&name);
    let wildcard = matches!(zone.as_str(), "wildcard.com" | "hidden.com") && name != zone;
    match rtype {
        _ if wildcard => asked.with([cname(&name, "tenant.strangers.com")]),
        RecordType::A if name == "ns.provider.com" => {
            asked.with([address(&name, at(BLOCK, OWNERS[0]).into())])
        }
        RecordType::NS if name == "childside.com" => asked.with([ns(&name, "ns0.childside-expired.com")]),
        RecordType::TXT if zone == "beside.com" && name != zone => {
            asked.with([cname(&name, "nowhere.beside-target.com"), txt(&name, &value())])
        }
        RecordType::TXT if name == record(&zone) && zone == "old.com" => {
            let old = challenge_with("acme.com", [6; 20]).record_value;
            asked.with([txt(&name, &owners_value()), txt(&name, &old)])
        }
        RecordType::TXT if name == record(&zone) => asked.with([txt(&name, &owners_value())]),
        _ if name == record(&zone) || name == zone || name == format!("www.{zone}") => {
            denied(asked, &zone, ResponseCode::NoError)
        }
        _ => denied(asked, &zone, ResponseCode::NXDomain),
    }
}

/// What every server of the stranger says.
fn stranger(asked: &Asked) -> Play {
    let (name, rtype) = (asked.name(), asked.message.queries[0].query_type);
    let zone = zone_of(&name);
    let to_stranger = |cut: &str| {
        let server = "ns.strangers.com";
        asked.referral(vec![ns(cut, server)], vec![address(server, at(BLOCK, STRANGERS[1]).into())])
    };
    match zone.as_str() {
        "alias.com" if name != zone => asked.with([cname(&name, "tenant.strangers.com")]),
        "referral.com" if name == record(&zone) => to_stranger(&record("referral.com")),
        "above.com" if name.ends_with("www.above.com") => to_stranger("www.above.com"),
        "provider.com" if rtype == RecordType::A => {
            asked.with([address(&name, at(BLOCK, STRANGERS[0]).into())])
        }
        "hidden.com" if name == record(&zone) => asked.with([cname(&name, "tenant.strangers.com")]),
        "hidden.com" if name != zone => denied(asked, &zone, ResponseCode::NXDomain),
        _ if rtype == RecordType::TXT && name != zone => asked.with([txt(&name, &value())]),
        _ => denied(asked, &zone, ResponseCode::NoError),
    }
}

async fn actors(internet: &Internet) -> Vec<Scripted> {
    let mut actors = vec![];
    for last in OWNERS {
        actors.push(Scripted::listen(internet.at(last), owner).await);
    }
    for last in STRANGERS {
        actors.push(Scripted::listen(internet.at(last), stranger).await);
    }
    let forged = |asked: &Asked| if asked.tcp { owner(asked) } else { stranger(asked) };
    actors.push(Scripted::listen(internet.at(64), forged).await);
    let hearsay = |asked: &Asked| match stranger(asked) {
        Play::Answer(mut answer) => {
            answer.metadata.authoritative = false;
            Play::Answer(answer)
        }
        other => other,
    };
    actors.push(Scripted::listen(internet.at(65), hearsay).await);
    actors
}

/// The verdicts on the stranger's value and on the owner's, by what is seen at one time.
async fn verdicts(prober: &Prober, domain: &str, held: bool) -> (&'static str, &'static str) {
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
    let code = |outcome: deed_claims::Outcome| outcome.code().map_or("proven", deed_claims::Code::as_str);
    let context = Context { held_by_another: held, at_stake: held, ..Context::default() };
    let challenged = Context { challenged: held, at_stake: held, ..Context::default() };
    (code(judge_within(&own, &context, &seen)), code(judge_within(&owners, &challenged, &seen)))
}

fn hasty(config: &mut ProbeConfig) {
    config.udp_timeout = Duration::from_millis(500);
    config.tcp_timeout = Duration::from_secs(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_a_name_by_a_part_of_its_dns() {
    let internet = plan().start();
    let _actors = actors(&internet).await;
    let mut surprises = vec![];
    for tried in ATTEMPTS {
        // Which server is asked first is another each time.
        for _ in 0..5 {
            let prober = internet.prober_with(hasty);
            let (unclaimed, _) = verdicts(&prober, tried.domain, false).await;
            let (held, owner) = verdicts(&internet.prober_with(hasty), tried.domain, true).await;
            if (unclaimed, held, owner) != (tried.unclaimed, tried.held, tried.owner) {
                surprises.push(format!("{}: {unclaimed}, {held}, owner {owner}", tried.what));
            }
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn no_attempt_takes_a_held_name() {
    for tried in ATTEMPTS {
        assert_ne!(tried.held, "proven", "{}", tried.what);
        let absent = ["record_not_found", "no_txt_at_name", "wrong_value"].contains(&tried.owner);
        assert!(!absent, "the owner loses it: {}", tried.what);
    }
}
