//! The sockets that are open, by server, and how a question gets onto one.
//!
//! Why sharing a socket helps no forger. Whoever cannot see our packets has to guess port, id and letter case of one
//! question while it is on its way. Ports come from the system at random and are used towards one server only, so
//! that no other server learns them. A port lives for at most `LIFE` and `Via::questions` questions, so that
//! feeling for it (by what a full or a silent port answers) begins anew before it gets far; at most
//! `IN_FLIGHT` questions are on it at a time, each with a random id and letter case of its own, so that a
//! forged packet on the right port is as unlikely to hit the one question that is worth it as it was on a port for
//! it alone. Wrong guesses are counted per socket: some tens of them close it, and its questions travel over
//! connections instead.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, timeout_at};

use super::line::Line;
use super::sockets::{Permit, Sockets, Standing};
use super::trouble::Trouble;
use super::waiting::{Refusal, Ticket};
use super::{Incoming, Pay, Via, Wait};
use crate::wire::Outgoing;

/// Where a question goes, and how.
pub(super) type Way = (SocketAddr, Via);
type Lines = HashMap<Way, Vec<Arc<Line>>>;

#[derive(Debug)]
pub(crate) struct Pool {
    sockets: Arc<Sockets>,
    lines: Mutex<Lines>,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self { sockets: Arc::new(Sockets::new(most)), lines: Mutex::default() }
    }

    /// How many sockets are open, and how many may be.
    pub(crate) fn used(&self) -> (usize, usize) {
        self.sockets.used()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a question on a socket to its server and waits for the answer. `pay` is asked before it is sent a second
    /// time.
    pub(super) async fn ask(
        self: &Arc<Self>,
        to: Way,
        standing: Standing,
        asked: Outgoing,
        wait: Wait,
        pay: Pay<'_>,
    ) -> Result<Incoming, Trouble> {
        let mut asked = Arc::new(asked);
        let mut until = None;
        if let Some((line, ticket)) = self.join(to, &mut asked)? {
            let whole = wait.until();
            // A server that closed a connection, or answers each connection once, is asked again on a fresh one
            // (RFC 7766 §6.2.4). A datagram that got no answer is for the caller to repeat.
            let (patience, again): (_, fn(Trouble) -> bool) = match to.1 {
                Via::Datagrams => (whole, |trouble| trouble == Trouble::Internal),
                Via::Connection => (Instant::now() + (whole - Instant::now()) / 2, |_| true),
            };
            match self.send(&line, ticket, &asked, patience).await {
                Err(Unsent(_)) => {}
                Ok(Err(trouble)) if again(trouble) && pay(trouble) => until = Some(whole),
                Ok(answer) => return answer,
            }
        }
        let permit = self.permit(standing, wait.end).await?;
        let until = until.unwrap_or_else(|| wait.until());
        let line = Arc::new(self.open(to, permit, until).await?);
        let ticket = line.waiting.begin(&asked);
        self.lines().entry(to).or_default().push(Arc::clone(&line));
        tokio::spawn(Arc::clone(&line).serve(Arc::downgrade(self)));
        self.send(&line, ticket, &asked, until).await.unwrap_or_else(|Unsent(trouble)| Err(trouble))
    }

    /// A place on an open socket; none when all of them are full. The question gets another id where its own is
    /// taken.
    fn join(&self, to: Way, asked: &mut Arc<Outgoing>) -> Result<Option<(Arc<Line>, Ticket)>, Trouble> {
        let lines = self.lines();
        let Some(lines) = lines.get(&to) else { return Ok(None) };
        // The youngest first: it has the most of its time before it.
        for line in lines.iter().rev() {
            if line.is_old() {
                break;
            }
            match line.waiting.join(asked) {
                Ok(ticket) => return Ok(Some((Arc::clone(line), ticket))),
                Err(Refusal::SameId) => {
                    *asked = Arc::new(asked.with_another_id().map_err(|_| Trouble::Internal)?);
                }
                Err(Refusal::Full) => {}
            }
        }
        Ok(None)
    }

    async fn open(&self, to: Way, permit: Permit, until: Instant) -> Result<Line, Trouble> {
        match to.1 {
            Via::Datagrams => Line::datagrams(to.0, permit, &self.sockets),
            Via::Connection => timeout_at(until, Line::connection(to.0, permit, &self.sockets))
                .await
                .unwrap_or(Err(Trouble::Timeout)),
        }
    }

    async fn send(
        &self,
        line: &Line,
        ticket: Ticket,
        asked: &Outgoing,
        until: Instant,
    ) -> Result<Result<Incoming, Trouble>, Unsent> {
        if let Err(error) = line.send(asked).await {
            // What the system reports is often of an earlier datagram; either way nothing more can be sent here.
            let trouble = Trouble::of(&error);
            line.waiting.close(trouble);
            return Err(Unsent(trouble));
        }
        Ok(ticket.answer(until).await)
    }

    /// The right to open a socket; waits for it where there are too many.
    async fn permit(&self, standing: Standing, end: Instant) -> Result<Permit, Trouble> {
        if let Some(permit) = self.sockets.try_take(standing) {
            return Ok(permit);
        }
        if self.sockets.any_idle() {
            // Its permit comes free as soon as its reader has seen it.
            let lines = self.lines();
            lines.values().flatten().find(|line| line.waiting.close_if_idle());
        }
        self.sockets.take(standing, end).await
    }

    /// A reader has ended.
    pub(super) fn forget(&self, line: &Arc<Line>) {
        let to = (line.address, line.via());
        let mut lines = self.lines();
        if let Some(left) = lines.get_mut(&to) {
            left.retain(|other| !Arc::ptr_eq(other, line));
            if left.is_empty() {
                lines.remove(&to);
            }
        }
    }
}

/// A question that did not leave us.
struct Unsent(Trouble);

impl Drop for Pool {
    /// Readers hold the sockets: they end when they are told to.
    fn drop(&mut self) {
        for line in self.lines().values().flatten() {
            line.waiting.close(Trouble::Internal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use hickory_proto::rr::{Name, RecordType};
    use tokio::net::UdpSocket;

    use super::super::LIFE;
    use super::*;
    use crate::wire::{Extended, Letters, Recursion, Wanted};

    fn question(name: &str) -> Outgoing {
        let wanted = Wanted {
            name: Name::from_ascii(name).unwrap(),
            rtype: RecordType::TXT,
            recursion: Recursion::No,
        };
        Outgoing::new(&wanted, Extended::Edns, Letters::Random).unwrap()
    }

    /// Answers everything but what is asked of `silent.`.
    async fn serve(socket: UdpSocket) {
        let mut buffer = [0; 512];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            buffer[2] |= 0x80;
            if !buffer[12..].to_ascii_lowercase().starts_with(b"\x06silent") {
                socket.send_to(&buffer[..size], from).await.unwrap();
            }
        }
    }

    fn wait(longest: Duration) -> Wait {
        Wait { longest, end: Instant::now() + Duration::from_mins(1) }
    }

    #[tokio::test]
    async fn what_was_asked_answered_given_up_or_dropped_leaves_nothing_behind() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = (socket.local_addr().unwrap(), Via::Datagrams);
        let server = tokio::spawn(serve(socket));
        let pool = Arc::new(Pool::new(8));
        let ask = |name, longest| pool.ask(to, Standing::Unknown, question(name), wait(longest), &|_| true);

        let answers = join_all((0..40).map(|_| ask("a.test.", Duration::from_secs(30)))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(ask("silent.", Duration::from_millis(50)).await.err(), Some(Trouble::Timeout));
        {
            let mut dropped = Box::pin(ask("silent.", Duration::from_secs(30)));
            assert!(futures::poll!(&mut dropped).is_pending());
        }
        let over = async {
            while !pool.lines().is_empty() || pool.sockets.any_idle() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // All of them: those that anybody may have, and those kept back.
            while std::iter::from_fn(|| pool.sockets.try_take(Standing::Known)).collect::<Vec<_>>().len() < 8
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), over).await.expect("idle sockets close");
        server.abort();
    }

    #[tokio::test]
    async fn idle_sockets_make_way_for_those_who_need_one() {
        let pool = Arc::new(Pool::new(2));
        let mut servers = vec![];
        let started = Instant::now();
        // More servers than sockets, one after the other, and much faster than sockets grow old.
        for _ in 0..20 {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let to = (socket.local_addr().unwrap(), Via::Datagrams);
            servers.push(tokio::spawn(serve(socket)));
            let wait = wait(Duration::from_secs(30));
            let asked = pool.ask(to, Standing::Unknown, question("a.test."), wait, &|_| true);
            assert!(asked.await.is_ok());
        }
        assert!(started.elapsed() < LIFE * 5, "nobody waits for a socket to grow old");
        for server in servers {
            server.abort();
        }
    }
}
