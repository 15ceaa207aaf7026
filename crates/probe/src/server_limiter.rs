//! Limits the load on name servers: one query rate per address, and a circuit breaker for silent servers.
//!
//! Claimants choose which addresses are queried, and how many claims lead to one of them. So all probes together
//! share one rate per address, and the table of addresses has a bound.
mod breaker;
mod gcra;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::DerefMut;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::unsync::Cache;
use tokio::time::{Instant, sleep_until};

use self::breaker::{Admission, BreakerState};
use self::gcra::{Gcra, QueryRate};
use crate::transport::error::TransportError;
use crate::transport::route::TransportKind;
use crate::transport::socket_limit::ServerReputation;

/// Addresses in the table at most: claimants choose them. Eviction refills a bucket and closes a breaker, so addresses
/// that were queried once are evicted before those that are queried again and again.
const CAPACITY: usize = 20_000;
/// How long a server counts as known after an answer.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// How long our network counts as working after an answer of any server.
const NETWORK_WORKS_FOR: Duration = Duration::from_mins(1);

/// The rate and the state of each server.
#[derive(Debug)]
pub(crate) struct ServerLimiter {
    /// None where one server holds many zones, as in private zones and tests: no rate limit and no circuit breaker.
    rate: Option<QueryRate>,
    servers: Mutex<ServerTable>,
}

#[derive(Debug)]
struct ServerTable {
    by_address: Cache<IpAddr, ServerState>,
    /// The time of the last answer of any server.
    last_answer: Option<Instant>,
}

#[derive(Debug)]
struct ServerState {
    bucket: Gcra,
    udp: BreakerState,
    tcp: BreakerState,
    answered: Option<Instant>,
}

/// The permit to send one query to a server. Dropping it unsettled returns what it reserved.
#[derive(Debug)]
pub(crate) struct SendPermit<'a> {
    limiter: &'a ServerLimiter,
    /// None where nothing is counted.
    reservation: Option<Reservation>,
}

#[derive(Debug, Clone, Copy)]
struct Reservation {
    address: IpAddr,
    kind: TransportKind,
    admission: Admission,
    reputation: ServerReputation,
    used: bool,
}

impl ServerLimiter {
    /// `rate` queries per second and address, `burst` at once; a rate of zero turns all limits off.
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let rate = NonZeroU32::new(rate).map(|rate| QueryRate::new(rate, burst));
        let servers = ServerTable { by_address: Cache::new(CAPACITY), last_answer: None };
        Self { rate, servers: Mutex::new(servers) }
    }

    fn servers(&self) -> MutexGuard<'_, ServerTable> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many addresses have an open breaker now, over one transport or both.
    pub(crate) fn open_breakers(&self) -> usize {
        let now = Instant::now();
        let servers = self.servers();
        let is_open = |server: &ServerState| [&server.udp, &server.tcp].iter().any(|b| b.refuses(now));
        servers.by_address.iter().filter(|(_, server)| is_open(server)).count()
    }

    /// A permit for configured servers, which are not limited.
    pub(crate) fn unlimited(&self) -> SendPermit<'_> {
        SendPermit { limiter: self, reservation: None }
    }

    /// Waits until an address may be queried.
    ///
    /// # Errors
    /// [`TransportError::Timeout`] at once where the breaker is open, [`TransportError::AtCapacity`] where the rate
    /// limit would delay the query beyond `end`.
    pub(crate) async fn admit(
        &self,
        address: IpAddr,
        kind: TransportKind,
        end: Instant,
    ) -> Result<SendPermit<'_>, TransportError> {
        let Some(rate) = self.rate else { return Ok(self.unlimited()) };
        let (permit, slot) = self.enter(rate, address, kind, end)?;
        if slot > Instant::now() {
            sleep_until(slot).await;
            // The breaker may have opened while we waited.
            permit.recheck()?;
        }
        Ok(permit)
    }

    fn enter(
        &self,
        rate: QueryRate,
        address: IpAddr,
        kind: TransportKind,
        end: Instant,
    ) -> Result<(SendPermit<'_>, Instant), TransportError> {
        let now = Instant::now();
        let mut servers = self.servers();
        let mut server = servers.entry(address, now).ok_or(TransportError::Internal)?;
        if server.bucket.slot(rate, now) > end {
            return Err(TransportError::AtCapacity);
        }
        let admission = server.breaker(kind).admit(now).ok_or(TransportError::Timeout)?;
        let slot = server.bucket.take(rate, now);
        let good = server.answered.is_some_and(|at| at + KNOWN_FOR > now);
        let reputation = if good { ServerReputation::Known } else { ServerReputation::Unknown };
        let reservation = Reservation { address, kind, admission, reputation, used: false };
        Ok((SendPermit { limiter: self, reservation: Some(reservation) }, slot))
    }
}

impl ServerTable {
    /// The state of an address, which counts as in use; none only if the table could hold no entry at all.
    fn entry(&mut self, address: IpAddr, now: Instant) -> Option<impl DerefMut<Target = ServerState>> {
        if self.by_address.get(&address).is_none() {
            self.by_address.insert(address, ServerState::new(now));
        }
        self.by_address.peek_mut(&address)
    }

    /// A time-out says something about a server only while others answer.
    fn network_works(&self, now: Instant) -> bool {
        self.last_answer.is_some_and(|at| at + NETWORK_WORKS_FOR > now)
    }
}

impl ServerState {
    fn new(now: Instant) -> Self {
        Self {
            bucket: Gcra::full(now),
            udp: BreakerState::default(),
            tcp: BreakerState::default(),
            answered: None,
        }
    }

    fn breaker(&mut self, kind: TransportKind) -> &mut BreakerState {
        match kind {
            TransportKind::Udp => &mut self.udp,
            TransportKind::Tcp => &mut self.tcp,
        }
    }
}

impl SendPermit<'_> {
    /// The server's reputation, for the sockets that are reserved.
    pub(crate) fn reputation(&self) -> ServerReputation {
        self.reservation.map_or(ServerReputation::Known, |reservation| reservation.reputation)
    }

    /// After waiting for the rate limit: the breaker may have opened since.
    fn recheck(&self) -> Result<(), TransportError> {
        let Some(reservation) =
            self.reservation.filter(|reservation| reservation.admission == Admission::Regular)
        else {
            return Ok(());
        };
        let mut servers = self.limiter.servers();
        let open = servers
            .by_address
            .peek_mut(&reservation.address)
            .is_some_and(|mut s| s.breaker(reservation.kind).is_open());
        if open { Err(TransportError::Timeout) } else { Ok(()) }
    }

    /// The query goes out, or has to count as sent.
    pub(crate) fn used(mut self) -> Self {
        if let Some(reservation) = &mut self.reservation {
            reservation.used = true;
        }
        self
    }

    /// The query is sent a second time and takes another slot of the rate limit.
    pub(crate) fn take_another(&self) {
        let (Some(reservation), Some(rate)) = (self.reservation, self.limiter.rate) else { return };
        let mut servers = self.limiter.servers();
        if let Some(mut server) = servers.by_address.peek_mut(&reservation.address) {
            server.bucket.take(rate, Instant::now());
        }
    }

    /// Records the result of the query. A wait that the probe's `end` cut short says nothing about the server.
    pub(crate) fn settle(mut self, result: Result<(), TransportError>, end: Instant) {
        if self.limiter.rate.is_none() {
            return;
        }
        let now = Instant::now();
        let reservation = self.reservation.take();
        let mut servers = self.limiter.servers();
        if matches!(result, Ok(())) {
            servers.last_answer = Some(now);
        }
        let works = servers.network_works(now);
        let Some(reservation) = reservation else { return };
        let Some(mut server) = servers.by_address.peek_mut(&reservation.address) else { return };
        match result {
            Ok(()) => {
                server.answered = Some(now);
                server.breaker(reservation.kind).close();
            }
            Err(TransportError::Timeout) if now < end && works => {
                server.breaker(reservation.kind).time_out(now, reservation.admission);
            }
            // The server, or the way to it, reacts.
            Err(TransportError::Unreachable | TransportError::Malformed | TransportError::CaseDiffers) => {
                server.breaker(reservation.kind).close();
            }
            Err(TransportError::Timeout | TransportError::Internal | TransportError::AtCapacity) => {
                server.breaker(reservation.kind).give_back(now, reservation.admission);
            }
        }
    }
}

impl Drop for SendPermit<'_> {
    fn drop(&mut self) {
        let (Some(reservation), Some(rate)) = (self.reservation.take(), self.limiter.rate) else { return };
        let mut servers = self.limiter.servers();
        if let Some(mut server) = servers.by_address.peek_mut(&reservation.address) {
            if !reservation.used {
                server.bucket.give_back(rate);
            }
            server.breaker(reservation.kind).give_back(Instant::now(), reservation.admission);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn retransmission_takes_second_slot() {
        let in_a_while = || Instant::now() + Duration::from_millis(1500);
        for twice in [false, true] {
            let limiter = ServerLimiter::new(1, 1);
            let address = IpAddr::from(Ipv4Addr::LOCALHOST);
            let permit = limiter.admit(address, TransportKind::Tcp, in_a_while()).await.unwrap().used();
            if twice {
                permit.take_another();
            }
            let next = limiter.enter(limiter.rate.unwrap(), address, TransportKind::Tcp, in_a_while());
            assert_eq!(next.err(), twice.then_some(TransportError::AtCapacity));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limited_and_blocked_servers_survive_flood_of_others() {
        let limiter = ServerLimiter::new(1, 5);
        let rate = limiter.rate.unwrap();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let soon = || Instant::now() + Duration::from_millis(1500);
        let enter = |n| limiter.enter(rate, address(n), TransportKind::Udp, soon()).map(|(permit, _)| permit);
        let settle = |permit: SendPermit<'_>, result| permit.used().settle(result, soon());
        let (busy, silent) = (1, 2);
        // The network works, the table is full of others, and one server stays silent.
        (100_000..140_000).for_each(|n| settle(enter(n).unwrap(), Ok(())));
        for _ in 0..5 {
            settle(enter(silent).unwrap(), Err(TransportError::Timeout));
        }
        while let Ok(permit) = enter(busy) {
            settle(permit, Ok(()));
        }
        for n in 1_000..61_000 {
            settle(enter(n).unwrap(), Ok(()));
            if n % 200 == 0 {
                assert_eq!(enter(busy).err(), Some(TransportError::AtCapacity), "after {n} others");
                assert_eq!(enter(silent).err(), Some(TransportError::Timeout), "after {n} others");
            }
        }
        assert_eq!(limiter.open_breakers(), 1);
        assert!(limiter.servers().by_address.len() <= CAPACITY);
    }
}
