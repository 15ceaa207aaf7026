//! How questions travel: the only place where sockets are made, behind the egress filter, with bounds on their number
//! and on what each server is asked.
mod line;
mod pool;
mod sockets;
mod trouble;
mod waiting;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::pool::Pool;
pub(crate) use self::sockets::Standing;
pub(crate) use self::trouble::Trouble;
use crate::config::{Ipv6, ProbeConfig};
use crate::descriptors;
use crate::egress::{Egress, Peer};
use crate::metrics::Told;
use crate::sparing::{Pass, Sparing};
use crate::wire::Outgoing;

/// How long a socket takes questions.
const LIFE: Duration = Duration::from_secs(2);

/// The two ways to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Via {
    Datagrams,
    Connection,
}

/// Questions on one socket at a time. On a connection, what follows a question that the server is slow to answer waits
/// with it.
const IN_FLIGHT: usize = 16;

impl Via {
    /// Questions on one socket, ever.
    fn questions(self) -> usize {
        match self {
            Self::Datagrams => 256,
            Self::Connection => 1024,
        }
    }
}

/// All sockets of a prober.
#[derive(Debug)]
pub(crate) struct Transport {
    egress: Egress,
    pool: Arc<Pool>,
    sparing: Arc<Sparing>,
    ipv6: Ipv6,
    pub(crate) told: Told,
}

/// An address that has passed the filter; nothing else can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    address: SocketAddr,
    configured: bool,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// From the moment a socket is free.
    pub(crate) longest: Duration,
    /// When the whole look ends.
    pub(crate) end: Instant,
}

impl Wait {
    fn until(self) -> Instant {
        (Instant::now() + self.longest).min(self.end)
    }
}

/// Pays for sending a question a second time, after this trouble with the first; false where there is nothing left to
/// pay with.
pub(crate) type Pay<'a> = &'a (dyn Fn(Trouble) -> bool + Sync);

/// A recognised answer.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
}

impl Transport {
    pub(crate) fn new(config: &ProbeConfig) -> Self {
        let in_flight = config.in_flight.unwrap_or_else(descriptors::sockets_in_flight);
        Self {
            egress: Egress::new(config.allow_networks.clone(), config.refuse_networks.clone()),
            pool: Arc::new(Pool::new(in_flight)),
            sparing: Arc::new(Sparing::new(config.server_rate, config.server_burst)),
            ipv6: config.ipv6,
            told: Told::default(),
        }
    }

    pub(crate) fn measure(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.told.register(registry, Arc::downgrade(&self.pool), Arc::downgrade(&self.sparing))
    }

    /// Passes an address through the filter; none when it may not be asked.
    pub(crate) fn open(&self, peer: Peer) -> Option<Door> {
        let configured = matches!(peer, Peer::Configured(_));
        self.egress.permit(peer).map(|address| Door { address, configured })
    }

    /// Whether the family can be used at all. Connecting a datagram socket asks for a route and sends nothing.
    pub(crate) fn has_route(&self, door: Door) -> bool {
        match (door.address, self.ipv6) {
            (SocketAddr::V4(_), _) | (SocketAddr::V6(_), Ipv6::On) => true,
            (SocketAddr::V6(_), Ipv6::Off) => false,
            (SocketAddr::V6(_), Ipv6::Auto) => std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
                .and_then(|s| s.connect(door.address))
                .is_ok(),
        }
    }

    /// Waits until the server may be asked once more; servers of our own configuration may be at any time.
    pub(crate) async fn admit(&self, door: Door, via: Via, end: Instant) -> Result<Pass<'_>, Trouble> {
        // A zone that has its servers on IPv6 only is out of our reach, as it is out of many others'.
        if door.address.is_ipv6() && self.ipv6 == Ipv6::Off {
            return Err(Trouble::Unreachable);
        }
        if door.configured {
            return Ok(self.sparing.free());
        }
        self.sparing.admit(door.address.ip(), via, end).await
    }

    /// Asks once: by a datagram, which only the server's address and port can answer, or over a connection. Where a
    /// connection that was kept turns out to be over, once more on a fresh one, if that is paid for too.
    pub(crate) async fn ask(
        &self,
        door: Door,
        via: Via,
        pass: Pass<'_>,
        asked: Outgoing,
        wait: Wait,
        pay: &(dyn Fn() -> bool + Sync),
    ) -> Result<Incoming, Trouble> {
        let pass = pass.used();
        let again = |trouble| {
            let paid = pay();
            if paid {
                pass.once_more();
                self.told.again(via, trouble);
            }
            paid
        };
        let answer = self.pool.ask((door.address, via), pass.standing(), asked, wait, &again).await;
        pass.settle(answer.as_ref().map(drop).map_err(|trouble| *trouble), wait.end);
        answer
    }
}
