//! How queries are transported: the only place that opens sockets, behind the egress filter, with bounds on open
//! sockets and on the load on each server.
pub(crate) mod error;
mod in_flight;
pub(crate) mod route;
mod shared_socket;
pub(crate) mod socket_limit;
mod socket_pool;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::time::Instant;

use self::error::TransportError;
use self::route::{RawReply, TransportKind, WaitLimits};
use self::socket_pool::SocketPool;
use crate::config::{Ipv6, ProbeConfig};
use crate::descriptors;
use crate::egress::{Egress, Peer};
use crate::metrics::{Capacity, QueryMetrics};
use crate::server_limiter::{SendPermit, ServerLimiter};
use crate::wire::EncodedQuery;

/// All sockets of a prober.
#[derive(Debug)]
pub(crate) struct QueryTransport {
    egress: Egress,
    pool: Arc<SocketPool>,
    limiter: Arc<ServerLimiter>,
    ipv6: Ipv6,
    pub(crate) metrics: QueryMetrics,
}

/// An address that has passed the egress filter; only such an address can be queried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PermittedAddress {
    address: SocketAddr,
    configured: bool,
}

impl QueryTransport {
    pub(crate) fn new(config: &ProbeConfig) -> Self {
        let in_flight = config.in_flight.unwrap_or_else(descriptors::sockets_in_flight);
        Self {
            egress: Egress::new(config.allow_networks.clone(), config.refuse_networks.clone()),
            pool: Arc::new(SocketPool::new(in_flight)),
            limiter: Arc::new(ServerLimiter::new(config.server_rate, config.server_burst)),
            ipv6: config.ipv6,
            metrics: QueryMetrics::default(),
        }
    }

    pub(crate) fn measure(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        let (pool, limiter) = (Arc::downgrade(&self.pool), Arc::downgrade(&self.limiter));
        self.metrics.register(registry, move || {
            let (sockets, max_sockets) = pool.upgrade().map(|pool| pool.used()).unwrap_or_default();
            let open_breakers = limiter.upgrade().map(|limiter| limiter.open_breakers()).unwrap_or_default();
            Capacity { sockets, max_sockets, open_breakers }
        })
    }

    /// Passes an address through the egress filter; none when it is refused.
    pub(crate) fn permit(&self, peer: Peer) -> Option<PermittedAddress> {
        let configured = matches!(peer, Peer::Configured(_));
        self.egress.permit(peer).map(|address| PermittedAddress { address, configured })
    }

    /// Whether there is a route for the address family. Connecting a UDP socket looks up a route and sends nothing.
    pub(crate) fn has_route(&self, to: PermittedAddress) -> bool {
        match (to.address, self.ipv6) {
            (SocketAddr::V4(_), _) | (SocketAddr::V6(_), Ipv6::On) => true,
            (SocketAddr::V6(_), Ipv6::Off) => false,
            (SocketAddr::V6(_), Ipv6::Auto) => std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
                .and_then(|s| s.connect(to.address))
                .is_ok(),
        }
    }

    /// Waits until the server may be queried once more; configured servers are not limited.
    pub(crate) async fn admit(
        &self,
        to: PermittedAddress,
        kind: TransportKind,
        end: Instant,
    ) -> Result<SendPermit<'_>, TransportError> {
        // A zone with IPv6 servers only is then unreachable for us, as it is for many others.
        if to.address.is_ipv6() && self.ipv6 == Ipv6::Off {
            return Err(TransportError::Unreachable);
        }
        if to.configured {
            return Ok(self.limiter.unlimited());
        }
        self.limiter.admit(to.address.ip(), kind, end).await
    }

    /// Sends a query once: over UDP, where only the server's address and port are accepted, or over TCP. Where a kept
    /// connection turns out to be closed, once more on a new one, if the budget pays for that too.
    pub(crate) async fn send(
        &self,
        to: PermittedAddress,
        kind: TransportKind,
        permit: SendPermit<'_>,
        query: EncodedQuery,
        wait: WaitLimits,
        pay: &(dyn Fn() -> bool + Sync),
    ) -> Result<RawReply, TransportError> {
        let permit = permit.used();
        let again = |error| {
            let paid = pay();
            if paid {
                permit.take_another();
                self.metrics.record_retry(kind, error);
            }
            paid
        };
        let answer = self.pool.send((to.address, kind), permit.reputation(), query, wait, &again).await;
        permit.settle(answer.as_ref().map(drop).map_err(|error| *error), wait.end);
        answer
    }
}
