//! Queries all servers of a zone for the TXT records, and classifies each answer.
use std::collections::BTreeMap;

use deed_diagnosis::{NetworkFault, Reply, ServerAnswer, Statement, Transport};
use futures::future::join_all;
use hickory_proto::rr::{Name, RecordType};

use crate::config::Budgets;
use crate::delegation::{Addresses, Delegation, majority_of, referral};
use crate::dnssec_clock::now;
use crate::exchange::{Exchange, NoReply};
use crate::lookup::Lookup;
use crate::most_frequent::most_frequent;
use crate::rcode::{NOERROR, NXDOMAIN};
use crate::response::{AliasChain, Response, text_of};
use crate::server_selection::server_answer;
use crate::wire::{DnsQuery, Recursion};

/// The answers of one zone's servers about one name.
#[derive(Debug, Default)]
pub(crate) struct ZoneResponses {
    rows: Vec<ServerResponse>,
}

#[derive(Debug)]
struct ServerResponse {
    answer: ServerAnswer,
    kind: ResponseType,
    /// TXT values beside an alias.
    beside_alias: Vec<Vec<u8>>,
}

/// What an answer means for the lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResponseType {
    /// Values, or their denial, at the end of these aliases.
    Answer(AliasChain),
    /// The name is an alias, and its end is not in the answer.
    Alias(AliasChain),
    /// A referral to a zone below.
    Referral(Delegation),
    /// No usable answer.
    Unusable,
}

/// What most name servers of a zone agree on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Consensus {
    /// A zone below: its servers have to be queried.
    Referral(Delegation),
    /// An alias: the name at its end has to be looked up.
    FollowAlias(AliasChain),
    /// An answer, with the aliases inside it.
    Answer(AliasChain),
}

impl Lookup<'_> {
    /// Queries every selected server at the same time.
    pub(crate) async fn query_all(&self, cut: &Delegation, name: &Name) -> ZoneResponses {
        let query = DnsQuery { name: name.clone(), rtype: RecordType::TXT, recursion: Recursion::No };
        let selected = self.selected(cut);
        let exchanges = join_all(selected.iter().map(|candidate| self.query(candidate.peer, &query))).await;
        let mut rows: Vec<ServerResponse> = vec![];
        for (candidate, exchange) in selected.iter().zip(exchanges) {
            let Some(classified) = self.classify(&exchange, &cut.zone, name) else { continue };
            // Each name server with this address has this answer.
            rows.extend(candidate.servers.iter().map(|server| ServerResponse {
                answer: server_answer(server, candidate.peer, &exchange, classified.reply.clone()),
                kind: classified.kind.clone(),
                beside_alias: classified.beside_alias.clone(),
            }));
        }
        rows.extend(without_address(cut));
        ZoneResponses { rows }
    }

    /// None when the server was not queried.
    pub(crate) fn classify(&self, exchange: &Exchange, zone: &Name, name: &Name) -> Option<ClassifiedReply> {
        match &exchange.result {
            Ok(response) => Some(self.classify_response(response, exchange.fell_back, zone, name)),
            Err(NoReply::Blocked) => Some(ClassifiedReply::unusable(Reply::Blocked)),
            Err(NoReply::Fault(fault)) => Some(ClassifiedReply::unusable(Reply::Fault(*fault))),
            Err(NoReply::BudgetSpent) => None,
        }
    }

    fn classify_response(
        &self,
        response: &Response,
        no_edns: bool,
        zone: &Name,
        name: &Name,
    ) -> ClassifiedReply {
        let budgets = &self.shared.config.budgets;
        let chain = response.chain(name, budgets.aliases + 1);
        let end = chain.end(name);
        // TXT records beside a CNAME are invisible to clients of a resolver.
        let texts = response.txt_values(end, budgets);
        // A denial counts inside the zone that was queried. The server cannot deny names for a zone above it, as lame
        // servers do, nor for a foreign zone at the end of an alias.
        let denial = if texts.values.is_empty() { response.soa(zone, end) } else { None };
        let counts = response.authoritative() && !response.truncated() && response.is_conclusive();
        let below = referral(response, zone, name, budgets.ns_read).filter(|_| response.rcode() == NOERROR);
        let statement = match () {
            () if !counts => Statement::Nothing,
            () if !texts.values.is_empty() => Statement::Values,
            // The end of an alias is denied only with an SOA of its zone.
            () if !chain.targets.is_empty() && (denial.is_none() || chain.looped) => Statement::Alias,
            () if below.is_some() || !response.denies(zone, end) => Statement::Nothing,
            () if response.rcode() == NXDOMAIN || response.has_nxname(end) => Statement::NoName,
            () => Statement::NoData,
        };
        let beside_alias = beside_aliases(response, name, &chain, budgets);
        let kind = match statement {
            Statement::Values | Statement::NoName | Statement::NoData => ResponseType::Answer(chain),
            Statement::Alias => ResponseType::Alias(chain),
            Statement::Nothing => below.map_or(ResponseType::Unusable, ResponseType::Referral),
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
            plain: no_edns,
        };
        ClassifiedReply { reply, kind, beside_alias }
    }
}

/// An answer for the observation, and its meaning for the lookup.
#[derive(Debug)]
pub(crate) struct ClassifiedReply {
    pub(crate) reply: Reply,
    pub(crate) kind: ResponseType,
    /// TXT values beside an alias.
    beside_alias: Vec<Vec<u8>>,
}

impl ClassifiedReply {
    fn unusable(reply: Reply) -> Self {
        Self { reply, kind: ResponseType::Unusable, beside_alias: vec![] }
    }
}

/// TXT values at the name, or at an alias of the chain that leads on from there.
fn beside_aliases(response: &Response, name: &Name, chain: &AliasChain, budgets: &Budgets) -> Vec<Vec<u8>> {
    let passed = chain.targets.len();
    let owners = std::iter::once(name).chain(&chain.targets).take(passed);
    owners.flat_map(|owner| response.txt_values(owner, budgets).values).collect()
}

/// Servers whose address was resolved without success.
fn without_address(cut: &Delegation) -> impl Iterator<Item = ServerResponse> {
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
        Some(ServerResponse { answer, kind: ResponseType::Unusable, beside_alias: vec![] })
    })
}

impl ZoneResponses {
    /// One vote per name server: unusable where its addresses contradict each other. Servers without a usable answer
    /// have no vote.
    fn votes(&self) -> Vec<&ResponseType> {
        let mut votes: BTreeMap<&str, Vec<&ResponseType>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.kind != ResponseType::Unusable) {
            votes.entry(&row.answer.server).or_default().push(&row.kind);
        }
        let mut agreed = vec![];
        for kinds in votes.into_values() {
            let same = kinds.windows(2).all(|pair| pair[0].leads_same_way(pair[1]));
            agreed.push(if same { kinds[0] } else { &ResponseType::Unusable });
        }
        agreed
    }

    /// Whether most of the name servers with a vote say, for their zone, that the name does not exist.
    pub(crate) fn denies(&self, zone: &Name) -> bool {
        let zone = text_of(zone);
        let mut votes: BTreeMap<&str, bool> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.kind != ResponseType::Unusable) {
            let denies = match (&row.answer.reply, &row.kind) {
                (Reply::Message { statement: Statement::NoName, soa, .. }, ResponseType::Answer(chain)) => {
                    chain.targets.is_empty() && soa.as_ref().is_none_or(|soa| soa.owner == zone)
                }
                _ => false,
            };
            *votes.entry(&row.answer.server).or_insert(true) &= denies;
        }
        votes.values().filter(|denies| **denies).count() * 2 > votes.len()
    }

    /// What most of the name servers with a vote agree on. One server alone can neither divert the lookup nor block
    /// it, and the order of answers does not matter.
    pub(crate) fn consensus(&self) -> Consensus {
        let votes = self.votes();
        let referrals: Vec<&Delegation> = votes.iter().filter_map(|vote| vote.referral()).collect();
        let direct = votes.iter().filter(|vote| vote.chain().is_some_and(|c| c.targets.is_empty())).count();
        let aliased: Vec<&ResponseType> = votes
            .iter()
            .filter(|vote| vote.chain().is_some_and(|c| !c.targets.is_empty()))
            .copied()
            .collect();
        if referrals.len() > direct + aliased.len()
            && let Some(below) = majority_of(&referrals)
        {
            return Consensus::Referral(below);
        }
        let first = |vote: &ResponseType| vote.chain().and_then(|chain| chain.targets.first().cloned());
        let Some(target) = most_frequent(aliased.iter().filter_map(|vote| first(vote))) else {
            return Consensus::Answer(AliasChain::default());
        };
        let group: Vec<&ResponseType> =
            aliased.into_iter().filter(|vote| first(vote).as_ref() == Some(&target)).collect();
        if group.len() <= direct {
            return Consensus::Answer(AliasChain::default());
        }
        let chains: Vec<&AliasChain> = group.iter().filter_map(|vote| vote.chain()).collect();
        let whole = group.iter().all(|vote| matches!(vote, ResponseType::Answer(_)));
        match most_frequent(chains.iter().copied()) {
            Some(chain) if whole => Consensus::Answer(chain.clone()),
            _ => Consensus::FollowAlias(common_prefix(&chains)),
        }
    }

    /// Whether any server gave a usable answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.rows.iter().any(|row| row.kind != ResponseType::Unusable)
    }

    /// Answers of servers that contradict the consensus.
    pub(crate) fn dissent(&self, consensus: &Consensus) -> Vec<ServerAnswer> {
        let other = |row: &&ServerResponse| match (consensus, &row.kind) {
            (_, ResponseType::Unusable) => false,
            (Consensus::Referral(below), ResponseType::Referral(referral)) => !below.has_servers_of(referral),
            (Consensus::FollowAlias(chain), kind) => {
                kind.chain().is_none_or(|other| other.targets.first() != chain.targets.first())
            }
            // They are counted with the answers.
            (Consensus::Answer(_), kind) => kind.referral().is_some(),
            (Consensus::Referral(_), _) => true,
        };
        self.rows.iter().filter(other).map(|row| row.answer.clone()).collect()
    }

    /// TXT values beside aliases that are followed, of any server.
    pub(crate) fn beside_aliases(&self) -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> =
            self.rows.iter().flat_map(|row| row.beside_alias.iter().cloned()).collect();
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

impl ResponseType {
    fn chain(&self) -> Option<&AliasChain> {
        match self {
            Self::Answer(chain) | Self::Alias(chain) => Some(chain),
            Self::Referral(_) | Self::Unusable => None,
        }
    }

    fn referral(&self) -> Option<&Delegation> {
        match self {
            Self::Referral(below) => Some(below),
            _ => None,
        }
    }

    /// Whether two answers lead to the same place, whatever their values are.
    fn leads_same_way(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Referral(one), Self::Referral(other)) => one.has_servers_of(other),
            _ => self.chain().map(|c| c.targets.first()) == other.chain().map(|c| c.targets.first()),
        }
    }
}

/// The common beginning of all alias chains.
fn common_prefix(chains: &[&AliasChain]) -> AliasChain {
    let Some(first) = chains.first() else { return AliasChain::default() };
    let same = |index: usize| chains.iter().all(|chain| chain.targets.get(index) == first.targets.get(index));
    let length = (0..first.targets.len()).take_while(|index| same(*index)).count();
    let looped = first.looped && length == first.targets.len();
    AliasChain { targets: first.targets[..length].to_vec(), looped, dname: first.dname.clone() }
}
