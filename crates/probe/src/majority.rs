//! Majority decisions: delegations and addresses in zones below the registries, where no single name server may
//! decide.
//!
//! Otherwise the operator of one name server of a zone, perhaps of one whose name expired and was registered anew,
//! could divert a whole probe to other servers whenever that server happens to be queried first.
use deed_claims::name::is_registry;
use deed_diagnosis::{Reply, ServerAnswer};
use futures::future::join_all;
use hickory_proto::rr::Name;

use crate::delegation::{Delegation, Step, StepKind, majority_of, step};
use crate::egress::Peer;
use crate::exchange::{Exchange, NoReply};
use crate::lookup::Lookup;
use crate::most_frequent::most_frequent;
use crate::response::{Response, text_of};
use crate::server_selection::server_answer;
use crate::staggered::{ServerFailure, StaggeredQueries, ZoneFailure, usable};
use crate::wire::DnsQuery;

impl Lookup<'_> {
    /// The step that most of a zone's name servers agree on; answers that differ are kept with the zone below as
    /// dissent.
    pub(crate) async fn majority_step(
        &self,
        cut: &Delegation,
        query: &DnsQuery,
    ) -> Result<Step, ZoneFailure> {
        let exchanges = self.query_each(cut, query).await?;
        let most = self.shared.config.budgets.ns_read;
        let mut answers: Vec<(ServerAnswer, Step)> = vec![];
        let mut failures = vec![];
        for (server, peer, exchange) in exchanges {
            match &exchange.result {
                Ok(response) => match step(response, &cut.zone, &query.name, most) {
                    Some(step) => {
                        answers.push((self.answer_of(&server, peer, &exchange, &cut.zone, query), step));
                    }
                    None => failures.push(ServerFailure::Rcode(response.rcode())),
                },
                Err(NoReply::BudgetSpent) => return Err(ZoneFailure::BudgetSpent),
                Err(NoReply::Fault(fault)) => failures.push(ServerFailure::Fault(*fault)),
                Err(NoReply::Blocked) => {}
            }
        }
        let kind = most_frequent(answers.iter().map(|(_, step)| step.kind()))
            .ok_or(ZoneFailure::Unusable(failures))?;
        let delegations: Vec<&Delegation> =
            answers.iter().filter_map(|(_, step)| step.delegation()).collect();
        let below = majority_of(&delegations).filter(|_| kind == StepKind::Cut);
        let Some(mut below) = below else {
            let step = answers.into_iter().find(|(_, step)| step.kind() == kind);
            return step.map(|(_, step)| step).ok_or(ZoneFailure::Blocked);
        };
        below.dissent.clone_from(&cut.dissent);
        let other = |step: &Step| step.delegation().is_none_or(|other| !other.has_servers_of(&below));
        let dissent: Vec<ServerAnswer> =
            answers.iter().filter(|(_, step)| other(step)).map(|(answer, _)| answer.clone()).collect();
        below.dissent.extend(dissent);
        let shared = answers.iter().any(|(_, step)| matches!(step, Step::Shared(_)));
        Ok(if shared { Step::Shared(below) } else { Step::Referred(below) })
    }

    /// Queries one address of each name server at the same time.
    async fn query_each(
        &self,
        cut: &Delegation,
        query: &DnsQuery,
    ) -> Result<Vec<(Name, Peer, Exchange)>, ZoneFailure> {
        let peers = self.peers_to_compare(cut)?;
        let exchanges = peers.into_iter().map(|(server, peer)| async move {
            let exchange = self.query(peer, query).await;
            (server, peer, exchange)
        });
        Ok(join_all(exchanges).await)
    }

    fn answer_of(
        &self,
        server: &Name,
        peer: Peer,
        exchange: &Exchange,
        zone: &Name,
        query: &DnsQuery,
    ) -> ServerAnswer {
        let reply =
            self.classify(exchange, zone, &query.name).map_or(Reply::Blocked, |classified| classified.reply);
        server_answer(server, peer, exchange, reply)
    }

    /// The answer of a zone: for a registry the first usable one, below the registries what [`Self::agreed_by_two`]
    /// finds.
    ///
    /// `read` extracts the part of an answer that counts, in a form that can be compared.
    pub(crate) async fn agreed_answer<T: Ord>(
        &self,
        cut: &Delegation,
        query: &DnsQuery,
        read: impl Fn(&Response) -> Option<T>,
    ) -> Result<T, ZoneFailure> {
        if is_registry(&text_of(&cut.zone)) {
            self.first_usable(cut, query, |response| read(&response)).await.map(|(answer, _)| answer)
        } else {
            self.agreed_by_two(cut, query, read).await
        }
    }

    /// The answer that two name servers agree on; where the first two differ, the most frequent answer of all. One
    /// answer is enough where no other name server gives any.
    async fn agreed_by_two<T: Ord>(
        &self,
        cut: &Delegation,
        query: &DnsQuery,
        read: impl Fn(&Response) -> Option<T>,
    ) -> Result<T, ZoneFailure> {
        let peers = self.peers_to_compare(cut)?;
        let queries = peers.into_iter().map(|(_, peer)| self.query(peer, query));
        let mut queries = StaggeredQueries::new(queries, self.patience());
        queries.start(AGREE);
        queries.delay_next();
        let (mut answers, mut failures): (Vec<T>, Vec<ServerFailure>) = (vec![], vec![]);
        loop {
            let missing = AGREE.saturating_sub(answers.len() + queries.running());
            let missing = missing.max(usize::from(queries.is_due()));
            // Once two answers differ, all servers are queried.
            queries.start(if differ(&answers) { usize::MAX } else { missing });
            if queries.is_due() {
                queries.delay_next();
            }
            if queries.running() == 0 {
                answers.sort_unstable();
                return most_frequent(answers.into_iter()).ok_or(ZoneFailure::Unusable(failures));
            }
            let Some(exchange) = queries.next().await else { continue };
            answers.extend(usable(exchange.result, |response| read(&response), &mut failures)?);
            if answers.len() >= AGREE && !differ(&answers) {
                return Ok(answers.swap_remove(0));
            }
        }
    }

    /// One address of each name server, at most as many as the budget says.
    fn peers_to_compare(&self, cut: &Delegation) -> Result<Vec<(Name, Peer)>, ZoneFailure> {
        let mut peers = self.one_per_server(cut);
        if peers.is_empty() {
            return Err(ZoneFailure::Blocked);
        }
        peers.truncate(self.shared.config.budgets.servers);
        Ok(peers)
    }
}

/// Name servers that have to agree before the others need not be queried.
const AGREE: usize = 2;

fn differ<T: PartialEq>(answers: &[T]) -> bool {
    answers.windows(2).any(|pair| pair[0] != pair[1])
}
