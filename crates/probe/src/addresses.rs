//! Finds the addresses of name servers that come without glue, within narrow limits.
use std::net::SocketAddr;
use std::sync::Arc;

use deed_claims::NetworkFault;
use futures::FutureExt;
use futures::future::{BoxFuture, join, join_all};
use hickory_proto::rr::{Name, RecordType};

use crate::config::Ipv6;
use crate::delegation::{Addresses, Delegation, NameServer};
use crate::egress::Peer;
use crate::inquiry::Inquiry;
use crate::response::Response;
use crate::walk::{Nesting, Reach};
use crate::wire::{Recursion, Wanted};

/// How many servers of a zone need an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// One will do, to go a step further.
    Any,
    /// As many as are asked.
    All,
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
        if enough || cut.resolved || nesting == Nesting::Inner {
            return cut;
        }
        let unknown = cut.servers.iter().filter(|s| s.addresses == Addresses::Unknown);
        let chosen: Vec<&NameServer> = unknown.take(self.shared.config.budgets.ns_resolved).collect();
        if chosen.is_empty() {
            return cut;
        }
        let found = join_all(chosen.iter().map(|server| self.resolve(&server.name))).await;
        let mut full = Delegation { resolved: true, ..(*cut).clone() };
        let mut whole = true;
        for (server, addresses) in chosen.into_iter().zip(found) {
            whole &= !matches!(addresses, Addresses::Failed(_));
            if let Some(place) = full.servers.iter_mut().find(|s| s.name == server.name) {
                place.addresses = addresses;
            }
        }
        let full = Arc::new(full);
        if whole {
            self.shared.cache.remember(self.mode, full.zone.clone(), &full);
        }
        full
    }

    /// Names inside the zone that came with authority but without addresses: the same server knows them.
    pub(crate) async fn fill_in(&self, shared: &mut Delegation, zone: &Name, peer: Peer) {
        let most = self.shared.config.budgets.ns_resolved;
        let missing: Vec<&mut NameServer> = shared
            .servers
            .iter_mut()
            .filter(|s| s.addresses == Addresses::Unknown && zone.zone_of(&s.name))
            .take(most)
            .collect();
        join_all(missing.into_iter().map(|server| async move {
            let found = self.both_families(&server.name, Recursion::No, |wanted| {
                async move { self.ask(peer, &wanted).await.result.ok().filter(settled_by_authority) }.boxed()
            });
            if let Some(Addresses::Known(known)) = found.await {
                server.addresses = Addresses::Known(known);
            }
        }))
        .await;
    }

    async fn resolve(&self, server: &Name) -> Addresses {
        if self.shared.config.resolvers.is_empty() {
            self.resolve_by_walk(server).await
        } else {
            let found = self.both_families(server, Recursion::Desired, |wanted| {
                async move { self.ask_resolvers(&wanted).await.filter(settled) }.boxed()
            });
            // A trusted resolver that does not answer is ours.
            found.await.unwrap_or(Addresses::Failed(NetworkFault::Internal))
        }
    }

    /// Without a resolver: the same walk once more, one level deep and never deeper, or zones without glue
    /// could send us round all of the DNS. A box, because the walk comes by here.
    fn resolve_by_walk<'a>(&'a self, server: &'a Name) -> BoxFuture<'a, Addresses> {
        async move {
            let failed = Addresses::Failed(NetworkFault::Timeout);
            let Ok(cut) = self.enclosing(server, Reach::Whole, Nesting::Inner).await else { return failed };
            let cut = &cut;
            let found = self.both_families(server, Recursion::No, |wanted| {
                async move {
                    let (response, _) =
                        self.first_of(cut, &wanted, |r| Some(r).filter(settled_by_authority)).await.ok()?;
                    Some(response)
                }
                .boxed()
            });
            found.await.unwrap_or(failed)
        }
        .boxed()
    }

    /// Asks for A and AAAA at the same time; none when neither was answered.
    async fn both_families<'a>(
        &self,
        name: &Name,
        recursion: Recursion,
        ask: impl Fn(Wanted) -> BoxFuture<'a, Option<Response>>,
    ) -> Option<Addresses> {
        let most = self.shared.config.budgets.aliases;
        let of = |rtype| ask(Wanted { name: name.clone(), rtype, recursion });
        let (v4, v6) = match self.shared.config.ipv6 {
            Ipv6::Off => (of(RecordType::A).await, None),
            Ipv6::Auto | Ipv6::On => join(of(RecordType::A), of(RecordType::AAAA)).await,
        };
        if v4.is_none() && v6.is_none() {
            return None;
        }
        let read = |response: Option<Response>| response.map(|r| r.addresses(name, most)).unwrap_or_default();
        let (v4, v6) = (read(v4), read(v6));
        // Two of each family at most: neither crowds the other out.
        Some(Addresses::of(v4.into_iter().take(2).chain(v6.into_iter().take(2)).collect()))
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

/// NOERROR or NXDOMAIN.
pub(crate) fn settled(response: &Response) -> bool {
    matches!(response.rcode(), 0 | 3)
}

fn settled_by_authority(response: &Response) -> bool {
    settled(response) && response.authoritative()
}
