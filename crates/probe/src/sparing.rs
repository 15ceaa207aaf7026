//! Spares servers: no address is asked faster than it may mind, and one that stays silent is left alone for a while.
//!
//! Claimants choose which addresses are asked, and how many claims lead to one of them. So all looks together are
//! held to one rate for each address, and the memory of addresses has a bound.
mod breaker;
mod bucket;

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::breaker::{Breaker, Leave};
use self::bucket::{Bucket, Rate};
use crate::transport::{Standing, Trouble, Via};

/// Addresses remembered; strangers choose them.
const ADDRESSES: usize = 20_000;
/// How long a server that has answered counts as one that does.
const GOOD: Duration = Duration::from_mins(10);
/// How long our network counts as working after anybody's answer.
const WORKING: Duration = Duration::from_mins(1);

/// What is known of the servers that were asked.
#[derive(Debug)]
pub(crate) struct Sparing {
    /// None where one server stands for all, as in private zones and tests: it is neither held back nor left alone.
    rate: Option<Rate>,
    most: usize,
    servers: Mutex<Servers>,
}

#[derive(Debug, Default)]
struct Servers {
    known: HashMap<IpAddr, Server>,
    /// When anybody answered last.
    heard: Option<Instant>,
}

#[derive(Debug)]
struct Server {
    bucket: Bucket,
    datagrams: Breaker,
    connections: Breaker,
    answered: Option<Instant>,
    touched: Instant,
}

/// Leave to ask a server once. Dropped before it is settled, it gives back what it had taken.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    sparing: &'a Sparing,
    /// None where nothing is counted.
    taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    address: IpAddr,
    via: Via,
    leave: Leave,
    standing: Standing,
    used: bool,
}

impl Sparing {
    /// `rate` questions a second and address, `burst` at once; a rate of nought spares nobody.
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let rate = NonZeroU32::new(rate).map(|rate| Rate::new(rate, burst));
        Self { rate, most: ADDRESSES, servers: Mutex::default() }
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many addresses are left alone now, over one transport or both.
    pub(crate) fn left_alone(&self) -> usize {
        let now = Instant::now();
        let servers = self.servers();
        let spared =
            |server: &&Server| [&server.datagrams, &server.connections].iter().any(|way| way.holds(now));
        servers.known.values().filter(spared).count()
    }

    /// Leave to ask whoever our own configuration names.
    pub(crate) fn free(&self) -> Pass<'_> {
        Pass { sparing: self, taken: None }
    }

    /// Waits until an address may be asked.
    ///
    /// # Errors
    /// [`Trouble::Timeout`] at once where the server has been silent too often, [`Trouble::Crowded`] where its turn
    /// would come too late.
    pub(crate) async fn admit(&self, address: IpAddr, via: Via, end: Instant) -> Result<Pass<'_>, Trouble> {
        let Some(rate) = self.rate else { return Ok(self.free()) };
        let (pass, turn) = self.enter(rate, address, via, end)?;
        if turn > Instant::now() {
            sleep_until(turn).await;
            // It may have fallen silent towards those who came before.
            pass.check_again()?;
        }
        Ok(pass)
    }

    fn enter(
        &self,
        rate: Rate,
        address: IpAddr,
        via: Via,
        end: Instant,
    ) -> Result<(Pass<'_>, Instant), Trouble> {
        let now = Instant::now();
        let mut servers = self.servers();
        if !servers.known.contains_key(&address) {
            servers.make_room(self.most, now);
        }
        let server = servers.known.entry(address).or_insert_with(|| Server::new(now));
        server.touched = now;
        if server.bucket.turn(rate, now) > end {
            return Err(Trouble::Crowded);
        }
        let leave = server.breaker(via).leave(now).ok_or(Trouble::Timeout)?;
        let turn = server.bucket.take(rate, now);
        let good = server.answered.is_some_and(|at| at + GOOD > now);
        let standing = if good { Standing::Known } else { Standing::Unknown };
        let taken = Taken { address, via, leave, standing, used: false };
        Ok((Pass { sparing: self, taken: Some(taken) }, turn))
    }
}

impl Servers {
    /// Forgets those of whom nothing is to be remembered, and where that is not enough, those not asked for longest.
    fn make_room(&mut self, most: usize, now: Instant) {
        if self.known.len() < most {
            return;
        }
        self.known.retain(|_, server| !server.is_at_rest(now));
        let enough = most - most / 4;
        if self.known.len() > enough {
            let mut times: Vec<Instant> = self.known.values().map(|server| server.touched).collect();
            let surplus = times.len() - enough;
            let (_, oldest_kept, _) = times.select_nth_unstable(surplus);
            let oldest_kept = *oldest_kept;
            self.known.retain(|_, server| server.touched >= oldest_kept);
        }
        // All were asked at the same moment: nobody is the oldest.
        if self.known.len() >= most {
            self.known.clear();
        }
    }

    /// Silence says something about a server only while others are heard.
    fn network_works(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| at + WORKING > now)
    }
}

impl Server {
    fn new(now: Instant) -> Self {
        Self {
            bucket: Bucket::full(now),
            datagrams: Breaker::default(),
            connections: Breaker::default(),
            answered: None,
            touched: now,
        }
    }

    fn breaker(&mut self, via: Via) -> &mut Breaker {
        match via {
            Via::Datagrams => &mut self.datagrams,
            Via::Connection => &mut self.connections,
        }
    }

    /// Whether forgetting it changes nothing.
    fn is_at_rest(&self, now: Instant) -> bool {
        self.bucket.is_full(now) && self.datagrams.is_quiet() && self.connections.is_quiet()
    }
}

impl Pass<'_> {
    /// How the server stands for sockets that are kept back.
    pub(crate) fn standing(&self) -> Standing {
        self.taken.map_or(Standing::Known, |taken| taken.standing)
    }

    /// A turn that was waited for: the server may be left alone since.
    fn check_again(&self) -> Result<(), Trouble> {
        let Some(taken) = self.taken.filter(|taken| taken.leave == Leave::Usual) else { return Ok(()) };
        let mut servers = self.sparing.servers();
        let open = servers.known.get_mut(&taken.address).is_some_and(|s| s.breaker(taken.via).is_open());
        if open { Err(Trouble::Timeout) } else { Ok(()) }
    }

    /// The question goes out, or has to be taken to have gone out.
    pub(crate) fn used(mut self) -> Self {
        if let Some(taken) = &mut self.taken {
            taken.used = true;
        }
        self
    }

    /// The question goes out a second time: whoever comes next waits for longer.
    pub(crate) fn once_more(&self) {
        let (Some(taken), Some(rate)) = (self.taken, self.sparing.rate) else { return };
        let mut servers = self.sparing.servers();
        if let Some(server) = servers.known.get_mut(&taken.address) {
            server.bucket.take(rate, Instant::now());
        }
    }

    /// Tells what became of the question. A wait that the look's `end` cut short says nothing about the server.
    pub(crate) fn settle(mut self, result: Result<(), Trouble>, end: Instant) {
        if self.sparing.rate.is_none() {
            return;
        }
        let now = Instant::now();
        let taken = self.taken.take();
        let mut servers = self.sparing.servers();
        if matches!(result, Ok(())) {
            servers.heard = Some(now);
        }
        let works = servers.network_works(now);
        let Some(taken) = taken else { return };
        let Some(server) = servers.known.get_mut(&taken.address) else { return };
        match result {
            Ok(()) => {
                server.answered = Some(now);
                server.breaker(taken.via).close();
            }
            Err(Trouble::Timeout) if now < end && works => {
                server.breaker(taken.via).time_out(now, taken.leave);
            }
            // It, or the way to it, is awake.
            Err(Trouble::Unreachable | Trouble::Malformed | Trouble::CaseDiffers) => {
                server.breaker(taken.via).close();
            }
            Err(Trouble::Timeout | Trouble::Internal | Trouble::Crowded) => {
                server.breaker(taken.via).give_back(now, taken.leave);
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let (Some(taken), Some(rate)) = (self.taken.take(), self.sparing.rate) else { return };
        let mut servers = self.sparing.servers();
        if let Some(server) = servers.known.get_mut(&taken.address) {
            if !taken.used {
                server.bucket.give_back(rate);
            }
            server.breaker(taken.via).give_back(Instant::now(), taken.leave);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_question_that_is_sent_twice_takes_two_turns() {
        let in_a_while = || Instant::now() + Duration::from_millis(1500);
        for twice in [false, true] {
            let sparing = Sparing::new(1, 1);
            let address = IpAddr::from(Ipv4Addr::LOCALHOST);
            let pass = sparing.admit(address, Via::Connection, in_a_while()).await.unwrap().used();
            if twice {
                pass.once_more();
            }
            let next = sparing.enter(sparing.rate.unwrap(), address, Via::Connection, in_a_while());
            assert_eq!(next.err(), twice.then_some(Trouble::Crowded));
        }
    }
}
