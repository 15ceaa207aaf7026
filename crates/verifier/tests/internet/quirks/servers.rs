//! The scripted servers of these zones.
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::BLOCK;
use crate::internet::{Internet, at, value};
use crate::scripted_server::{ScriptedQuery, ScriptedReply, ScriptedServer, address, cname, ns, soa, txt};

/// Zones on scripted servers, and the last octet of each.
pub const SCRIPTED_ZONES: &[(&str, u8)] = &[
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

fn answer_with(query: &ScriptedQuery, change: impl FnOnce(&mut Message)) -> ScriptedReply {
    let mut answer = query.answer();
    change(&mut answer);
    ScriptedReply::Answer(answer)
}

/// Replies with `reply` for the record's name, and with the zone's own records for the apex.
fn at_record(
    query: &ScriptedQuery,
    zone: &str,
    last: u8,
    reply: impl FnOnce(&ScriptedQuery) -> ScriptedReply,
) -> ScriptedReply {
    let question = &query.message.queries[0];
    if query.name() != zone {
        return reply(query);
    }
    match question.query_type {
        RecordType::NS => query.with([ns(zone, &format!("ns.{zone}"))]),
        RecordType::SOA => query.with([soa(zone)]),
        RecordType::A => query.with([address(zone, at(BLOCK, last).into())]),
        _ => answer_with(query, |answer| answer.authorities.push(soa(zone))),
    }
}

fn nsec(owner: &str, next: &str, types: &[RecordType]) -> Record {
    let name = |text: &str| Name::from_ascii(format!("{text}.")).unwrap();
    let data = NSEC::new(name(next), types.iter().copied());
    Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(data)))
}

/// Whether the queried name is in lower case.
fn is_lower(query: &ScriptedQuery) -> bool {
    let name = query.message.queries[0].name.to_ascii();
    name == name.to_ascii_lowercase()
}

fn is_txt(query: &ScriptedQuery) -> bool {
    query.message.queries[0].query_type == RecordType::TXT
}

/// The answer of a real server to the same query.
fn forward(query: &ScriptedQuery, server: SocketAddr) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&query.message.to_vec().unwrap(), server).unwrap();
    let mut bytes = [0; 4096];
    let size = socket.recv(&mut bytes).unwrap();
    Message::from_vec(&bytes[..size]).unwrap()
}

/// Negative answers in every form, valid and invalid.
async fn negative_answers(internet: &Internet) -> Vec<ScriptedServer> {
    vec![
        serve(internet, 41, |query| at_record(query, "bare0.com", 41, |query| query.with([]))).await,
        serve(internet, 42, |query| {
            at_record(query, "bare3.com", 42, |query| {
                answer_with(query, |answer| answer.metadata.response_code = ResponseCode::NXDomain)
            })
        })
        .await,
        serve(internet, 43, |query| {
            at_record(query, "soaanswer.com", 43, |query| {
                answer_with(query, |answer| {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    answer.answers.push(soa("soaanswer.com"));
                })
            })
        })
        .await,
        serve(internet, 44, |query| {
            at_record(query, "soaadditional.com", 44, |query| {
                answer_with(query, |answer| answer.additionals.push(soa("soaadditional.com")))
            })
        })
        .await,
        serve(internet, 45, |query| {
            at_record(query, "nsauthority.com", 45, |query| {
                answer_with(query, |answer| {
                    answer.authorities.push(ns("nsauthority.com", "ns.nsauthority.com"));
                })
            })
        })
        .await,
        serve(internet, 46, |query| {
            at_record(query, "compact.com", 46, |query| {
                answer_with(query, |answer| {
                    let types = [RecordType::RRSIG, RecordType::NSEC, RecordType::Unknown(128)];
                    let name = query.name();
                    answer.authorities.push(soa("compact.com"));
                    answer.authorities.push(nsec(&name, &format!("0.{name}"), &types));
                })
            })
        })
        .await,
        serve(internet, 47, |query| {
            answer_with(query, |answer| {
                answer.metadata.response_code = ResponseCode::NXDomain;
                answer.authorities.push(soa("com"));
            })
        })
        .await,
        serve(internet, 48, |query| {
            answer_with(query, |answer| answer.authorities.push(ns("com", "ns.com")))
        })
        .await,
    ]
}

/// Aliases, and records beside them.
async fn aliases(internet: &Internet) -> Vec<ScriptedServer> {
    let alternating = AtomicUsize::new(0);
    vec![
        serve(internet, 49, |query| {
            at_record(query, "beside.com", 49, |query| {
                let name = query.name();
                let mut records = vec![cname(&name, "host.nowhere.com")];
                records.extend(is_txt(query).then(|| txt(&name, &value())));
                query.with(records)
            })
        })
        .await,
        serve(internet, 51, move |query| {
            at_record(query, "twoaliases.com", 51, |query| {
                let name = query.name();
                let mut records = vec![cname(&name, "a.nowhere.com"), cname(&name, "b.absent.com")];
                records.rotate_left(alternating.fetch_add(1, Ordering::Relaxed) % 2);
                query.with(records)
            })
        })
        .await,
        serve(internet, 52, |query| {
            at_record(query, "valuealias.com", 52, |query| {
                let name = query.name();
                if name != "_deed.valuealias.com" {
                    return answer_with(query, |answer| {
                        answer.metadata.response_code = ResponseCode::NXDomain;
                        answer.authorities.push(soa("valuealias.com"));
                    });
                }
                let labels = [value(), "valuealias".to_owned(), "com".to_owned()];
                let mut target = Name::from_labels(labels.iter().map(String::as_bytes)).unwrap();
                target.set_fqdn(true);
                let owner = query.message.queries[0].name.clone();
                query.with([Record::from_rdata(owner, 300, RData::CNAME(CNAME(target)))])
            })
        })
        .await,
        serve(internet, 53, |query| {
            let name = query.name();
            if name == "apexalias.com"
                && !matches!(query.message.queries[0].query_type, RecordType::NS | RecordType::SOA)
            {
                return query.with([cname(&name, "fine.com")]);
            }
            at_record(query, "apexalias.com", 53, |query| {
                if is_txt(query) {
                    return query.with([txt(&name, &value())]);
                }
                answer_with(query, |answer| answer.authorities.push(soa("apexalias.com")))
            })
        })
        .await,
    ]
}

/// Record sets larger than a datagram, in a fixed and in a rotating order.
async fn large_sets(internet: &Internet) -> Vec<ScriptedServer> {
    let turns = AtomicUsize::new(0);
    vec![
        serve(internet, 54, move |query| {
            at_record(query, "rotating.com", 54, |query| {
                if !is_txt(query) {
                    return answer_with(query, |answer| answer.authorities.push(soa("rotating.com")));
                }
                large_answer(
                    query,
                    (0..80).map(|i| format!("{i:0>50}")).chain([value()]),
                    turns.fetch_add(7, Ordering::Relaxed),
                )
            })
        })
        .await,
        serve(internet, 55, |query| {
            at_record(query, "manyothers.com", 55, |query| {
                if !is_txt(query) {
                    return answer_with(query, |answer| answer.authorities.push(soa("manyothers.com")));
                }
                large_answer(query, (0..81).map(|i| format!("{i:0>50}")), 0)
            })
        })
        .await,
    ]
}

/// Servers that compare names by letter case, and servers with other faults.
async fn letter_cases(internet: &Internet) -> Vec<ScriptedServer> {
    let nsd = internet.at(11);
    vec![
        serve(internet, 56, |query| {
            at_record(query, "lowercase.com", 56, |query| match (is_lower(query), is_txt(query)) {
                (true, true) => query.with([txt(&query.name(), &value())]),
                (true, false) => answer_with(query, |answer| answer.authorities.push(soa("lowercase.com"))),
                (false, _) => answer_with(query, |answer| {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    answer.authorities.push(soa("lowercase.com"));
                }),
            })
        })
        .await,
        serve(internet, 57, |query| match (is_lower(query), is_txt(query)) {
            (true, true) => query.with([txt(&query.name(), &value())]),
            (true, false) => at_record(query, "lowerrefused.com", 57, |query| {
                answer_with(query, |answer| answer.authorities.push(soa("lowerrefused.com")))
            }),
            (false, _) => query.error(ResponseCode::Refused),
        })
        .await,
        serve(internet, 58, move |query| {
            let mut answer = forward(query, nsd);
            if !is_lower(query) {
                answer.authorities.retain(|record| {
                    !matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC(_)))
                        && !matches!(&record.data, RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) if rrsig.input().type_covered == RecordType::NSEC)
                });
            }
            ScriptedReply::Answer(answer)
        })
        .await,
        serve(internet, 59, |query| {
            at_record(query, "echoes.com", 59, |query| {
                answer_with(query, |answer| {
                    answer.edns.clone_from(&query.message.edns);
                    answer.answers.extend(is_txt(query).then(|| txt(&query.name(), &value())));
                })
            })
        })
        .await,
        // One of two servers has an alias beside the value, and the other has the value alone.
        serve(internet, 60, |query| {
            at_record(query, "halfbeside.com", 60, |query| {
                query.with([cname(&query.name(), "host.nowhere.com"), txt(&query.name(), &value())])
            })
        })
        .await,
        serve(internet, 61, |query| {
            at_record(query, "halfbeside.com", 61, |query| query.with([txt(&query.name(), &value())]))
        })
        .await,
    ]
}

/// The servers of the scripted zones.
pub async fn scripted_servers(internet: &Internet) -> Vec<ScriptedServer> {
    let mut scripted_servers = negative_answers(internet).await;
    scripted_servers.extend(aliases(internet).await);
    scripted_servers.extend(large_sets(internet).await);
    scripted_servers.extend(letter_cases(internet).await);
    scripted_servers.push(
        serve(internet, 62, |query| {
            if query.has_edns() {
                return ScriptedReply::NoReply;
            }
            at_record(query, "plainonly.com", 62, |query| {
                if is_txt(query) {
                    return query.with([txt(&query.name(), &value())]);
                }
                answer_with(query, |answer| answer.authorities.push(soa("plainonly.com")))
            })
        })
        .await,
    );
    let udp_only = |query: &ScriptedQuery| query.with([txt(&query.name(), &value())]);
    scripted_servers.push(ScriptedServer::udp_only(internet.at(63), udp_only).await);
    for last in 91..=93 {
        scripted_servers
            .push(serve(internet, last, |query| query.with([txt(&query.name(), "the owner's value")])).await);
    }
    for last in 95..=98 {
        scripted_servers
            .push(serve(internet, last, |query| query.with([txt(&query.name(), &value())])).await);
    }
    scripted_servers
}

async fn serve(
    internet: &Internet,
    last: u8,
    script: impl Fn(&ScriptedQuery) -> ScriptedReply + Send + Sync + 'static,
) -> ScriptedServer {
    ScriptedServer::listen(internet.at(last), script).await
}

/// An answer larger than a datagram, whose records begin at index `from`.
fn large_answer(query: &ScriptedQuery, values: impl Iterator<Item = String>, from: usize) -> ScriptedReply {
    if !query.tcp {
        return query.truncated();
    }
    let name = query.name();
    let mut records: Vec<Record> = values.map(|value| txt(&name, &value)).collect();
    let size = records.len();
    records.rotate_left(from % size);
    query.with(records)
}
