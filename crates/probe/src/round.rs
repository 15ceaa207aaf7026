//! Asks all servers of a zone the one question that matters, and reads what each of them says.
use std::collections::BTreeMap;

use deed_claims::{NetworkFault, Reply, ServerAnswer, Statement, Transport};
use futures::future::join_all;
use hickory_net::runtime::{Time, TokioTime};
use hickory_proto::rr::{Name, RecordType, SerialNumber};

use crate::config::Budgets;
use crate::delegation::{Addresses, Delegation, agreed, referral};
use crate::exchange::{Heard, Silence};
use crate::inquiry::Inquiry;
use crate::response::{Chain, Response, text_of};
use crate::servers::server_answer;
use crate::walk::prevailing;
use crate::wire::{Recursion, Wanted};

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// What the servers of one zone said about one name.
#[derive(Debug, Default)]
pub(crate) struct Round {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    answer: ServerAnswer,
    meaning: Meaning,
    /// TXT values beside an alias.
    beside: Vec<Vec<u8>>,
}

/// What an answer asks us to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let mut rows: Vec<Row> = vec![];
        for (candidate, heard) in chosen.iter().zip(heard) {
            let Some(reading) = self.read(&heard, &cut.zone, name) else { continue };
            // Each name server that has the address speaks by it.
            rows.extend(candidate.servers.iter().map(|server| Row {
                answer: server_answer(server, candidate.peer, &heard, reading.reply.clone()),
                meaning: reading.meaning.clone(),
                beside: reading.beside.clone(),
            }));
        }
        rows.extend(without_address(cut));
        Round { rows }
    }

    /// None when the server was not asked.
    pub(crate) fn read(&self, heard: &Heard, zone: &Name, name: &Name) -> Option<Reading> {
        match &heard.result {
            Ok(response) => Some(self.read_response(response, heard.fell_back, zone, name)),
            Err(Silence::Blocked) => Some(Reading::of_nothing(Reply::Blocked)),
            Err(Silence::Fault(fault)) => Some(Reading::of_nothing(Reply::Fault(*fault))),
            Err(Silence::Exhausted) => None,
        }
    }

    fn read_response(&self, response: &Response, plain: bool, zone: &Name, name: &Name) -> Reading {
        let budgets = &self.shared.config.budgets;
        let chain = response.chain(name, budgets.aliases + 1);
        let end = chain.targets.last().unwrap_or(name);
        // What stands beside a CNAME is not there for anybody who asks a resolver.
        let texts = response.texts(end, budgets.txt_records, budgets.txt_bytes);
        // A denial counts inside the zone that was asked for: neither a zone above it, which lame servers like to
        // make up, nor a foreign one at the end of an alias is this server's to speak for.
        let denial = if texts.values.is_empty() { response.soa(zone, end) } else { None };
        let counts = response.authoritative() && !response.truncated() && matches!(response.rcode(), 0 | 3);
        let below = referral(response, zone, name, budgets.ns_read).filter(|_| response.rcode() == NOERROR);
        let statement = match () {
            () if !counts => Statement::Nothing,
            () if !texts.values.is_empty() => Statement::Values,
            // The end of an alias is denied by whoever names its zone.
            () if !chain.targets.is_empty() && (denial.is_none() || chain.looped) => Statement::Alias,
            () if below.is_some() || !response.denies(zone, end) => Statement::Nothing,
            () if response.rcode() == NXDOMAIN || response.has_nxname(end) => Statement::NoName,
            () => Statement::NoData,
        };
        let beside = beside_aliases(response, name, &chain, budgets);
        let meaning = match statement {
            Statement::Values | Statement::NoName | Statement::NoData => Meaning::Final(chain),
            Statement::Alias => Meaning::Alias(chain),
            Statement::Nothing => below.map_or(Meaning::Nothing, Meaning::Referral),
        };
        let reply = Reply::Message {
            rcode: response.rcode(),
            authoritative: response.authoritative(),
            truncated: response.truncated(),
            ede: response.ede(),
            values: texts.values,
            oversize: texts.oversize,
            soa: denial,
            statement,
            signatures: response.signatures(now()),
            plain,
        };
        Reading { reply, meaning, beside }
    }
}

/// What an answer says, and where it leads.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) reply: Reply,
    pub(crate) meaning: Meaning,
    /// TXT values beside an alias.
    beside: Vec<Vec<u8>>,
}

impl Reading {
    fn of_nothing(reply: Reply) -> Self {
        Self { reply, meaning: Meaning::Nothing, beside: vec![] }
    }
}

/// TXT values at the name or at an alias of the chain that goes on from there.
fn beside_aliases(response: &Response, name: &Name, chain: &Chain, budgets: &Budgets) -> Vec<Vec<u8>> {
    let passed = chain.targets.len();
    let owners = std::iter::once(name).chain(&chain.targets).take(passed);
    owners.flat_map(|owner| response.texts(owner, budgets.txt_records, budgets.txt_bytes).values).collect()
}

/// The clock that signatures are checked against.
pub(crate) fn now() -> SerialNumber {
    SerialNumber::new(u32::try_from(TokioTime::current_time()).unwrap_or(u32::MAX))
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
        Some(Row { answer, meaning: Meaning::Nothing, beside: vec![] })
    })
}

impl Round {
    /// What each name server says: nothing where it says nothing that counts, or its addresses contradict each other.
    fn votes(&self) -> Vec<&Meaning> {
        let mut votes: BTreeMap<&str, Vec<&Meaning>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.meaning != Meaning::Nothing) {
            votes.entry(&row.answer.server).or_default().push(&row.meaning);
        }
        let mut agreed = vec![];
        for meanings in votes.into_values() {
            let same = meanings.windows(2).all(|pair| pair[0].leads_where(pair[1]));
            agreed.push(if same { meanings[0] } else { &Meaning::Nothing });
        }
        agreed
    }

    /// Whether most of the name servers that know say, for their zone, that the name does not exist.
    pub(crate) fn denies(&self, zone: &Name) -> bool {
        let zone = text_of(zone);
        let mut votes: BTreeMap<&str, bool> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.meaning != Meaning::Nothing) {
            let denies = match (&row.answer.reply, &row.meaning) {
                (Reply::Message { statement: Statement::NoName, soa, .. }, Meaning::Final(chain)) => {
                    chain.targets.is_empty() && soa.as_ref().is_none_or(|soa| soa.owner == zone)
                }
                _ => false,
            };
            *votes.entry(&row.answer.server).or_insert(true) &= denies;
        }
        votes.values().filter(|denies| **denies).count() * 2 > votes.len()
    }

    /// Where most of the name servers that know lead. One alone can neither divert the look nor hold it up, and it does
    /// not matter which one answered first.
    pub(crate) fn next(&self) -> Next {
        let votes = self.votes();
        let referrals: Vec<&Delegation> = votes.iter().filter_map(|vote| vote.referral()).collect();
        let direct = votes.iter().filter(|vote| vote.chain().is_some_and(|c| c.targets.is_empty())).count();
        let aliased: Vec<&Meaning> = votes
            .iter()
            .filter(|vote| vote.chain().is_some_and(|c| !c.targets.is_empty()))
            .copied()
            .collect();
        if referrals.len() > direct + aliased.len()
            && let Some(below) = agreed(&referrals)
        {
            return Next::Below(below);
        }
        let first = |vote: &Meaning| vote.chain().and_then(|chain| chain.targets.first().cloned());
        let Some(target) = prevailing(aliased.iter().filter_map(|vote| first(vote))) else {
            return Next::Here(Chain::default());
        };
        let group: Vec<&Meaning> =
            aliased.into_iter().filter(|vote| first(vote).as_ref() == Some(&target)).collect();
        if group.len() <= direct {
            return Next::Here(Chain::default());
        }
        let chains: Vec<&Chain> = group.iter().filter_map(|vote| vote.chain()).collect();
        let whole = group.iter().all(|vote| matches!(vote, Meaning::Final(_)));
        match prevailing(chains.iter().copied()) {
            Some(chain) if whole => Next::Here(chain.clone()),
            _ => Next::Follow(common(&chains)),
        }
    }

    /// Whether any server said something that counts.
    pub(crate) fn is_answered(&self) -> bool {
        self.rows.iter().any(|row| row.meaning != Meaning::Nothing)
    }

    /// Servers that lead elsewhere than the look goes on.
    pub(crate) fn dissent(&self, next: &Next) -> Vec<ServerAnswer> {
        let other = |row: &&Row| match (next, &row.meaning) {
            (_, Meaning::Nothing) => false,
            (Next::Below(below), Meaning::Referral(referral)) => !below.has_servers_of(referral),
            (Next::Follow(chain), meaning) => {
                meaning.chain().is_none_or(|other| other.targets.first() != chain.targets.first())
            }
            // They are counted with the answers.
            (Next::Here(_), meaning) => meaning.referral().is_some(),
            (Next::Below(_), _) => true,
        };
        self.rows.iter().filter(other).map(|row| row.answer.clone()).collect()
    }

    /// TXT values beside aliases that are followed, of any server.
    pub(crate) fn beside_aliases(&self) -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> = self.rows.iter().flat_map(|row| row.beside.iter().cloned()).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    pub(crate) fn answers(self) -> Vec<ServerAnswer> {
        let mut answers: Vec<ServerAnswer> = self.rows.into_iter().map(|row| row.answer).collect();
        answers.sort_by(|a, b| (&a.server, a.address).cmp(&(&b.server, b.address)));
        answers
    }
}

impl Meaning {
    fn chain(&self) -> Option<&Chain> {
        match self {
            Self::Final(chain) | Self::Alias(chain) => Some(chain),
            Self::Referral(_) | Self::Nothing => None,
        }
    }

    fn referral(&self) -> Option<&Delegation> {
        match self {
            Self::Referral(below) => Some(below),
            _ => None,
        }
    }

    /// Whether two answers lead the same way, whatever stands there.
    fn leads_where(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Referral(one), Self::Referral(other)) => one.has_servers_of(other),
            _ => self.chain().map(|c| c.targets.first()) == other.chain().map(|c| c.targets.first()),
        }
    }
}

/// The aliases that all of the chains have in common, from the first on.
fn common(chains: &[&Chain]) -> Chain {
    let Some(first) = chains.first() else { return Chain::default() };
    let same = |index: usize| chains.iter().all(|chain| chain.targets.get(index) == first.targets.get(index));
    let length = (0..first.targets.len()).take_while(|index| same(*index)).count();
    let looped = first.looped && length == first.targets.len();
    Chain { targets: first.targets[..length].to_vec(), looped, dname: first.dname.clone() }
}
