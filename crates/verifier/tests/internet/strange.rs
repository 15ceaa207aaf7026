//! Zones as they are out there against the rules: what their servers do wrong, or merely unlike others.
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deed_testkit::{Denial, SignedZone, Validity, ZoneText};
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::scripted::{Asked, Play, Scripted, address, cname, ns, soa, txt};
use crate::world::{By, Internet, Plan, at, value};

/// A zone, and what a check of it has to say.
pub struct Zone {
    pub domain: &'static str,
    /// When Deed validates by itself.
    pub own: &'static str,
    /// When a trusted resolver validates.
    pub resolver: &'static str,
    /// Why that is not the same.
    pub reason: &'static str,
    /// Whether an absence has to be sure, as for a name that somebody holds.
    pub held: bool,
}

const fn same(domain: &'static str, code: &'static str) -> Zone {
    Zone { domain, own: code, resolver: code, reason: "", held: false }
}

const fn held(domain: &'static str, code: &'static str) -> Zone {
    Zone { held: true, ..same(domain, code) }
}

/// Every zone with one code, whoever answers first, in whatever order, letters and mode.
pub const ZONES: &[Zone] = &[
    same("fine.com", "proven"),
    same("signed.com", "proven"),
    held("gone.com", "record_not_found"),
    held("signedgone.com", "record_not_found"),
    // Denials with authority in every form.
    held("bare0.com", "no_txt_at_name"),
    held("bare3.com", "record_not_found"),
    held("soaanswer.com", "record_not_found"),
    held("soaadditional.com", "no_txt_at_name"),
    held("nsauthority.com", "no_txt_at_name"),
    same("compact.com", "record_not_found"),
    same("foreignsoa.com", "lame_delegation"),
    same("upward.com", "lame_delegation"),
    // Copies of signed zones.
    same("halfstale.com", "proven"),
    same("allstale.com", "dnssec_bogus"),
    held("stalegone.com", "record_not_found"),
    same("onestripped.com", "proven"),
    same("mixedcopies.com", "inconsistent_servers"),
    same("iterations.com", "proven"),
    same("algorithm.com", "proven"),
    // Aliases, and what stands beside them.
    same("beside.com", "cname_dangling"),
    same("besidetarget.com", "cname_elsewhere"),
    same("halfbeside.com", "inconsistent_servers"),
    same("twoaliases.com", "cname_dangling"),
    same("valuealias.com", "cname_dangling"),
    same("apexalias.com", "proven"),
    same("wildalias.com", "wildcard_answer"),
    same("wildhosting.com", "cname_elsewhere"),
    same("wildtext.com", "proven"),
    // Large sets, in fixed and in rotating order.
    same("many.com", "proven"),
    same("rotating.com", "proven"),
    same("manyothers.com", "oversize_answer"),
    // Letters.
    same("lowercase.com", "proven"),
    same("lowerrefused.com", "proven"),
    held("lowernsec.com", "record_not_found"),
    same("echoes.com", "proven"),
    // Transports.
    same("udponly.com", "timeout"),
    Zone {
        domain: "plainonly.com",
        own: "proven",
        resolver: "edns_broken",
        reason: "a resolver that validates asks with EDNS, which the servers drop; the parents' proof that the zone is not signed is all that own validation needs",
        held: false,
    },
    // Delegations.
    same("twins.com", "ns_without_address"),
    same("loopself.com", "ns_without_address"),
    same("deadhost.com", "ns_without_address"),
    same("aliasedns.com", "proven"),
    same("ownns.com", "proven"),
    same("shared.com", "proven"),
    same("cut.com", "proven"),
    same("dangling4.com", "inconsistent_servers"),
];

/// A zone with one server, played by a script.
fn delegation(domain: &str, last: u8) -> String {
    format!("{domain}. NS ns{last}.{domain}.\nns{last}.{domain}. A {}", at(BLOCK, last))
}

pub const BLOCK: u8 = crate::codes::BLOCK;

/// These zones on top of others.
pub fn plan(plan: Plan) -> Plan {
    let present = format!("_deed TXT \"{}\"", value());
    let scripted = |plan: Plan, (domain, last): &(&str, u8)| plan.com(&delegation(domain, *last));
    let plan = SCRIPTS.iter().fold(plan, scripted);
    let mut many = present.clone();
    for i in 0..80 {
        let _ = write!(many, "\n_deed TXT \"{i:0>50}\"");
    }
    let shared = format!("@ NS nsd.shared.com.\n{present}");
    signed(plan)
        .domain("fine.com", &[By::Nsd, By::Bind], &present)
        .domain("gone.com", &[By::Nsd, By::Bind], "")
        .domain("many.com", &[By::Nsd], &many)
        .domain("besidetarget.com", &[By::Nsd], "_deed CNAME target\ntarget TXT \"other\"")
        .domain("wildhosting.com", &[By::Nsd, By::Bind], "* CNAME nsd.vendor.com.")
        .domain("wildalias.com", &[By::Nsd, By::Bind], "* CNAME tenant.vendor.com.")
        .domain("vendor.com", &[By::Nsd], &format!("tenant TXT \"{}\"", value()))
        .domain("wildtext.com", &[By::Nsd], &format!("* TXT \"{}\"", value()))
        .domain("shared.com", &[By::Nsd], "_deed NS nsd")
        .zone_on(
            By::Nsd,
            ZoneText::with_soa(
                "_deed.shared.com",
                "nsd.shared.com",
                7,
                3600,
                &shared.replace("_deed TXT", "@ TXT"),
            ),
        )
        .domain("cut.com", &[By::Nsd], "_deed NS bind\nbind A 127.0.0.1")
        .zone_on(
            By::Bind,
            ZoneText::with_soa(
                "_deed.cut.com",
                "bind.cut.com",
                7,
                3600,
                &format!("@ NS bind.cut.com.\n@ TXT \"{}\"", value()),
            ),
        )
        .com("twins.com. NS ns.nitwit.com.\nnitwit.com. NS ns.twins.com.")
        .com("loopself.com. NS ns.loopself.com.")
        .com(&format!("deadhost.com. NS ns.silenthost.com.\n{}", delegation("silenthost.com", 32)))
        .domain("aliased.com", &[By::Nsd], "ns CNAME real\nreal A 127.53.1.11")
        .com("aliasedns.com. NS ns.aliased.com.")
        .zone_on(
            By::Nsd,
            ZoneText::with_soa(
                "aliasedns.com",
                "ns.aliased.com",
                7,
                3600,
                &format!("@ NS ns.aliased.com.\n{present}"),
            ),
        )
        .delegated_to("ownns.com", &[By::Nsd])
        .zone_on(
            By::Nsd,
            ZoneText::with_soa(
                "ownns.com",
                "ns.nowhere.com",
                7,
                3600,
                &format!("@ NS ns.nowhere.com.\n{present}"),
            ),
        )
        .com(&{
            let honest = (1..=3).fold(String::new(), |mut lines, n| {
                let _ = writeln!(
                    lines,
                    "dangling4.com. NS n{n}.dangling4.com.\nn{n}.dangling4.com. A {}",
                    at(BLOCK, 90 + n)
                );
                lines
            });
            let stranger = (1..=4).fold("dangling4.com. NS ns.expired.com.\n".to_owned(), |mut lines, n| {
                let _ = writeln!(lines, "ns.expired.com. A {}", at(BLOCK, 94 + n));
                lines
            });
            format!("{honest}{stranger}expired.com. NS ns.expired.com.")
        })
}

fn signed(plan: Plan) -> Plan {
    let present = format!("_deed TXT \"{}\"", value());
    let two = [By::Nsd, By::Bind];
    let text = |name: &str, lines: &str| Plan::in_block(BLOCK).zone(name, &two, 7, lines);
    let copies = |name: &str, lines: &str, validity: [Validity; 2]| {
        let zone = text(name, lines);
        SignedZone::sign_copies(&[(&zone, validity[0]), (&zone, validity[1])], Denial::Nsec)
    };
    let on_both = |plan: Plan, copies: Vec<SignedZone>| {
        let ds = copies[0].ds.clone();
        let zones = two.into_iter().zip(copies).map(|(by, copy)| (by, copy.zone)).collect();
        plan.made_copies(zones, &ds)
    };
    let (now, stale) = (Validity::Now, Validity::Stale);
    let mut plan = plan;
    for (name, lines, validity) in [
        ("signed.com", present.as_str(), [now, now]),
        ("signedgone.com", "", [now, now]),
        ("halfstale.com", &present, [now, stale]),
        ("allstale.com", &present, [stale, stale]),
        ("stalegone.com", "", [stale, now]),
    ] {
        plan = on_both(plan, copies(name, lines, validity));
    }
    let [new, old] = [text("mixedcopies.com", &present), text("mixedcopies.com", "")];
    plan = on_both(plan, SignedZone::sign_copies(&[(&new, now), (&old, now)], Denial::Nsec));
    let whole = copies("onestripped.com", &present, [now, now]).swap_remove(0);
    let stripped = text("onestripped.com", &present);
    let plan = plan.made_copies(vec![(By::Nsd, whole.zone), (By::Bind, stripped)], &whole.ds);
    let one = |name: &str, denial| {
        SignedZone::sign(&Plan::in_block(BLOCK).zone(name, &[By::Nsd], 7, &present), denial, now)
    };
    let iterations = one("iterations.com", Denial::Iterations(150));
    let algorithm = one("algorithm.com", Denial::Nsec);
    // Of an algorithm that nobody knows; such a zone counts as unsigned (RFC 4035 §5.2).
    let unknown: String = algorithm.ds.replacen(" 13 2 ", " 200 2 ", 1);
    let lower =
        SignedZone::sign(&Plan::in_block(BLOCK).zone("lowernsec.com", &[By::Nsd], 7, ""), Denial::Nsec, now);
    let lower_ds = lower.ds.clone();
    plan.made_domain(By::Nsd, iterations.zone, &iterations.ds)
        .made_domain(By::Nsd, algorithm.zone, &unknown)
        .zone_on(By::Nsd, lower.zone)
        .com(&lower_ds)
}

/// Domains on scripted servers, and the last octet of each.
const SCRIPTS: &[(&str, u8)] = &[
    ("bare0.com", 41),
    ("bare3.com", 42),
    ("soaanswer.com", 43),
    ("soaadditional.com", 44),
    ("nsauthority.com", 45),
    ("compact.com", 46),
    ("foreignsoa.com", 47),
    ("upward.com", 48),
    ("beside.com", 49),
    ("twoaliases.com", 51),
    ("valuealias.com", 52),
    ("apexalias.com", 53),
    ("rotating.com", 54),
    ("manyothers.com", 55),
    ("lowercase.com", 56),
    ("lowerrefused.com", 57),
    ("lowernsec.com", 58),
    ("echoes.com", 59),
    ("plainonly.com", 62),
    ("udponly.com", 63),
    ("halfbeside.com", 60),
    ("halfbeside.com", 61),
];

fn answered(asked: &Asked, change: impl FnOnce(&mut Message)) -> Play {
    let mut answer = asked.answer();
    change(&mut answer);
    Play::Answer(answer)
}

/// Answers for the record's name, and with the zone's own records for the rest.
fn at_record(asked: &Asked, zone: &str, last: u8, play: impl FnOnce(&Asked) -> Play) -> Play {
    let query = &asked.message.queries[0];
    if asked.name() != zone {
        return play(asked);
    }
    match query.query_type {
        RecordType::NS => asked.with([ns(zone, &format!("ns.{zone}"))]),
        RecordType::SOA => asked.with([soa(zone)]),
        RecordType::A => asked.with([address(zone, at(BLOCK, last).into())]),
        _ => answered(asked, |answer| answer.authorities.push(soa(zone))),
    }
}

fn nsec(owner: &str, next: &str, types: &[RecordType]) -> Record {
    let name = |text: &str| Name::from_ascii(format!("{text}.")).unwrap();
    let data = NSEC::new(name(next), types.iter().copied());
    Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(data)))
}

/// Whether a name came in lower case.
fn is_lower(asked: &Asked) -> bool {
    let name = asked.message.queries[0].name.to_ascii();
    name == name.to_ascii_lowercase()
}

fn is_txt(asked: &Asked) -> bool {
    asked.message.queries[0].query_type == RecordType::TXT
}

/// What a real server says to the same question.
fn forwarded(asked: &Asked, server: SocketAddr) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&asked.message.to_vec().unwrap(), server).unwrap();
    let mut bytes = [0; 4096];
    let size = socket.recv(&mut bytes).unwrap();
    Message::from_vec(&bytes[..size]).unwrap()
}

/// Denials with authority in every form, and such as do not count.
async fn denials(internet: &Internet) -> Vec<Scripted> {
    vec![
        play(internet, 41, |asked| at_record(asked, "bare0.com", 41, |asked| asked.with([]))).await,
        play(internet, 42, |asked| {
            at_record(asked, "bare3.com", 42, |asked| {
                answered(asked, |answer| answer.metadata.response_code = ResponseCode::NXDomain)
            })
        })
        .await,
        play(internet, 43, |asked| {
            at_record(asked, "soaanswer.com", 43, |asked| {
                answered(asked, |answer| {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    answer.answers.push(soa("soaanswer.com"));
                })
            })
        })
        .await,
        play(internet, 44, |asked| {
            at_record(asked, "soaadditional.com", 44, |asked| {
                answered(asked, |answer| answer.additionals.push(soa("soaadditional.com")))
            })
        })
        .await,
        play(internet, 45, |asked| {
            at_record(asked, "nsauthority.com", 45, |asked| {
                answered(asked, |answer| answer.authorities.push(ns("nsauthority.com", "ns.nsauthority.com")))
            })
        })
        .await,
        play(internet, 46, |asked| {
            at_record(asked, "compact.com", 46, |asked| {
                answered(asked, |answer| {
                    let types = [RecordType::RRSIG, RecordType::NSEC, RecordType::Unknown(128)];
                    let name = asked.name();
                    answer.authorities.push(soa("compact.com"));
                    answer.authorities.push(nsec(&name, &format!("0.{name}"), &types));
                })
            })
        })
        .await,
        play(internet, 47, |asked| {
            answered(asked, |answer| {
                answer.metadata.response_code = ResponseCode::NXDomain;
                answer.authorities.push(soa("com"));
            })
        })
        .await,
        play(internet, 48, |asked| answered(asked, |answer| answer.authorities.push(ns("com", "ns.com"))))
            .await,
    ]
}

/// Aliases, and what stands beside them.
async fn aliases(internet: &Internet) -> Vec<Scripted> {
    let alternating = AtomicUsize::new(0);
    vec![
        play(internet, 49, |asked| {
            at_record(asked, "beside.com", 49, |asked| {
                let name = asked.name();
                let mut records = vec![cname(&name, "host.nowhere.com")];
                records.extend(is_txt(asked).then(|| txt(&name, &value())));
                asked.with(records)
            })
        })
        .await,
        play(internet, 51, move |asked| {
            at_record(asked, "twoaliases.com", 51, |asked| {
                let name = asked.name();
                let mut records = vec![cname(&name, "a.nowhere.com"), cname(&name, "b.absent.com")];
                records.rotate_left(alternating.fetch_add(1, Ordering::Relaxed) % 2);
                asked.with(records)
            })
        })
        .await,
        play(internet, 52, |asked| {
            at_record(asked, "valuealias.com", 52, |asked| {
                let name = asked.name();
                if name != "_deed.valuealias.com" {
                    return answered(asked, |answer| {
                        answer.metadata.response_code = ResponseCode::NXDomain;
                        answer.authorities.push(soa("valuealias.com"));
                    });
                }
                let labels = [value(), "valuealias".to_owned(), "com".to_owned()];
                let mut target = Name::from_labels(labels.iter().map(String::as_bytes)).unwrap();
                target.set_fqdn(true);
                let owner = asked.message.queries[0].name.clone();
                asked.with([Record::from_rdata(owner, 300, RData::CNAME(CNAME(target)))])
            })
        })
        .await,
        play(internet, 53, |asked| {
            let name = asked.name();
            if name == "apexalias.com"
                && !matches!(asked.message.queries[0].query_type, RecordType::NS | RecordType::SOA)
            {
                return asked.with([cname(&name, "fine.com")]);
            }
            at_record(asked, "apexalias.com", 53, |asked| {
                if is_txt(asked) {
                    return asked.with([txt(&name, &value())]);
                }
                answered(asked, |answer| answer.authorities.push(soa("apexalias.com")))
            })
        })
        .await,
    ]
}

/// More records than fit into a datagram, in a fixed and in a rotating order.
async fn large_sets(internet: &Internet) -> Vec<Scripted> {
    let turns = AtomicUsize::new(0);
    vec![
        play(internet, 54, move |asked| {
            at_record(asked, "rotating.com", 54, |asked| {
                if !is_txt(asked) {
                    return answered(asked, |answer| answer.authorities.push(soa("rotating.com")));
                }
                large(
                    asked,
                    (0..80).map(|i| format!("{i:0>50}")).chain([value()]),
                    turns.fetch_add(7, Ordering::Relaxed),
                )
            })
        })
        .await,
        play(internet, 55, |asked| {
            at_record(asked, "manyothers.com", 55, |asked| {
                if !is_txt(asked) {
                    return answered(asked, |answer| answer.authorities.push(soa("manyothers.com")));
                }
                large(asked, (0..81).map(|i| format!("{i:0>50}")), 0)
            })
        })
        .await,
    ]
}

/// Servers to which letters are not alike, and other peculiarities.
async fn letters(internet: &Internet) -> Vec<Scripted> {
    let nsd = internet.at(11);
    vec![
        play(internet, 56, |asked| {
            at_record(asked, "lowercase.com", 56, |asked| match (is_lower(asked), is_txt(asked)) {
                (true, true) => asked.with([txt(&asked.name(), &value())]),
                (true, false) => answered(asked, |answer| answer.authorities.push(soa("lowercase.com"))),
                (false, _) => answered(asked, |answer| {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    answer.authorities.push(soa("lowercase.com"));
                }),
            })
        })
        .await,
        play(internet, 57, |asked| match (is_lower(asked), is_txt(asked)) {
            (true, true) => asked.with([txt(&asked.name(), &value())]),
            (true, false) => at_record(asked, "lowerrefused.com", 57, |asked| {
                answered(asked, |answer| answer.authorities.push(soa("lowerrefused.com")))
            }),
            (false, _) => asked.error(ResponseCode::Refused),
        })
        .await,
        play(internet, 58, move |asked| {
            let mut answer = forwarded(asked, nsd);
            if !is_lower(asked) {
                answer.authorities.retain(|record| {
                    !matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC(_)))
                        && !matches!(&record.data, RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) if rrsig.input().type_covered == RecordType::NSEC)
                });
            }
            Play::Answer(answer)
        })
        .await,
        play(internet, 59, |asked| {
            at_record(asked, "echoes.com", 59, |asked| {
                answered(asked, |answer| {
                    answer.edns.clone_from(&asked.message.edns);
                    answer.answers.extend(is_txt(asked).then(|| txt(&asked.name(), &value())));
                })
            })
        })
        .await,
        // One of two servers has an alias where the other has the value.
        play(internet, 60, |asked| {
            at_record(asked, "halfbeside.com", 60, |asked| {
                asked.with([cname(&asked.name(), "host.nowhere.com"), txt(&asked.name(), &value())])
            })
        })
        .await,
        play(internet, 61, |asked| {
            at_record(asked, "halfbeside.com", 61, |asked| asked.with([txt(&asked.name(), &value())]))
        })
        .await,
    ]
}

/// The servers of the scripted domains.
pub async fn actors(internet: &Internet) -> Vec<Scripted> {
    let mut actors = denials(internet).await;
    actors.extend(aliases(internet).await);
    actors.extend(large_sets(internet).await);
    actors.extend(letters(internet).await);
    actors.push(
        play(internet, 62, |asked| {
            if asked.has_edns() {
                return Play::Silence;
            }
            at_record(asked, "plainonly.com", 62, |asked| {
                if is_txt(asked) {
                    return asked.with([txt(&asked.name(), &value())]);
                }
                answered(asked, |answer| answer.authorities.push(soa("plainonly.com")))
            })
        })
        .await,
    );
    let udp_only = |asked: &Asked| asked.with([txt(&asked.name(), &value())]);
    actors.push(Scripted::datagrams_only(internet.at(63), udp_only).await);
    for last in 91..=93 {
        actors
            .push(play(internet, last, |asked| asked.with([txt(&asked.name(), "the owner's value")])).await);
    }
    for last in 95..=98 {
        actors.push(play(internet, last, |asked| asked.with([txt(&asked.name(), &value())])).await);
    }
    actors
}

async fn play(
    internet: &Internet,
    last: u8,
    script: impl Fn(&Asked) -> Play + Send + Sync + 'static,
) -> Scripted {
    Scripted::listen(internet.at(last), script).await
}

/// Values that do not fit into a datagram, from one of them on.
fn large(asked: &Asked, values: impl Iterator<Item = String>, from: usize) -> Play {
    if !asked.tcp {
        return asked.truncated();
    }
    let name = asked.name();
    let mut records: Vec<Record> = values.map(|value| txt(&name, &value)).collect();
    let size = records.len();
    records.rotate_left(from % size);
    asked.with(records)
}
