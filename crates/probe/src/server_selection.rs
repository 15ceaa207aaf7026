//! Server selection: which addresses of a zone are queried, and in which order.
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use deed_diagnosis::{Reply, ServerAnswer};
use hickory_proto::rr::Name;

use crate::delegation::{Addresses, Delegation, Source};
use crate::egress::Peer;
use crate::exchange::Exchange;
use crate::lookup::Lookup;
use crate::response::text_of;

/// One address, and the name servers that have it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) servers: Vec<Name>,
    pub(crate) peer: Peer,
    permitted: bool,
}

/// The answer of a name server at one of its addresses.
pub(crate) fn server_answer(server: &Name, peer: Peer, exchange: &Exchange, reply: Reply) -> ServerAnswer {
    ServerAnswer {
        server: text_of(server),
        address: Some(peer.address()),
        transport: exchange.transport,
        reply,
        ms: exchange.ms,
    }
}

impl Lookup<'_> {
    /// The addresses for the last query, limited by the budget: every server once before any is queried at a second
    /// address; refused addresses come last and are only reported. The selection is the same in each probe of a zone,
    /// because it decides what is found.
    pub(crate) fn selected(&self, cut: &Delegation) -> Vec<Candidate> {
        let mut candidates = self.candidates(cut);
        // A stable sort: permitted addresses keep their order.
        candidates.sort_by_key(|c| !c.permitted);
        candidates.truncate(self.shared.config.budgets.servers);
        candidates
    }

    /// The addresses to try for a step, in random order; families alternate so that one broken family costs little.
    pub(crate) fn in_random_order(&self, cut: &Delegation, most: usize) -> Vec<Peer> {
        let mut peers: Vec<Peer> =
            self.candidates(cut).into_iter().filter(|c| c.permitted).map(|c| c.peer).collect();
        peers.sort_by_cached_key(|peer| self.order.hash_one(peer));
        let (v4, v6): (Vec<Peer>, Vec<Peer>) = peers.into_iter().partition(|p| p.address().is_ipv4());
        let longest = v4.len().max(v6.len());
        (0..longest).flat_map(|i| [v4.get(i), v6.get(i)]).flatten().copied().take(most).collect()
    }

    /// The addresses in an order that is the same in each probe, for answers that are shown to people.
    pub(crate) fn in_canonical_order(&self, cut: &Delegation) -> Vec<Peer> {
        self.candidates(cut).into_iter().filter(|c| c.permitted).map(|c| c.peer).collect()
    }

    /// One address of each name server that can be queried, in canonical order of their names.
    pub(crate) fn one_per_server(&self, cut: &Delegation) -> Vec<(Name, Peer)> {
        let mut each: Vec<(Name, Peer)> = vec![];
        for candidate in self.candidates(cut).into_iter().filter(|candidate| candidate.permitted) {
            for server in &candidate.servers {
                if !each.iter().any(|(name, _)| name == server) {
                    each.push((server.clone(), candidate.peer));
                }
            }
        }
        each
    }

    /// All addresses without duplicates: the first of each server, then the second of each, and so on. IPv6 only
    /// where there is a route, unless there is nothing else.
    fn candidates(&self, cut: &Delegation) -> Vec<Candidate> {
        let mut known: Vec<(&Name, &Vec<IpAddr>)> = cut
            .servers
            .iter()
            .filter_map(|s| match &s.addresses {
                Addresses::Known(addresses) => Some((&s.name, addresses)),
                _ => None,
            })
            .collect();
        known.sort_unstable_by_key(|(name, _)| *name);
        let rounds = known.iter().map(|(_, addresses)| addresses.len()).max().unwrap_or(0);
        let pairs = (0..rounds)
            .flat_map(|round| known.iter().filter_map(move |(name, all)| Some((*name, *all.get(round)?))));
        let mut candidates: Vec<Candidate> = vec![];
        for (name, address) in pairs {
            match candidates.iter_mut().find(|c| c.peer.address() == address.to_canonical()) {
                // One server under two names is queried once and has two votes, because the parent lists two names.
                Some(known) if known.servers.contains(name) => {}
                Some(known) => known.servers.push(name.clone()),
                None => candidates.push(self.candidate(name, address, cut.source)),
            }
        }
        if candidates.iter().any(|c| c.permitted && c.peer.address().is_ipv4()) {
            let transport = &self.shared.transport;
            candidates.retain(|c| transport.permit(c.peer).is_none_or(|to| transport.has_route(to)));
        }
        candidates
    }

    fn candidate(&self, server: &Name, address: IpAddr, source: Source) -> Candidate {
        let at = SocketAddr::new(address, self.shared.config.port);
        let peer = match source {
            Source::Configured => Peer::Configured(at),
            Source::Dns => Peer::FromDns(at),
        };
        let permitted = self.shared.transport.permit(peer).is_some();
        if !permitted {
            self.shared.transport.metrics.record_refused();
        }
        Candidate { servers: vec![server.clone()], peer, permitted }
    }
}
