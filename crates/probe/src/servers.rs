//! Chooses which addresses of a zone are asked, and in which order.
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use deed_claims::{Reply, ServerAnswer};
use hickory_proto::rr::Name;

use crate::delegation::{Addresses, Delegation, Source};
use crate::egress::Peer;
use crate::exchange::Heard;
use crate::inquiry::Inquiry;
use crate::response::text_of;

/// One address, and the name servers that have it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) servers: Vec<Name>,
    pub(crate) peer: Peer,
    permitted: bool,
}

/// What a name server answered at one of its addresses.
pub(crate) fn server_answer(server: &Name, peer: Peer, heard: &Heard, reply: Reply) -> ServerAnswer {
    ServerAnswer {
        server: text_of(server),
        address: Some(peer.address()),
        transport: heard.travelled,
        reply,
        ms: heard.ms,
    }
}

impl Inquiry<'_> {
    /// The addresses to ask for the last question, at most as many as the budget says: every server once before
    /// any is asked at a second address, and refused ones only to be reported. The same for the same zone: which ones
    /// are asked decides what is found.
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

    /// The addresses to ask in an order that is the same in each look, where what one server says is told to people.
    pub(crate) fn in_order(&self, cut: &Delegation) -> Vec<Peer> {
        self.candidates(cut).into_iter().filter(|c| c.permitted).map(|c| c.peer).collect()
    }

    /// One address of each name server that can be asked, in canonical order of their names.
    pub(crate) fn one_of_each(&self, cut: &Delegation) -> Vec<(Name, Peer)> {
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

    /// All addresses, each once: the first of each server, then the second of each, and so on. IPv6 only where it leads
    /// somewhere, unless there is nothing else.
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
                // One server under two names is asked once, and has a vote for each: the parent chose the names.
                Some(known) if known.servers.contains(name) => {}
                Some(known) => known.servers.push(name.clone()),
                None => candidates.push(self.candidate(name, address, cut.source)),
            }
        }
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
        Candidate { servers: vec![server.clone()], peer, permitted }
    }
}
