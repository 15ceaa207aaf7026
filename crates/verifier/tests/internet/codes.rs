//! Every cause that is told, made by a zone that has that fault and no other.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use deed_claims::{Code, Context, EarlierValue, Evidence, Outcome};
use futures::future::join_all;
use hickory_proto::op::ResponseCode;

use crate::scripted::{Asked, Play, Scripted, address, cname, ns, soa, txt};
use crate::world::{By, Checked, Internet, Plan, at, challenge_with, check_within, token, value};
use crate::{dnssec, fresh, held};

pub const BLOCK: u8 = 1;

/// Domains on real servers, and what is found wrong with each.
pub const FOUND: &[(&str, &str)] = &[
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
    // NSD says why it refuses: the zone is not its own.
    ("unserved.com", "lame_delegation"),
    ("refused.com", "refused"),
    ("broken.com", "servfail"),
    ("halfway.com", "inconsistent_servers"),
    ("inside.com", "blocked_address"),
    ("hoard.com", "oversize_answer"),
];

/// Domains on scripted servers.
pub const SCRIPTED: &[(&str, &str)] = &[
    ("old.com", "edns_broken"),
    ("silent.com", "timeout"),
    ("bulky.com", "truncated_no_tcp"),
    ("errors.com", "servfail"),
    ("threefold.com", "partially_lame"),
    ("labyrinth.com", "budget_exhausted"),
];

/// The holder has claimed each of the names before.
pub fn context() -> Context {
    let earlier =
        EarlierValue { value: earlier_value().into(), issued_at: "2026-03-01T12:00:00Z".parse().unwrap() };
    Context { earlier: vec![earlier], ..Context::default() }
}

fn earlier_value() -> String {
    challenge_with("earlier.com", [6; 20]).record_value.to_string()
}

pub fn plan() -> Plan {
    let value = value();
    let on_nsd = |plan: Plan, name: &str, lines: String| plan.domain(name, &[By::Nsd], &lines);
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
        // The editor appends the zone, or does not.
        ("typed.com", format!("_deed CNAME {value}")),
        ("typed-whole.com", format!("_deed CNAME {value}.")),
        ("dangling.com", "_deed CNAME nowhere.dangling.com.".to_owned()),
        ("loop.com", "_deed CNAME a\na CNAME _deed".to_owned()),
        ("alias.com", "_deed CNAME target\ntarget TXT \"v=spf1 -all\"".to_owned()),
        ("hoard.com", hoard),
    ];
    let plan =
        simple.into_iter().fold(Plan::in_block(BLOCK), |plan, (name, lines)| on_nsd(plan, name, lines));
    let present = format!("_deed TXT \"{value}\"");
    plan.split_domain("halfway.com", &[(By::Nsd, 12, &present), (By::Bind, 11, "")])
        .guest_domain("moved.com", "absent.com", By::Nsd, "@ DNAME other.com.")
        .broken_domain("broken.com")
        .delegated_to("unserved.com", &[By::Nsd])
        .delegated_to("refused.com", &[By::Bind])
        .com("homeless.com. NS ns.nowhere.com.")
        // Listed for it are the servers of the zone above, which only refer to themselves.
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

/// The servers of the scripted domains.
pub async fn actors(internet: &Internet) -> Vec<Scripted> {
    let denial = |asked: &Asked| {
        let mut answer = asked.answer();
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities.push(soa("threefold.com"));
        Play::Answer(answer)
    };
    vec![
        // It answers neither with EDNS nor, sensibly, without.
        Scripted::listen(internet.at(31), |asked| {
            if asked.has_edns() { Play::Silence } else { asked.error(ResponseCode::FormErr) }
        })
        .await,
        Scripted::listen(internet.at(32), |_| Play::Silence).await,
        Scripted::datagrams_only(internet.at(33), Asked::truncated).await,
        Scripted::listen(internet.at(34), |asked| asked.error(ResponseCode::ServFail)).await,
        Scripted::listen(internet.at(35), labyrinth).await,
        Scripted::listen(internet.at(36), |asked| asked.with([txt(&asked.name(), &value())])).await,
        Scripted::listen(internet.at(37), denial).await,
        Scripted::listen(internet.at(38), |asked| asked.error(ResponseCode::Refused)).await,
    ]
}

/// An alias to a name of which each label is a zone of its own.
fn labyrinth(asked: &Asked) -> Play {
    let name = asked.name();
    if name == "_deed.labyrinth.com" {
        return asked.with([cname(&name, "_deed.l.k.j.i.h.g.f.e.d.c.b.a.labyrinth.com")]);
    }
    let server = format!("ns.{name}");
    asked.referral(vec![ns(&name, &server)], vec![address(&server, at(BLOCK, 35).into())])
}

#[tokio::test]
async fn each_fault_has_its_code_and_no_other() {
    let internet = plan().start();
    let _actors = actors(&internet).await;
    let patient = internet.prober();
    // What never answers has to be waited out.
    let hasty = internet.prober_with(|config| {
        config.udp_timeout = Duration::from_millis(500);
        config.tcp_timeout = Duration::from_secs(1);
    });
    let context = context();
    let real = join_all(FOUND.iter().map(|(domain, _)| check_within(&patient, domain, &context)));
    let played = join_all(SCRIPTED.iter().map(|(domain, _)| check_within(&hasty, domain, &context)));
    let (real, played) = futures::join!(real, played);

    let expected: Vec<&(&str, &str)> = FOUND.iter().chain(SCRIPTED).collect();
    let checked: Vec<Checked> = real.into_iter().chain(played).collect();
    let found: Vec<(&str, &str)> =
        expected.iter().zip(&checked).map(|((domain, _), checked)| (*domain, checked.verdict())).collect();
    let told: Vec<&(&str, &str)> = found.iter().collect();
    assert_eq!(told, expected, "{:#?}", surprises(&expected, &checked));
    for checked in &checked {
        assert!(checked.seen.queries <= 60 && checked.seen.took_ms < 20_000, "{:#?}", checked.seen);
    }
    insta::assert_snapshot!(words(&expected, &checked));
}

#[test]
fn no_code_is_left_out() {
    let here = FOUND.iter().chain(SCRIPTED).map(|(_, code)| *code);
    let there = [dnssec::SHOWN, held::SHOWN, held::UNKNOWN].into_iter().chain(fresh::SHOWN);
    let shown: BTreeSet<&str> = here.chain(there).collect();
    // Refused names are not looked up.
    let all = Code::ALL.iter().filter(|code| **code != Code::NameRefused);
    assert_eq!(shown, all.map(|code| code.as_str()).collect());
}

/// What was seen where the verdict is another than expected.
fn surprises(expected: &[&(&str, &str)], checked: &[Checked]) -> Vec<String> {
    let odd = expected.iter().zip(checked).filter(|((_, code), checked)| *code != checked.verdict());
    odd.map(|((domain, code), checked)| format!("{domain} is not {code}: {checked:#?}")).collect()
}

/// The evidence and the words of each, for people to read.
fn words(expected: &[&(&str, &str)], checked: &[Checked]) -> String {
    let mut text = String::new();
    for ((domain, code), Checked { seen, outcome }) in expected.iter().zip(checked) {
        let Outcome::NotProven(diagnosis) = outcome else { continue };
        // Writing to a string cannot fail.
        let _ = write!(text, "{domain}: {code}\n  {}\n  {}\n", diagnosis.message, diagnosis.fix);
        for server in Evidence::from(seen).servers {
            let shown = server.values.first().map_or("", String::as_str);
            let (name, result, aa) = (server.server, server.result, u8::from(server.authoritative));
            let line = format!("  - {name} {result} aa={aa} {shown}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    without_times(&text)
}

/// Milliseconds are another each time.
fn without_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        if words[at].starts_with("ms") && words[at - 1].bytes().all(|byte| byte.is_ascii_digit()) {
            words[at - 1] = "N";
        }
    }
    words.join(" ")
}
