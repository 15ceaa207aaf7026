//! One test zone for each diagnosis code: the zone has that fault and no other.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use deed_diagnosis::{Code, Context, EarlierValue, Evidence, Outcome};
use futures::future::join_all;
use hickory_proto::op::ResponseCode;

use crate::internet::{
    CheckedZone, Daemon, Internet, InternetPlan, at, challenge_with, check_in_context, token, value,
};
use crate::scripted_server::{ScriptedQuery, ScriptedReply, ScriptedServer, address, cname, ns, soa, txt};
use crate::{dnssec, negative_cache, resolver_outage};

pub const BLOCK: u8 = 1;

/// Zones on real name servers, and the code of each.
pub const REAL_ZONES: &[(&str, &str)] = &[
    ("absent.com", "record_not_found"),
    ("address.com", "no_txt_at_name"),
    ("other.com", "wrong_value"),
    ("dotted.com", "wrong_value"),
    ("letter.com", "wrong_value"),
    ("quoted.com", "value_quoted"),
    ("curly.com", "value_quoted"),
    ("space.com", "value_whitespace"),
    ("nbsp.com", "value_whitespace"),
    ("upper.com", "value_case"),
    ("short.com", "value_truncated"),
    ("twice.com", "value_doubled"),
    ("bare.com", "value_prefix_missing"),
    ("labelled.com", "value_prefix_missing"),
    ("earlier.com", "value_of_earlier_claim"),
    ("halves.com", "split_over_records"),
    ("apex.com", "at_apex"),
    ("plain.com", "at_parent_label"),
    ("doubled.com", "doubled_zone"),
    ("star.com", "wildcard_answer"),
    ("dangling.com", "cname_dangling"),
    ("typed.com", "cname_dangling"),
    ("typed-whole.com", "cname_dangling"),
    ("loop.com", "cname_loop"),
    ("alias.com", "cname_elsewhere"),
    ("moved.com", "dname"),
    ("unregistered.com", "not_delegated"),
    ("homeless.com", "ns_without_address"),
    ("lame.com", "lame_delegation"),
    // NSD refuses with an Extended DNS Error: it does not serve the zone.
    ("unserved.com", "lame_delegation"),
    ("refused.com", "refused"),
    ("broken.com", "servfail"),
    ("halfway.com", "inconsistent_servers"),
    ("inside.com", "blocked_address"),
    ("hoard.com", "oversize_answer"),
];

/// Zones on scripted servers, and the code of each.
pub const SCRIPTED_ZONES: &[(&str, &str)] = &[
    ("old.com", "edns_broken"),
    ("silent.com", "timeout"),
    ("bulky.com", "truncated_no_tcp"),
    ("errors.com", "servfail"),
    ("threefold.com", "partially_lame"),
    ("labyrinth.com", "budget_exhausted"),
];

/// A context with an earlier claim of the same holder.
pub fn context() -> Context {
    let earlier =
        EarlierValue { value: earlier_value().into(), issued_at: "2026-03-01T12:00:00Z".parse().unwrap() };
    Context { earlier: vec![earlier], ..Context::default() }
}

fn earlier_value() -> String {
    challenge_with("earlier.com", [6; 20]).record_value.to_string()
}

pub fn plan() -> InternetPlan {
    let value = value();
    let on_nsd = |plan: InternetPlan, name: &str, lines: String| plan.domain(name, &[Daemon::Nsd], &lines);
    let (first, second) = value.split_at(value.len() / 2);
    let hoard = (0..100).fold(String::new(), |mut lines, i| {
        let _ = writeln!(lines, "_deed TXT \"{i:0>100}\"");
        lines
    });
    let simple = [
        ("absent.com", String::new()),
        ("address.com", "_deed A 192.0.2.1".to_owned()),
        ("other.com", "_deed TXT \"v=spf1 -all\"".to_owned()),
        ("dotted.com", format!("_deed TXT \"{value}.\"")),
        ("letter.com", format!("_deed TXT \"{}\"", value.replacen("dq", "d9", 1))),
        ("quoted.com", format!("_deed TXT \"\\\"{value}\\\"\"")),
        ("curly.com", format!("_deed TXT \"\\226\\128\\156{value}\\226\\128\\157\"")),
        ("space.com", format!("_deed TXT \"{value} \"")),
        ("nbsp.com", format!("_deed TXT \"{value}\\194\\160\"")),
        ("upper.com", format!("_deed TXT \"{}\"", value.to_ascii_uppercase())),
        ("short.com", format!("_deed TXT \"{}\"", &value[..value.len() - 4])),
        ("twice.com", format!("_deed TXT \"{value}{value}\"")),
        ("bare.com", format!("_deed TXT \"{}\"", token())),
        ("labelled.com", format!("_deed TXT \"_deed.labelled.com={value}\"")),
        ("earlier.com", format!("_deed TXT \"{}\"", earlier_value())),
        ("halves.com", format!("_deed TXT \"{first}\"\n_deed TXT \"{second}\"")),
        ("apex.com", format!("@ TXT \"{value}\"")),
        ("plain.com", format!("deed TXT \"{value}\"")),
        ("doubled.com", format!("_deed.doubled.com TXT \"{value}\"")),
        ("star.com", "* TXT \"v=spf1 -all\"".to_owned()),
        // The value typed as a CNAME target, relative and absolute.
        ("typed.com", format!("_deed CNAME {value}")),
        ("typed-whole.com", format!("_deed CNAME {value}.")),
        ("dangling.com", "_deed CNAME nowhere.dangling.com.".to_owned()),
        ("loop.com", "_deed CNAME a\na CNAME _deed".to_owned()),
        ("alias.com", "_deed CNAME target\ntarget TXT \"v=spf1 -all\"".to_owned()),
        ("hoard.com", hoard),
    ];
    let plan = simple
        .into_iter()
        .fold(InternetPlan::in_block(BLOCK), |plan, (name, lines)| on_nsd(plan, name, lines));
    let present = format!("_deed TXT \"{value}\"");
    plan.diverging_domain("halfway.com", &[(Daemon::Nsd, 12, &present), (Daemon::Bind, 11, "")])
        .hosted_domain("moved.com", "absent.com", Daemon::Nsd, "@ DNAME other.com.")
        .broken_domain("broken.com")
        .delegated_to("unserved.com", &[Daemon::Nsd])
        .delegated_to("refused.com", &[Daemon::Bind])
        .com("homeless.com. NS ns.nowhere.com.")
        // Its only name server is that of the parent zone, which does not serve it.
        .com("lame.com. NS ns.com.")
        .com("inside.com. NS ns1.inside.com.\nns1.inside.com. A 10.1.2.3")
        .com(&server_line("old.com", 31))
        .com(&server_line("silent.com", 32))
        .com(&server_line("bulky.com", 33))
        .com(&server_line("errors.com", 34))
        .com(&server_line("labyrinth.com", 35))
        .com(&[36, 37, 38].map(|last| server_line("threefold.com", last)).concat())
}

fn server_line(domain: &str, last: u8) -> String {
    format!("{domain}. NS ns{last}.{domain}.\nns{last}.{domain}. A {}\n", at(BLOCK, last))
}

/// The servers of the scripted zones.
pub async fn scripted_servers(internet: &Internet) -> Vec<ScriptedServer> {
    let nxdomain = |query: &ScriptedQuery| {
        let mut answer = query.answer();
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities.push(soa("threefold.com"));
        ScriptedReply::Answer(answer)
    };
    vec![
        // It drops queries with EDNS, and answers FORMERR without.
        ScriptedServer::listen(internet.at(31), |query| {
            if query.has_edns() { ScriptedReply::NoReply } else { query.error(ResponseCode::FormErr) }
        })
        .await,
        ScriptedServer::listen(internet.at(32), |_| ScriptedReply::NoReply).await,
        ScriptedServer::udp_only(internet.at(33), ScriptedQuery::truncated).await,
        ScriptedServer::listen(internet.at(34), |query| query.error(ResponseCode::ServFail)).await,
        ScriptedServer::listen(internet.at(35), labyrinth).await,
        ScriptedServer::listen(internet.at(36), |query| query.with([txt(&query.name(), &value())])).await,
        ScriptedServer::listen(internet.at(37), nxdomain).await,
        ScriptedServer::listen(internet.at(38), |query| query.error(ResponseCode::Refused)).await,
    ]
}

/// An alias to a name of many labels, each of which is a zone of its own.
fn labyrinth(query: &ScriptedQuery) -> ScriptedReply {
    let name = query.name();
    if name == "_deed.labyrinth.com" {
        return query.with([cname(&name, "_deed.l.k.j.i.h.g.f.e.d.c.b.a.labyrinth.com")]);
    }
    let server = format!("ns.{name}");
    query.referral(vec![ns(&name, &server)], vec![address(&server, at(BLOCK, 35).into())])
}

#[tokio::test]
async fn each_fault_has_its_code() {
    let internet = plan().start();
    let _actors = scripted_servers(&internet).await;
    let prober = internet.prober();
    // Silent servers cost the whole time-out.
    let impatient = internet.prober_with(|config| {
        config.udp_timeout = Duration::from_millis(500);
        config.tcp_timeout = Duration::from_secs(1);
    });
    let context = context();
    let real = join_all(REAL_ZONES.iter().map(|(domain, _)| check_in_context(&prober, domain, &context)));
    let scripted =
        join_all(SCRIPTED_ZONES.iter().map(|(domain, _)| check_in_context(&impatient, domain, &context)));
    let (real, scripted) = futures::join!(real, scripted);

    let expected: Vec<&(&str, &str)> = REAL_ZONES.iter().chain(SCRIPTED_ZONES).collect();
    let checked: Vec<CheckedZone> = real.into_iter().chain(scripted).collect();
    let found: Vec<(&str, &str)> =
        expected.iter().zip(&checked).map(|((domain, _), checked)| (*domain, checked.code())).collect();
    let codes: Vec<&(&str, &str)> = found.iter().collect();
    assert_eq!(codes, expected, "{:#?}", mismatches(&expected, &checked));
    for checked in &checked {
        assert!(checked.seen.queries <= 60 && checked.seen.took_ms < 20_000, "{:#?}", checked.seen);
    }
    insta::assert_snapshot!(render(&expected, &checked));
}

#[test]
fn every_code_has_a_test_zone() {
    let here = REAL_ZONES.iter().chain(SCRIPTED_ZONES).map(|(_, code)| *code);
    let elsewhere = [dnssec::BOGUS_CODE, resolver_outage::INTERNAL, resolver_outage::INDETERMINATE]
        .into_iter()
        .chain(negative_cache::CODES);
    let tested: BTreeSet<&str> = here.chain(elsewhere).collect();
    // A refused name is not looked up, so it has no test zone.
    let all = Code::ALL.iter().filter(|code| **code != Code::NameRefused);
    assert_eq!(tested, all.map(|code| code.as_str()).collect());
}

/// The checks whose code is not the expected one.
fn mismatches(expected: &[&(&str, &str)], checked: &[CheckedZone]) -> Vec<String> {
    let differing = expected.iter().zip(checked).filter(|((_, code), checked)| *code != checked.code());
    differing.map(|((domain, code), checked)| format!("{domain} is not {code}: {checked:#?}")).collect()
}

/// The diagnosis and the evidence of each zone, for the snapshot.
fn render(expected: &[&(&str, &str)], checked: &[CheckedZone]) -> String {
    let mut text = String::new();
    for ((domain, code), CheckedZone { seen, outcome }) in expected.iter().zip(checked) {
        let Outcome::NotProven(diagnosis) = outcome else { continue };
        // Writing to a string cannot fail.
        let _ = write!(text, "{domain}: {code}\n  {}\n  {}\n", diagnosis.message(), diagnosis.fix());
        for server in Evidence::from(seen).servers {
            let shown = server.values.first().map_or("", String::as_str);
            let (name, result, aa) = (server.server, server.result, u8::from(server.authoritative));
            let line = format!("  - {name} {result} aa={aa} {shown}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    mask_times(&text)
}

/// Replaces milliseconds, which differ in each run.
fn mask_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        if words[at].starts_with("ms") && words[at - 1].bytes().all(|byte| byte.is_ascii_digit()) {
            words[at - 1] = "N";
        }
    }
    words.join(" ")
}
