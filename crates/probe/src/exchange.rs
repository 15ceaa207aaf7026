//! One question to one server: datagrams first, then a connection, all of it paid from the budget.
use deed_claims::NetworkFault;
use deed_claims::Transport as Travelled;
use tokio::time::Instant;
use tracing::debug;

use crate::egress::Peer;
use crate::inquiry::{Inquiry, Mode};
use crate::response::Response;
use crate::transport::{Door, Trouble, Via, Wait};
use crate::wire::{Extended, Letters, Outgoing, Recursion, Wanted};

/// What became of a question.
#[derive(Debug)]
pub(crate) struct Heard {
    /// How the question travelled last.
    pub(crate) travelled: Travelled,
    /// The last round trip, in milliseconds.
    pub(crate) ms: u32,
    /// The question went out without EDNS in the end, because the server did not take it with.
    pub(crate) fell_back: bool,
    pub(crate) result: Result<Response, Silence>,
}

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

/// Questions that have to be left for trying a silent server without EDNS.
const SPARE: u32 = 20;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The address may not be asked; nothing was sent.
    Blocked,
    /// The budget was spent before anything was sent.
    Exhausted,
    Fault(NetworkFault),
}

/// One message out and perhaps one back.
struct Sent {
    ms: u32,
    came: Came,
}

enum Came {
    Answer(Response),
    /// Cut short: the rest has to come over a connection.
    Cut,
    Nothing(Trouble),
    /// Not even sent.
    Unpaid,
}

/// A question on its way to one server.
struct Errand<'a> {
    inquiry: &'a Inquiry<'a>,
    door: Door,
    wanted: &'a Wanted,
    extended: Extended,
    /// The server did not take the question with EDNS, so that it went out without.
    fell_back: bool,
    ms: u32,
}

/// How the datagrams went, where they did not settle it.
enum Datagrams {
    NotSent,
    Cut,
    Failed(Trouble),
}

impl Inquiry<'_> {
    /// Asks one server until it answers or has used up its chances.
    pub(crate) async fn ask(&self, peer: Peer, wanted: &Wanted) -> Heard {
        let heard = match self.shared.transport.open(peer) {
            None => {
                Heard { travelled: Travelled::Udp, ms: 0, fell_back: false, result: Err(Silence::Blocked) }
            }
            Some(door) => {
                let extended = self.shared.plain.extended_for(peer.address());
                let errand = Errand { inquiry: self, door, wanted, extended, fell_back: false, ms: 0 };
                let heard = errand.run(self.mode).await;
                self.shared.plain.learn(peer.address(), &heard);
                heard
            }
        };
        match &heard.result {
            Ok(response) => debug!(
                server = %peer.address(), kind = %wanted.rtype, over = ?heard.travelled, ms = heard.ms,
                rcode = response.rcode(), aa = response.authoritative(), "answer"
            ),
            Err(silence) => debug!(
                server = %peer.address(), kind = %wanted.rtype, over = ?heard.travelled, ms = heard.ms,
                ?silence, "no answer"
            ),
        }
        heard
    }
}

impl Errand<'_> {
    async fn run(mut self, mode: Mode) -> Heard {
        let datagrams = match mode {
            Mode::Connected => Datagrams::NotSent,
            Mode::Usual => match self.datagrams().await {
                Ok(result) => return self.heard(Travelled::Udp, result),
                Err(Datagrams::Failed(Trouble::Timeout)) => match self.without_edns().await {
                    Some(response) => return self.heard(Travelled::Udp, Ok(response)),
                    None => Datagrams::Failed(Trouble::Timeout),
                },
                Err(unsettled) => unsettled,
            },
        };
        let result = match self.connection().await {
            Came::Answer(response) => Ok(response),
            Came::Unpaid => Err(match datagrams {
                Datagrams::NotSent => Silence::Exhausted,
                // Seen cut short, and the rest was not asked for: nobody knows whether TCP works.
                Datagrams::Cut => Silence::Fault(NetworkFault::Timeout),
                Datagrams::Failed(trouble) => Silence::Fault(fault_of(trouble)),
            }),
            Came::Nothing(trouble) => Err(Silence::Fault(both(&datagrams, trouble))),
            Came::Cut => Err(Silence::Fault(NetworkFault::Malformed)),
        };
        self.heard(Travelled::Tcp, result)
    }

    /// What is said in the end: a server that takes a question neither with EDNS nor without has broken the former.
    fn heard(self, travelled: Travelled, result: Result<Response, Silence>) -> Heard {
        let broken = self.fell_back
            && match &result {
                Ok(response) => !matches!(response.rcode(), NOERROR | NXDOMAIN | SERVFAIL | REFUSED),
                Err(Silence::Fault(fault)) => *fault != NetworkFault::Internal,
                Err(_) => false,
            };
        let result = if broken { Err(Silence::Fault(NetworkFault::EdnsBroken)) } else { result };
        Heard { travelled, ms: self.ms, fell_back: self.fell_back, result }
    }

    /// One more datagram, for servers that drop what they do not know instead of saying so (RFC 8906 §5). None when
    /// it was not sent, or brought nothing either.
    async fn without_edns(&mut self) -> Option<Response> {
        if self.extended == Extended::Plain || self.inquiry.budget.left() < SPARE {
            return None;
        }
        self.extended = Extended::Plain;
        match self.send(Travelled::Udp).await {
            Came::Answer(response) => {
                self.fell_back = true;
                Some(response)
            }
            Came::Cut => {
                // It speaks, and the rest has to come over a connection: without EDNS as well.
                self.fell_back = true;
                None
            }
            Came::Nothing(_) | Came::Unpaid => {
                self.extended = Extended::Edns;
                None
            }
        }
    }

    /// `Err` when a connection has to settle it.
    async fn datagrams(&mut self) -> Result<Result<Response, Silence>, Datagrams> {
        let mut last = None;
        let mut left = self.inquiry.shared.config.udp_tries;
        while left > 0 {
            left -= 1;
            match self.send(Travelled::Udp).await {
                Came::Answer(response) if self.falls_back(&response) => left += 1,
                Came::Answer(response) => return Ok(Ok(response)),
                Came::Cut => return Err(Datagrams::Cut),
                Came::Unpaid => {
                    return Ok(Err(
                        last.map_or(Silence::Exhausted, |trouble| Silence::Fault(fault_of(trouble)))
                    ));
                }
                Came::Nothing(Trouble::Internal | Trouble::Crowded) => {
                    return Ok(Err(Silence::Fault(NetworkFault::Internal)));
                }
                Came::Nothing(Trouble::Timeout) => last = Some(Trouble::Timeout),
                // Repeating would bring the same: let a connection settle it.
                Came::Nothing(trouble) => return Err(Datagrams::Failed(trouble)),
            }
        }
        Err(Datagrams::Failed(last.unwrap_or(Trouble::Malformed)))
    }

    async fn connection(&mut self) -> Came {
        match self.send(Travelled::Tcp).await {
            Came::Answer(response) if self.falls_back(&response) => self.send(Travelled::Tcp).await,
            came => came,
        }
    }

    /// Whether the server could not parse EDNS, so that the question has to go out once more without.
    fn falls_back(&mut self, response: &Response) -> bool {
        let refused = match response.rcode() {
            FORMERR | NOTIMP => !response.has_edns(),
            // Its upper bits come with EDNS, of a version that we do not speak.
            BADVERS => true,
            _ => false,
        };
        let falls = self.extended == Extended::Edns && refused;
        if falls {
            (self.extended, self.fell_back) = (Extended::Plain, true);
        }
        falls
    }

    async fn send(&mut self, travels: Travelled) -> Came {
        let sent = self.once(travels).await;
        if !matches!(sent.came, Came::Unpaid) {
            self.ms = sent.ms;
        }
        sent.came
    }

    async fn once(&self, travels: Travelled) -> Sent {
        let (shared, budget) = (self.inquiry.shared, self.inquiry.budget);
        // Nobody guesses what goes on a connection, and a resolver of ours passes letters on to servers that may mind.
        let ours = self.wanted.recursion != Recursion::No;
        let letters = if travels == Travelled::Tcp || ours { Letters::Lower } else { self.inquiry.letters };
        let Ok(asked) = Outgoing::new(self.wanted, self.extended, letters) else {
            return Sent { ms: 0, came: Came::Nothing(Trouble::Internal) };
        };
        let (via, longest) = match travels {
            Travelled::Udp => (Via::Datagrams, shared.config.udp_timeout),
            Travelled::Tcp => (Via::Connection, shared.config.tcp_timeout),
        };
        let end = budget.deadline();
        // Only what may be sent is paid for.
        let pass = match shared.transport.admit(self.door, via, end).await {
            Ok(pass) => pass,
            Err(trouble) => return Sent { ms: 0, came: self.nothing(trouble) },
        };
        if budget.spend().is_err() {
            return Sent { ms: 0, came: Came::Unpaid };
        }
        let started = Instant::now();
        let (wait, pay) = (Wait { longest, end }, || budget.spend().is_ok());
        let came = shared.transport.ask(self.door, via, pass, asked, wait, &pay).await;
        if came.is_ok() {
            budget.hear();
        }
        let came = match came {
            Err(trouble) => self.nothing(trouble),
            // What is left of a datagram cut short need not even parse.
            Ok(incoming) if incoming.truncated && travels == Travelled::Udp => Came::Cut,
            Ok(incoming) => match Response::read(&incoming.bytes) {
                Ok(response) => Came::Answer(response),
                Err(_) => Came::Nothing(Trouble::Malformed),
            },
        };
        let went = if let Came::Nothing(trouble) = &came { Err(*trouble) } else { Ok(()) };
        shared.transport.told.asked(via, started.elapsed(), went);
        Sent { ms: millis(started), came }
    }

    fn nothing(&self, trouble: Trouble) -> Came {
        if trouble == Trouble::Crowded {
            self.inquiry.budget.crowd();
        }
        Came::Nothing(trouble)
    }
}

/// Milliseconds since a moment.
pub(crate) fn millis(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}

fn fault_of(trouble: Trouble) -> NetworkFault {
    match trouble {
        Trouble::Timeout => NetworkFault::Timeout,
        Trouble::Unreachable => NetworkFault::Unreachable,
        Trouble::Malformed | Trouble::CaseDiffers => NetworkFault::Malformed,
        Trouble::Internal | Trouble::Crowded => NetworkFault::Internal,
    }
}

/// The one fault of datagrams and a connection that failed both.
fn both(datagrams: &Datagrams, connection: Trouble) -> NetworkFault {
    match (datagrams, connection) {
        (_, Trouble::Internal | Trouble::Crowded) => NetworkFault::Internal,
        (Datagrams::Cut, _) => NetworkFault::TruncatedNoTcp,
        (Datagrams::NotSent, trouble) => fault_of(trouble),
        (Datagrams::Failed(Trouble::Malformed | Trouble::CaseDiffers), _) | (_, Trouble::Malformed) => {
            NetworkFault::Malformed
        }
        (Datagrams::Failed(Trouble::Timeout), _) => NetworkFault::Timeout,
        (Datagrams::Failed(_), trouble) => fault_of(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_make_the_one_that_says_most() {
        let failed = |udp, tcp| both(&Datagrams::Failed(udp), tcp);
        assert_eq!(failed(Trouble::Timeout, Trouble::Unreachable), NetworkFault::Timeout);
        assert_eq!(failed(Trouble::Unreachable, Trouble::Unreachable), NetworkFault::Unreachable);
        assert_eq!(failed(Trouble::Unreachable, Trouble::Timeout), NetworkFault::Timeout);
        assert_eq!(failed(Trouble::CaseDiffers, Trouble::Timeout), NetworkFault::Malformed);
        assert_eq!(failed(Trouble::Timeout, Trouble::Internal), NetworkFault::Internal);
        assert_eq!(failed(Trouble::Timeout, Trouble::Crowded), NetworkFault::Internal);
        assert_eq!(both(&Datagrams::Cut, Trouble::Unreachable), NetworkFault::TruncatedNoTcp);
        assert_eq!(both(&Datagrams::NotSent, Trouble::Unreachable), NetworkFault::Unreachable);
    }
}
