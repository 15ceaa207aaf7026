//! Finds the addresses of name servers that come without glue, within narrow limits.
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deed_claims::{NetworkFault, ProbeFailure};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::OnceCell;

use crate::config::Ipv6;
use crate::delegation::{Addresses, Delegation, NameServer};
use crate::egress::Peer;
use crate::inquiry::Inquiry;
use crate::response::Response;
use crate::walk::{Dead, Nesting, Reach, Useless};
use crate::wire::{Recursion, Wanted};

/// How many servers of a zone need an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// One will do, to go a step further.
    Any,
    /// As many as are asked.
    All,
}

/// The zones that only lead to name servers of others and come without glue themselves, seen to once each,
/// however many walks of a look come by at the same time.
#[derive(Debug)]
pub(crate) struct Helpers {
    /// Names that may still be resolved for them.
    left: AtomicUsize,
    /// Names of servers that turned out not to exist.
    missing: AtomicUsize,
    zones: Mutex<HashMap<Name, Arc<OnceCell<Arc<Delegation>>>>>,
}

/// Names resolved for one of them: the second is for when the first fails.
const EACH: usize = 2;
/// Names of servers that may turn out not to exist before no more are looked for: a delegation to names that are made
/// up has others pay for it.
const MISSING: usize = 3;

impl Helpers {
    pub(crate) fn new(names: usize) -> Self {
        Self { left: AtomicUsize::new(names), missing: AtomicUsize::new(0), zones: Mutex::default() }
    }

    fn miss(&self) {
        self.missing.fetch_add(1, Ordering::Relaxed);
    }

    fn have_missed_enough(&self) -> bool {
        self.missing.load(Ordering::Relaxed) >= MISSING
    }

    fn place_of(&self, zone: &Name) -> Arc<OnceCell<Arc<Delegation>>> {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(zones.entry(zone.clone()).or_default())
    }

    fn take(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Inquiry<'_> {
    /// The delegation with addresses for names without glue, as far as they are needed and may be asked for.
    pub(crate) async fn with_addresses(
        &self,
        cut: Arc<Delegation>,
        need: Need,
        nesting: Nesting,
    ) -> Arc<Delegation> {
        let known = cut.servers.iter().filter(|s| matches!(s.addresses, Addresses::Known(_))).count();
        let enough = match need {
            Need::Any => known > 0,
            Need::All => known >= self.shared.config.budgets.servers,
        };
        if enough || cut.resolved {
            return cut;
        }
        match nesting {
            Nesting::Outer => {
                let most = self.shared.config.budgets.ns_resolved;
                let chosen = without_glue(&cut).take(most).collect();
                self.fill(&cut, chosen, Nesting::Inner).await
            }
            Nesting::Inner => self.help(&cut).await,
            Nesting::Innermost => cut,
        }
    }

    /// The same for a zone that only leads to another one's servers.
    async fn help(&self, cut: &Arc<Delegation>) -> Arc<Delegation> {
        let place = self.helpers.place_of(&cut.zone);
        let full = place.get_or_init(|| {
            let chosen = without_glue(cut).take(EACH).take_while(|_| self.helpers.take()).collect();
            self.fill(cut, chosen, Nesting::Innermost)
        });
        Arc::clone(full.await)
    }

    /// The delegation with the addresses of the chosen servers.
    async fn fill(
        &self,
        cut: &Arc<Delegation>,
        chosen: Vec<&NameServer>,
        nesting: Nesting,
    ) -> Arc<Delegation> {
        if chosen.is_empty() {
            return Arc::clone(cut);
        }
        // Names that only the zone itself could tell, and no glue to ask it: nobody ever finds them.
        let lost = |s: &NameServer| s.addresses == Addresses::Unknown && cut.zone.zone_of(&s.name);
        if self.shared.config.resolvers.is_empty() && cut.servers.iter().all(lost) {
            let mut full = Delegation { resolved: true, ..(**cut).clone() };
            full.servers.iter_mut().for_each(|server| server.addresses = Addresses::None);
            return Arc::new(full);
        }
        let found = join_all(chosen.iter().map(|server| self.resolve(&server.name, nesting))).await;
        let mut full = Delegation { resolved: true, ..(**cut).clone() };
        for (server, addresses) in chosen.into_iter().zip(found) {
            if let Some(place) = full.servers.iter_mut().find(|s| s.name == server.name) {
                place.addresses = addresses;
            }
        }
        let full = Arc::new(full);
        // Where names were left out, the next look shall try again.
        if !self.helpers.have_missed_enough() {
            self.shared.cache.remember(self.mode, full.zone.clone(), &full);
        }
        full
    }

    /// Names inside the zone that came with authority but without addresses: the zone's servers know them.
    pub(crate) async fn fill_in(&self, shared: &mut Delegation, cut: &Delegation) {
        let most = self.shared.config.budgets.ns_resolved;
        let missing: Vec<&mut NameServer> = shared
            .servers
            .iter_mut()
            .filter(|s| s.addresses == Addresses::Unknown && cut.zone.zone_of(&s.name))
            .take(most)
            .collect();
        join_all(missing.into_iter().map(|server| async move {
            let found = self.both_families(&server.name, Recursion::No, |wanted| {
                async move { self.ask_for_addresses(cut, &wanted).await }.boxed()
            });
            if let Addresses::Known(known) = found.await {
                server.addresses = Addresses::Known(known);
            }
        }))
        .await;
    }

    /// The addresses that the servers of the zone around a name tell: a registry's first one that answers, of other zones
    /// what two name servers agree on.
    async fn ask_for_addresses(&self, cut: &Delegation, wanted: &Wanted) -> Result<Found, NetworkFault> {
        let longest = self.shared.config.budgets.aliases;
        let read = |response: &Response| {
            let counts = settled(response) && response.authoritative();
            counts.then(|| Found::of(response, &wanted.name, longest))
        };
        self.told_by(cut, wanted, read).await.map_err(|dead| fault_of(&dead))
    }

    async fn resolve(&self, server: &Name, nesting: Nesting) -> Addresses {
        if self.helpers.have_missed_enough() {
            return Addresses::Unknown;
        }
        if self.shared.config.resolvers.is_empty() {
            return self.resolve_by_walk(server, nesting).await;
        }
        let longest = self.shared.config.budgets.aliases;
        self.both_families(server, Recursion::Desired, |wanted| {
            async move {
                match self.ask_resolvers(&wanted).await {
                    Some(response) if settled(&response) => Ok(Found::of(&response, &wanted.name, longest)),
                    // Ours only where the resolver has no answer for a name that has to exist either.
                    None if !self.budget.is_exhausted() && self.are_resolvers_down().await => {
                        Err(NetworkFault::Internal)
                    }
                    // The resolver is well: it is the name's own servers that gave it no answer.
                    Some(_) | None => Err(NetworkFault::Timeout),
                }
            }
            .boxed()
        })
        .await
    }

    /// Without a resolver: the same walk once more. A box, because the walk comes by here.
    fn resolve_by_walk<'a>(&'a self, server: &'a Name, nesting: Nesting) -> BoxFuture<'a, Addresses> {
        async move {
            let cut = match self.enclosing(server, Reach::Whole, nesting).await {
                Ok(cut) => self.with_addresses(cut, Need::Any, nesting).await,
                Err(ProbeFailure::Internal(_)) => return Addresses::Failed(NetworkFault::Internal),
                Err(_) => return Addresses::Failed(NetworkFault::Timeout),
            };
            let cut = &cut;
            self.both_families(server, Recursion::No, |wanted| {
                async move { self.ask_for_addresses(cut, &wanted).await }.boxed()
            })
            .await
        }
        .boxed()
    }

    /// Asks for A and AAAA at the same time.
    async fn both_families<'a>(
        &self,
        name: &Name,
        recursion: Recursion,
        ask: impl Fn(Wanted) -> BoxFuture<'a, Result<Found, NetworkFault>>,
    ) -> Addresses {
        let of = |rtype| ask(Wanted { name: name.clone(), rtype, recursion });
        let families: &[RecordType] = match self.shared.config.ipv6 {
            Ipv6::Off => &[RecordType::A],
            Ipv6::Auto | Ipv6::On => &[RecordType::A, RecordType::AAAA],
        };
        let answers = join_all(families.iter().map(|rtype| of(*rtype))).await;
        if answers.iter().flatten().any(|found| !found.exists) {
            self.helpers.miss();
        }
        let found =
            Addresses::of(answers.iter().flatten().flat_map(|found| found.addresses.clone()).collect());
        // The family that nobody answered for may have what the other lacks.
        let faults: Vec<NetworkFault> = answers.into_iter().filter_map(Result::err).collect();
        let theirs = faults.iter().find(|fault| **fault != NetworkFault::Internal);
        match theirs.or(faults.first()) {
            Some(fault) if found == Addresses::None => Addresses::Failed(*fault),
            _ => found,
        }
    }

    /// Asks the trusted resolvers one after the other until one answers.
    pub(crate) async fn ask_resolvers(&self, wanted: &Wanted) -> Option<Response> {
        let mut last = None;
        for resolver in &self.shared.config.resolvers {
            let resolver: SocketAddr = *resolver;
            match self.ask(Peer::Configured(resolver), wanted).await.result {
                Ok(response) if settled(&response) => return Some(response),
                Ok(response) => last = Some(response),
                Err(_) => {}
            }
        }
        last
    }
}

const NXDOMAIN: u16 = 3;

/// What an answer tells of a name server's addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Whether the name exists.
    exists: bool,
    /// In canonical order.
    addresses: Vec<IpAddr>,
}

impl Found {
    fn of(response: &Response, name: &Name, longest: usize) -> Self {
        let mut addresses = response.addresses(name, longest);
        addresses.sort_unstable();
        Self { exists: response.rcode() != NXDOMAIN, addresses }
    }
}

fn without_glue(cut: &Delegation) -> impl Iterator<Item = &NameServer> {
    cut.servers.iter().filter(|server| server.addresses == Addresses::Unknown)
}

/// Why there is no address when the servers that should know it brought none.
fn fault_of(dead: &Dead) -> NetworkFault {
    let ours = |useless: &Useless| matches!(useless, Useless::Fault(NetworkFault::Internal));
    match dead {
        Dead::Useless(useless) if !useless.is_empty() && useless.iter().all(ours) => NetworkFault::Internal,
        _ => NetworkFault::Timeout,
    }
}

/// NOERROR or NXDOMAIN.
pub(crate) fn settled(response: &Response) -> bool {
    matches!(response.rcode(), 0 | 3)
}
