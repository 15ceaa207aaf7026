//! Finds the zone around a name from the parents' side: from the root downwards, a label at a time.
use std::sync::Arc;

use deed_claims::{NetworkFault, ProbeFailure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::addresses::{Need, settled};
use crate::config::DelegationSource;
use crate::delegation::{Delegation, Step, resolved, step};
use crate::egress::Peer;
use crate::exchange::{Heard, Silence};
use crate::inquiry::Inquiry;
use crate::response::Response;
use crate::wire::{Recursion, Wanted};

/// How far down a walk looks for cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Up to the name's parent: the question that follows finds a cut at the name itself.
    Parents,
    /// Up to the name itself.
    Whole,
}

/// Whether this walk serves another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nesting {
    Outer,
    /// It looks for the address of a name server, and may not start a third one.
    Inner,
}

/// Servers of a parent tried for one step.
const IN_TURN: usize = 4;

/// Why a zone's servers brought the walk no further.
#[derive(Debug)]
pub(crate) enum Dead {
    Exhausted,
    /// Every address is refused by the egress filter.
    Blocked,
    Heard(Vec<Heard>),
}

impl Inquiry<'_> {
    /// The zone around a name as its parents tell it, not necessarily with an address.
    pub(crate) async fn enclosing(
        &self,
        target: &Name,
        reach: Reach,
        nesting: Nesting,
    ) -> Result<Arc<Delegation>, ProbeFailure> {
        let labels = target.iter().len();
        let last = match reach {
            Reach::Parents => labels.saturating_sub(1),
            Reach::Whole => labels,
        };
        let (mut at, mut cut) = self.start(target, last).await?;
        while at < last {
            cut = self.with_addresses(cut, Need::Any, nesting).await;
            if !cut.has_addresses() {
                break;
            }
            let child = target.trim_to(at + 1);
            match self.descend(&cut, &child).await {
                Ok(Some(below)) => {
                    self.refer(nesting)?;
                    at = below.zone.iter().len();
                    cut = Arc::new(below);
                    self.shared.cache.remember(self.mode, cut.zone.clone(), &cut);
                }
                Ok(None) => {
                    at += 1;
                    self.shared.cache.remember(self.mode, child, &cut);
                }
                Err(Halt::Ends) => {
                    self.shared.cache.remember(self.mode, target.trim_to(last), &cut);
                    break;
                }
                // Below the top-level domains the zone itself may be meant, and asking all of its servers
                // tells more about each than one failed step.
                Err(Halt::Dead(Dead::Blocked)) => break,
                Err(Halt::Dead(Dead::Heard(_))) if cut.zone.iter().len() > 1 => break,
                Err(Halt::Dead(dead)) => return Err(failure(&dead, &cut.zone)),
            }
        }
        Ok(cut)
    }

    /// Where a walk can begin: at the nearest zone remembered, or at the top.
    async fn start(&self, target: &Name, last: usize) -> Result<(usize, Arc<Delegation>), ProbeFailure> {
        if let Some((name, cut)) = self.shared.cache.nearest(self.mode, target) {
            return Ok((name.iter().len(), cut));
        }
        match self.shared.config.delegation {
            DelegationSource::FromParent => Ok((0, Arc::clone(&self.shared.root))),
            DelegationSource::FromResolver => Ok((last, self.from_resolver(target, last).await?)),
        }
    }

    /// One step: `Some` zone below, or none when the child is just a name.
    async fn descend(&self, cut: &Delegation, child: &Name) -> Result<Option<Delegation>, Halt> {
        let wanted = Wanted { name: child.clone(), rtype: RecordType::NS, recursion: Recursion::No };
        let most = self.shared.config.budgets.ns_read;
        let read = |response: Response| step(&response, &cut.zone, child, most);
        let (step, peer) = self.first_of(cut, &wanted, read).await.map_err(Halt::Dead)?;
        debug!(labels = child.iter().len(), from = %peer.address(), step = step.kind(), "step");
        match step {
            Step::Referred(below) => Ok(Some(below)),
            Step::Shared(mut below) => {
                self.fill_in(&mut below, &cut.zone, peer).await;
                Ok(Some(below))
            }
            Step::NoCut => Ok(None),
            Step::Ends => Err(Halt::Ends),
        }
    }

    /// The first usable answer of a zone's servers, one after the other; a slow one does not hold up the next.
    pub(crate) async fn first_of<T>(
        &self,
        cut: &Delegation,
        wanted: &Wanted,
        read: impl Fn(Response) -> Option<T>,
    ) -> Result<(T, Peer), Dead> {
        let mut waiting = self.in_turn(cut).into_iter();
        if waiting.len() == 0 {
            return Err(Dead::Blocked);
        }
        let patience = self.shared.config.udp_timeout / 3;
        let mut running = FuturesUnordered::new();
        let mut heard = vec![];
        let mut next = Instant::now();
        loop {
            if running.is_empty() || Instant::now() >= next {
                if let Some(peer) = waiting.next() {
                    running.push(async move { (peer, self.ask(peer, wanted).await) });
                    next = Instant::now() + patience;
                } else if running.is_empty() {
                    return Err(Dead::Heard(heard));
                }
            }
            let answered = tokio::select! {
                answered = running.next() => answered,
                () = sleep_until(next), if waiting.len() > 0 => None,
            };
            let Some((peer, mut answer)) = answered else { continue };
            match answer.result {
                Ok(response) => {
                    let rcode = response.rcode();
                    if let Some(usable) = read(response) {
                        return Ok((usable, peer));
                    }
                    heard.push(Unusable::Rcode(rcode));
                }
                Err(Silence::Exhausted) => return Err(Dead::Exhausted),
                Err(silence) => {
                    answer.result = Err(silence);
                    heard.push(answer);
                }
            }
            next = Instant::now();
        }
    }
}
