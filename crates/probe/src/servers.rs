//! Chooses which addresses of a zone are asked, and in which order.
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;

use crate::delegation::{Addresses, Delegation, Source};
use crate::egress::Peer;
use crate::inquiry::Inquiry;

/// One address of one name server.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) server: Name,
    pub(crate) peer: Peer,
    permitted: bool,
}

impl Inquiry<'_> {
    /// The addresses to ask for the last question, at most as many as the budget says: every server once before
    /// any is asked at a second address, and refused ones only to be reported.
    pub(crate) fn chosen(&self, cut: &Delegation) -> Vec<Candidate> {
        let mut candidates = self.candidates(cut);
        // Stable: permitted ones keep the order of rounds.
        candidates.sort_by_key(|c| !c.permitted);
        candidates.truncate(self.shared.config.budgets.servers);
        candidates
    }

    /// The addresses to try for a step, in random order, families alternating so that one broken family costs
    /// little.
    pub(crate) fn in_turn(&self, cut: &Delegation, most: usize) -> Vec<Peer> {
        let mut peers: Vec<Peer> =
            self.candidates(cut).into_iter().filter(|c| c.permitted).map(|c| c.peer).collect();
        peers.sort_by_cached_key(|peer| self.order.hash_one(peer));
        let (v4, v6): (Vec<Peer>, Vec<Peer>) = peers.into_iter().partition(|p| p.address().is_ipv4());
        let longest = v4.len().max(v6.len());
        (0..longest).flat_map(|i| [v4.get(i), v6.get(i)]).flatten().copied().take(most).collect()
    }

    /// All addresses: the first of each server, then the second of each, and so on. IPv6 only where it leads
    /// somewhere, unless there is nothing else.
    fn candidates(&self, cut: &Delegation) -> Vec<Candidate> {
        let known: Vec<(&Name, &Vec<IpAddr>)> = cut
            .servers
            .iter()
            .filter_map(|s| match &s.addresses {
                Addresses::Known(addresses) => Some((&s.name, addresses)),
                _ => None,
            })
            .collect();
        let rounds = known.iter().map(|(_, addresses)| addresses.len()).max().unwrap_or(0);
        let mut candidates: Vec<Candidate> = (0..rounds)
            .flat_map(|round| known.iter().filter_map(move |(name, all)| Some((*name, *all.get(round)?))))
            .map(|(name, address)| self.candidate(name, address, cut.source))
            .collect();
        // One server under two names has one voice.
        let mut seen = HashSet::new();
        candidates.retain(|c| seen.insert(c.peer.address()));
        if candidates.iter().any(|c| c.permitted && c.peer.address().is_ipv4()) {
            let transport = &self.shared.transport;
            candidates.retain(|c| transport.open(c.peer).is_none_or(|door| transport.has_route(door)));
        }
        candidates
    }

    fn candidate(&self, server: &Name, address: IpAddr, source: Source) -> Candidate {
        let at = SocketAddr::new(address, self.shared.config.port);
        let peer = match source {
            Source::Configured => Peer::Configured(at),
            Source::Dns => Peer::Found(at),
        };
        let permitted = self.shared.transport.open(peer).is_some();
        if !permitted {
            self.shared.transport.told.refused();
        }
        Candidate { server: server.clone(), peer, permitted }
    }
}
