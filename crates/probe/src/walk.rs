//! Finds the zone around a name from the parents' side: from the root downwards, a label at a time.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deed_claims::name::is_registry;
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
use crate::exchange::Silence;
use crate::inquiry::Inquiry;
use crate::response::{Response, text_of};
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
    /// It looks for the address of a name server, and may start another one where it comes by a zone whose
    /// servers come without glue too.
    Inner,
    /// It was started by an inner one, and starts none: or zones without glue could send us round all of the DNS.
    Innermost,
}

/// Where a walk ended.
pub(crate) struct WalkEnd {
    /// The deepest zone around the name that was found.
    pub(crate) cut: Arc<Delegation>,
    /// The name at or above the one looked for that does not exist, by what a server of that zone said.
    pub(crate) denied: Option<Name>,
}

/// Steps of one label, and steps in all, before the whole name is asked for (RFC 9156 §2.3).
const ONE_LABEL: usize = 4;
const STEPS: usize = 10;

/// How many labels the next step goes down, of those that are left: names that somebody made long on purpose must
/// not cost a question for each label.
fn stride(steps: usize, left: usize) -> usize {
    if steps < ONE_LABEL { 1 } else { left.div_ceil(STEPS.saturating_sub(steps).max(1)) }
}

/// Servers of a parent tried for one step.
pub(crate) const IN_TURN: usize = 4;

/// Why a zone's servers brought the walk no further.
#[derive(Debug)]
pub(crate) enum Dead {
    Exhausted,
    /// Every address is refused by the egress filter.
    Blocked,
    Useless(Vec<Useless>),
}

/// What one server said that leads nowhere.
#[derive(Debug)]
pub(crate) enum Useless {
    Rcode(u16),
    Fault(NetworkFault),
}

/// Why a walk takes no further step.
enum Halt {
    /// The child does not exist.
    Denied,
    /// The child is an alias.
    Alias,
    Dead(Dead),
}

impl Inquiry<'_> {
    /// The zone around a name as its parents tell it, not necessarily with an address.
    pub(crate) async fn enclosing(
        &self,
        target: &Name,
        reach: Reach,
        nesting: Nesting,
    ) -> Result<Arc<Delegation>, ProbeFailure> {
        self.walk(target, reach, nesting).await.map(|end| end.cut)
    }

    /// The same, with the name at which the walk was told that nothing exists.
    pub(crate) async fn walk(
        &self,
        target: &Name,
        reach: Reach,
        nesting: Nesting,
    ) -> Result<WalkEnd, ProbeFailure> {
        let labels = target.iter().len();
        let last = match reach {
            Reach::Parents => labels.saturating_sub(1),
            Reach::Whole => labels,
        };
        let (mut at, WalkEnd { mut cut, denied }) = self.start(target, last).await?;
        let mut steps = 0;
        while at < last {
            cut = self.with_addresses(cut, Need::Any, nesting).await;
            if !cut.has_addresses() {
                break;
            }
            let labels = at + stride(steps, last - at);
            steps += 1;
            let child = target.trim_to(labels);
            match self.descend(&cut, &child).await {
                Ok(Some(below)) => {
                    self.refer(nesting)?;
                    at = below.zone.iter().len();
                    cut = Arc::new(below);
                    self.shared.cache.remember(self.mode, cut.zone.clone(), &cut);
                }
                Ok(None) => {
                    at = labels;
                    self.shared.cache.remember(self.mode, child, &cut);
                }
                // Not remembered: what does not exist may be registered the next moment.
                Err(Halt::Denied) => return Ok(WalkEnd { cut, denied: Some(child) }),
                Err(Halt::Alias) => {
                    self.shared.cache.remember(self.mode, target.trim_to(last), &cut);
                    break;
                }
                // Below the top-level domains the zone itself may be meant, and asking all of its servers
                // tells more about each than one failed step.
                Err(Halt::Dead(Dead::Blocked)) => break,
                Err(Halt::Dead(Dead::Useless(_))) if cut.zone.iter().len() > 1 => break,
                Err(Halt::Dead(Dead::Useless(useless))) => return Err(failure(&useless, &cut.zone)),
                Err(Halt::Dead(Dead::Exhausted)) => return Err(self.budget.failure()),
            }
        }
        Ok(WalkEnd { cut, denied })
    }

    /// Where a walk can begin: at the nearest zone remembered, or at the top.
    async fn start(&self, target: &Name, last: usize) -> Result<(usize, WalkEnd), ProbeFailure> {
        if let Some((name, cut)) = self.shared.cache.nearest(self.mode, target) {
            return Ok((name.iter().len(), WalkEnd { cut, denied: None }));
        }
        match self.shared.config.delegation {
            DelegationSource::FromParent => {
                Ok((0, WalkEnd { cut: Arc::clone(&self.shared.root), denied: None }))
            }
            DelegationSource::FromResolver => Ok((last, self.ask_for_zone(target, last).await?)),
        }
    }

    /// One step: `Some` zone below, or none when the child is just a name.
    async fn descend(&self, cut: &Delegation, child: &Name) -> Result<Option<Delegation>, Halt> {
        let wanted = Wanted { name: child.clone(), rtype: RecordType::NS, recursion: Recursion::No };
        let step = if is_registry(&text_of(&cut.zone)) {
            let most = self.shared.config.budgets.ns_read;
            let read = |response: Response| step(&response, &cut.zone, child, most);
            self.first_of(cut, &wanted, read).await.map_err(Halt::Dead)?.0
        } else {
            self.step_of_most(cut, &wanted).await.map_err(Halt::Dead)?
        };
        debug!(labels = child.iter().len(), step = step.kind(), "step");
        match step {
            Step::Referred(below) => Ok(Some(below)),
            Step::Shared(mut below) => {
                self.fill_in(&mut below, cut).await;
                Ok(Some(below))
            }
            Step::NoCut => Ok(None),
            Step::Denied => Err(Halt::Denied),
            Step::Alias => Err(Halt::Alias),
        }
    }

    /// The first usable answer of a zone's servers, one after the other; a slow one does not hold up the next.
    pub(crate) async fn first_of<T>(
        &self,
        cut: &Delegation,
        wanted: &Wanted,
        read: impl Fn(Response) -> Option<T>,
    ) -> Result<(T, Peer), Dead> {
        self.first_among(self.in_turn(cut, IN_TURN), wanted, read).await
    }

    /// The same of these servers, in this order.
    pub(crate) async fn first_among<T>(
        &self,
        peers: Vec<Peer>,
        wanted: &Wanted,
        read: impl Fn(Response) -> Option<T>,
    ) -> Result<(T, Peer), Dead> {
        let mut waiting = peers.into_iter();
        if waiting.len() == 0 {
            return Err(Dead::Blocked);
        }
        let patience = self.shared.config.udp_timeout / 3;
        let mut running = FuturesUnordered::new();
        let mut useless = vec![];
        let mut next = Instant::now();
        loop {
            if running.is_empty() || Instant::now() >= next {
                match waiting.next() {
                    Some(peer) => running.push(async move { (peer, self.ask(peer, wanted).await.result) }),
                    None if running.is_empty() => return Err(Dead::Useless(useless)),
                    None => {}
                }
                next = Instant::now() + patience;
            }
            let answered = tokio::select! {
                answered = running.next() => answered,
                () = sleep_until(next), if waiting.len() > 0 => None,
            };
            let Some((peer, result)) = answered else { continue };
            match result {
                Ok(response) => {
                    let rcode = response.rcode();
                    match read(response) {
                        Some(usable) => return Ok((usable, peer)),
                        None => useless.push(Useless::Rcode(rcode)),
                    }
                }
                Err(Silence::Exhausted) => return Err(Dead::Exhausted),
                Err(Silence::Fault(fault)) => useless.push(Useless::Fault(fault)),
                Err(Silence::Blocked) => {}
            }
            next = Instant::now();
        }
    }

    /// Counts a referral of the outer walk; the inner ones are bounded by the questions they may send.
    pub(crate) fn refer(&self, nesting: Nesting) -> Result<(), ProbeFailure> {
        if nesting != Nesting::Outer {
            return Ok(());
        }
        let before = self.referrals.fetch_add(1, Ordering::Relaxed);
        if before < self.shared.config.budgets.referrals {
            Ok(())
        } else {
            Err(ProbeFailure::BudgetExhausted)
        }
    }

    /// The zone around the name's parent as trusted resolvers tell it. Never asked for the name itself: what a
    /// resolver learns of a name too early it keeps.
    async fn ask_for_zone(&self, target: &Name, last: usize) -> Result<WalkEnd, ProbeFailure> {
        let mut cut = Arc::clone(&self.shared.root);
        for labels in 1..=last {
            let child = target.trim_to(labels);
            let wanted = Wanted { name: child.clone(), rtype: RecordType::NS, recursion: Recursion::Desired };
            let response = match self.ask_resolvers(&wanted).await {
                Some(response) if settled(&response) => response,
                Some(response) => return Err(ProbeFailure::ParentRefused(response.rcode())),
                None if self.budget.is_exhausted() => return Err(self.budget.failure()),
                None => return Err(ProbeFailure::Internal("no trusted resolver answered".to_owned())),
            };
            if let Some(below) = resolved(&response, &child, self.shared.config.budgets.ns_read) {
                cut = Arc::new(below);
            } else if response.rcode() != 0 {
                // Hearsay, which the zone's own servers have to confirm; and not remembered.
                return Ok(WalkEnd { cut, denied: Some(child) });
            } else if response.answers().next().is_some() {
                // An alias: nothing lies below.
                break;
            }
        }
        self.shared.cache.remember(self.mode, target.trim_to(last), &cut);
        Ok(WalkEnd { cut, denied: None })
    }
}

impl Step {
    fn kind(&self) -> &'static str {
        match self {
            Self::Referred(_) => "referred",
            Self::Shared(_) => "shared",
            Self::NoCut => "no cut",
            Self::Denied => "denied",
            Self::Alias => "alias",
        }
    }
}

/// What the dead servers of a parent zone mean for the look.
fn failure(useless: &[Useless], zone: &Name) -> ProbeFailure {
    let rcodes = useless.iter().filter_map(|u| match u {
        Useless::Rcode(rcode) => Some(*rcode),
        Useless::Fault(_) => None,
    });
    let faults = useless.iter().filter_map(|u| match u {
        Useless::Fault(fault) => Some(*fault),
        Useless::Rcode(_) => None,
    });
    if let Some(rcode) = prevailing(rcodes) {
        return ProbeFailure::ParentRefused(rcode);
    }
    match prevailing(faults) {
        Some(NetworkFault::Internal) => {
            ProbeFailure::Internal("no way to the servers of a parent zone".to_owned())
        }
        // Not one of the root servers: it is our network that is down.
        Some(_) if zone.is_root() => ProbeFailure::Internal("no root server answered".to_owned()),
        Some(fault) => ProbeFailure::NoDelegation(fault),
        None => ProbeFailure::NoAddress,
    }
}

/// The most frequent one; the earliest among equals.
pub(crate) fn prevailing<T: PartialEq>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: Vec<(T, usize)> = vec![];
    for item in items {
        match counts.iter_mut().find(|(seen, _)| *seen == item) {
            Some((_, count)) => *count += 1,
            None => counts.push((item, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(item, _)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_prevails_and_the_earliest_among_equals() {
        assert_eq!(prevailing([5, 2, 2].into_iter()), Some(2));
        assert_eq!(prevailing([5, 2].into_iter()), Some(5));
        assert_eq!(prevailing(std::iter::empty::<u8>()), None);
    }

    #[test]
    fn a_long_name_is_walked_down_in_ten_steps_at_most() {
        let steps = |labels: usize| {
            let (mut at, mut steps) = (0, 0);
            while at < labels {
                at += stride(steps, labels - at);
                steps += 1;
            }
            (at, steps)
        };
        for labels in 0..=10 {
            assert_eq!(steps(labels), (labels, labels));
        }
        for labels in [11, 17, 64, 126] {
            assert_eq!(steps(labels), (labels, 10));
        }
    }

    #[test]
    fn dead_parents_are_told_from_our_own_dead_network() {
        let com = Name::from_ascii("com.").unwrap();
        let of = |useless: Vec<Useless>, zone: &Name| failure(&useless, zone);
        let timeout = || Useless::Fault(NetworkFault::Timeout);
        assert_eq!(of(vec![timeout()], &com), ProbeFailure::NoDelegation(NetworkFault::Timeout));
        assert!(matches!(of(vec![timeout()], &Name::root()), ProbeFailure::Internal(_)));
        assert_eq!(of(vec![timeout(), Useless::Rcode(5)], &com), ProbeFailure::ParentRefused(5));
        assert!(matches!(of(vec![Useless::Fault(NetworkFault::Internal)], &com), ProbeFailure::Internal(_)));
    }
}
