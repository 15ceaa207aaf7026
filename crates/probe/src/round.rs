//! Asks all servers of a zone the one question that matters, and reads what each of them says.
use deed_claims::{NetworkFault, Reply, ServerAnswer, Transport};
use futures::future::join_all;
use hickory_proto::rr::{Name, RecordType};

use crate::delegation::{Addresses, Delegation, referral};
use crate::exchange::{Heard, Silence};
use crate::inquiry::Inquiry;
use crate::response::{Chain, Response, text_of};
use crate::walk::prevailing;
use crate::wire::{Recursion, Wanted};

/// What the servers of one zone said about one name.
#[derive(Debug, Default)]
pub(crate) struct Round {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    answer: ServerAnswer,
    meaning: Meaning,
}

/// What an answer asks us to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Values, or their denial, at the end of these aliases.
    Final(Chain),
    /// The name is an alias, and its end is not in the answer.
    Alias(Chain),
    /// A zone lies in between.
    Referral(Delegation),
    /// Not an answer.
    Nothing,
}

/// Where a round leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The servers below this cut have to be asked.
    Below(Delegation),
    /// The name at the end of these aliases has to be asked for.
    Follow(Chain),
    /// Here; with the aliases that the answers hold.
    Here(Chain),
}

impl Inquiry<'_> {
    /// Asks every chosen server at the same time.
    pub(crate) async fn ask_all(&self, cut: &Delegation, name: &Name) -> Round {
        let wanted = Wanted { name: name.clone(), rtype: RecordType::TXT, recursion: Recursion::No };
        let chosen = self.chosen(cut);
        let heard = join_all(chosen.iter().map(|candidate| self.ask(candidate.peer, &wanted))).await;
        let mut rows: Vec<Row> = chosen
            .iter()
            .zip(heard)
            .filter_map(|(candidate, heard)| {
                let (reply, meaning) = self.read(&heard, &cut.zone, name)?;
                let answer = ServerAnswer {
                    server: text_of(&candidate.server),
                    address: Some(candidate.peer.address()),
                    transport: heard.travelled,
                    reply,
                    ms: heard.ms,
                };
                Some(Row { answer, meaning })
            })
            .collect();
        rows.extend(without_address(cut));
        Round { rows }
    }

    /// None when the server was not asked.
    pub(crate) fn read(&self, heard: &Heard, zone: &Name, name: &Name) -> Option<(Reply, Meaning)> {
        match &heard.result {
            Ok(response) => Some(self.read_response(response, zone, name)),
            Err(Silence::Blocked) => Some((Reply::Blocked, Meaning::Nothing)),
            Err(Silence::Fault(fault)) => Some((Reply::Fault(*fault), Meaning::Nothing)),
            Err(Silence::Exhausted) => None,
        }
    }

    fn read_response(&self, response: &Response, zone: &Name, name: &Name) -> (Reply, Meaning) {
        let budgets = &self.shared.config.budgets;
        let chain = response.chain(name, budgets.aliases + 1);
        let end = chain.targets.last().unwrap_or(name);
        let owners: Vec<&Name> = std::iter::once(name).chain(&chain.targets).collect();
        let texts = response.texts(&owners, budgets.txt_records, budgets.txt_bytes);
        let shown = !texts.values.is_empty() || texts.oversize;
        // A denial counts inside the zone that was asked for: neither a zone above it, which lame servers like to
        // make up, nor a foreign one at the end of an alias is this server's to speak for.
        let denial = if shown { None } else { response.soa(zone, end) };
        let counts = response.authoritative() && !response.truncated() && matches!(response.rcode(), 0 | 3);
        let meaning = if !counts {
            referral(response, zone, name, budgets.ns_read)
                .filter(|_| response.rcode() == 0)
                .map_or(Meaning::Nothing, Meaning::Referral)
        } else if shown || (denial.is_some() && !chain.looped) {
            Meaning::Final(chain)
        } else if chain.targets.is_empty() {
            Meaning::Nothing
        } else {
            Meaning::Alias(chain)
        };
        let reply = Reply::Message {
            rcode: response.rcode(),
            authoritative: response.authoritative(),
            truncated: response.truncated(),
            ede: response.ede(),
            values: texts.values,
            oversize: texts.oversize,
            soa: denial,
        };
        (reply, meaning)
    }
}

/// Servers that were asked for an address and have none.
fn without_address(cut: &Delegation) -> impl Iterator<Item = Row> {
    cut.servers.iter().filter_map(|server| {
        let fault = match server.addresses {
            Addresses::None => NetworkFault::Unreachable,
            Addresses::Failed(fault) => fault,
            Addresses::Known(_) | Addresses::Unknown => return None,
        };
        let answer = ServerAnswer {
            server: text_of(&server.name),
            address: None,
            transport: Transport::Udp,
            reply: Reply::Fault(fault),
            ms: 0,
        };
        Some(Row { answer, meaning: Meaning::Nothing })
    })
}

impl Round {
    /// Whether most of the servers that know say, with the SOA of their zone, that the name does not exist.
    pub(crate) fn denies(&self, zone: &Name) -> bool {
        let zone = text_of(zone);
        let denies = |row: &&Row| {
            matches!(&row.answer.reply, Reply::Message { rcode: 3, soa: Some(soa), .. } if soa.owner == zone)
                && matches!(&row.meaning, Meaning::Final(chain) if chain.targets.is_empty())
        };
        let knowing = self.rows.iter().filter(|row| row.meaning != Meaning::Nothing).count();
        self.rows.iter().filter(denies).count() * 2 > knowing
    }

    /// Where most of the servers that know lead. One server alone can neither divert the look nor hold it up.
    pub(crate) fn next(&self) -> Next {
        let finals = || {
            self.rows.iter().filter_map(|row| match &row.meaning {
                Meaning::Final(chain) => Some(chain),
                _ => None,
            })
        };
        let aliases = || {
            self.rows.iter().filter_map(|row| match &row.meaning {
                Meaning::Alias(chain) => Some(chain),
                _ => None,
            })
        };
        let referrals = || {
            self.rows.iter().filter_map(|row| match &row.meaning {
                Meaning::Referral(below) => Some(below),
                _ => None,
            })
        };
        let (here, alias, below) = (finals().count(), aliases().count(), referrals().count());
        if below > here + alias
            && let Some(zone) = prevailing(referrals().map(|d| &d.zone))
            && let Some(delegation) = referrals().find(|d| d.zone == *zone)
        {
            return Next::Below(delegation.clone());
        }
        if alias > here
            && let Some(chain) = prevailing(aliases())
        {
            return Next::Follow(chain.clone());
        }
        Next::Here(prevailing(finals()).cloned().unwrap_or_default())
    }

    pub(crate) fn answers(self) -> Vec<ServerAnswer> {
        self.rows.into_iter().map(|row| row.answer).collect()
    }
}
