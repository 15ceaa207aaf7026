//! One query to one server: over UDP first, then over TCP, all of it paid from the budget.
use deed_diagnosis::{NetworkFault, Transport};
use tokio::time::Instant;
use tracing::debug;

use crate::egress::Peer;
use crate::lookup::Lookup;
use crate::lookup_mode::LookupMode;
use crate::rcode::{BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL};
use crate::response::Response;
use crate::transport::PermittedAddress;
use crate::transport::error::TransportError;
use crate::transport::route::{TransportKind, WaitLimits};
use crate::wire::{DnsQuery, EdnsMode, EncodedQuery, NameCase, Recursion};

/// The result of querying one server.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The transport of the last attempt.
    pub(crate) transport: Transport,
    /// The last round-trip time, in milliseconds.
    pub(crate) ms: u32,
    /// The last query went out without EDNS, because the server did not accept EDNS.
    pub(crate) fell_back: bool,
    pub(crate) result: Result<Response, NoReply>,
}

/// Queries that have to be left for retrying a silent server without EDNS.
const MIN_LEFT: u32 = 20;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoReply {
    /// The egress filter refuses the address; nothing was sent.
    Blocked,
    /// The budget was spent before anything was sent.
    BudgetSpent,
    Fault(NetworkFault),
}

enum Attempt {
    Answer(Response),
    /// Truncated: the rest has to come over TCP.
    Truncated,
    Failed(TransportError),
    /// The budget was spent; nothing was sent.
    BudgetSpent,
}

/// One query to one server, with its state between attempts.
struct ServerQuery<'a> {
    lookup: &'a Lookup<'a>,
    to: PermittedAddress,
    query: &'a DnsQuery,
    edns: EdnsMode,
    /// The server did not accept the query with EDNS, so it was sent without.
    fell_back: bool,
    ms: u32,
}

/// Why UDP did not settle the query.
enum UdpOutcome {
    NotSent,
    Truncated,
    Failed(TransportError),
}

impl Lookup<'_> {
    /// Queries one server until it answers or all attempts have failed.
    pub(crate) async fn query(&self, peer: Peer, query: &DnsQuery) -> Exchange {
        let exchange = match self.shared.transport.permit(peer) {
            None => {
                Exchange { transport: Transport::Udp, ms: 0, fell_back: false, result: Err(NoReply::Blocked) }
            }
            Some(to) => {
                let edns = self.shared.no_edns.edns_for(peer.address());
                let query = ServerQuery { lookup: self, to, query, edns, fell_back: false, ms: 0 };
                let exchange = query.run(self.mode).await;
                if exchange.fell_back && exchange.result.is_ok() {
                    self.shared.no_edns.record(peer.address());
                }
                exchange
            }
        };
        match &exchange.result {
            Ok(response) => debug!(
                server = %peer.address(), kind = %query.rtype, over = ?exchange.transport, ms = exchange.ms,
                rcode = response.rcode(), aa = response.authoritative(), "response"
            ),
            Err(reason) => debug!(
                server = %peer.address(), kind = %query.rtype, over = ?exchange.transport, ms = exchange.ms,
                reason = ?reason, "no response"
            ),
        }
        exchange
    }
}

impl ServerQuery<'_> {
    async fn run(mut self, mode: LookupMode) -> Exchange {
        let udp = match mode {
            LookupMode::TcpOnly => UdpOutcome::NotSent,
            LookupMode::UdpFirst => match self.query_udp().await {
                Ok(result) => return self.finish(Transport::Udp, result),
                Err(UdpOutcome::Failed(TransportError::Timeout)) => match self.without_edns().await {
                    Some(response) => return self.finish(Transport::Udp, Ok(response)),
                    None => UdpOutcome::Failed(TransportError::Timeout),
                },
                Err(unsettled) => unsettled,
            },
        };
        let result = match self.query_tcp().await {
            Attempt::Answer(response) => Ok(response),
            Attempt::BudgetSpent => Err(match udp {
                UdpOutcome::NotSent => NoReply::BudgetSpent,
                // Truncated over UDP and not repeated over TCP: whether TCP works is unknown.
                UdpOutcome::Truncated => NoReply::Fault(NetworkFault::Timeout),
                UdpOutcome::Failed(error) => NoReply::Fault(fault_of(error)),
            }),
            Attempt::Failed(error) => Err(NoReply::Fault(fault_of_both(&udp, error))),
            Attempt::Truncated => Err(NoReply::Fault(NetworkFault::Malformed)),
        };
        self.finish(Transport::Tcp, result)
    }

    /// The final result: a server that accepts the query neither with EDNS nor without it counts as broken in EDNS.
    fn finish(self, transport: Transport, result: Result<Response, NoReply>) -> Exchange {
        let broken = self.fell_back
            && match &result {
                Ok(response) => !matches!(response.rcode(), NOERROR | NXDOMAIN | SERVFAIL | REFUSED),
                Err(NoReply::Fault(fault)) => *fault != NetworkFault::Internal,
                Err(_) => false,
            };
        let result = if broken { Err(NoReply::Fault(NetworkFault::EdnsBroken)) } else { result };
        Exchange { transport, ms: self.ms, fell_back: self.fell_back, result }
    }

    /// One more datagram without EDNS, for servers that drop queries with EDNS instead of answering FORMERR (RFC 8906
    /// §5). None when it was not sent, or got no answer either.
    async fn without_edns(&mut self) -> Option<Response> {
        if self.edns == EdnsMode::Without || self.lookup.budget.left() < MIN_LEFT {
            return None;
        }
        self.edns = EdnsMode::Without;
        match self.send(Transport::Udp).await {
            Attempt::Answer(response) => {
                self.fell_back = true;
                Some(response)
            }
            Attempt::Truncated => {
                // The server answers, and the rest has to come over TCP, without EDNS as well.
                self.fell_back = true;
                None
            }
            Attempt::Failed(_) | Attempt::BudgetSpent => {
                self.edns = EdnsMode::With;
                None
            }
        }
    }

    /// `Err` when TCP has to settle it.
    async fn query_udp(&mut self) -> Result<Result<Response, NoReply>, UdpOutcome> {
        let mut last = None;
        let mut left = self.lookup.shared.config.udp_tries;
        while left > 0 {
            left -= 1;
            match self.send(Transport::Udp).await {
                Attempt::Answer(response) if self.falls_back_to_no_edns(&response) => left += 1,
                Attempt::Answer(response) => return Ok(Ok(response)),
                Attempt::Truncated => return Err(UdpOutcome::Truncated),
                Attempt::BudgetSpent => {
                    return Ok(Err(
                        last.map_or(NoReply::BudgetSpent, |error| NoReply::Fault(fault_of(error)))
                    ));
                }
                Attempt::Failed(TransportError::Internal | TransportError::AtCapacity) => {
                    return Ok(Err(NoReply::Fault(NetworkFault::Internal)));
                }
                Attempt::Failed(TransportError::Timeout) => last = Some(TransportError::Timeout),
                // Another datagram would have the same result: TCP settles it.
                Attempt::Failed(error) => return Err(UdpOutcome::Failed(error)),
            }
        }
        Err(UdpOutcome::Failed(last.unwrap_or(TransportError::Malformed)))
    }

    async fn query_tcp(&mut self) -> Attempt {
        match self.send(Transport::Tcp).await {
            Attempt::Answer(response) if self.falls_back_to_no_edns(&response) => {
                self.send(Transport::Tcp).await
            }
            attempt => attempt,
        }
    }

    /// Whether the server could not parse EDNS, so that the query has to be sent again without it.
    fn falls_back_to_no_edns(&mut self, response: &Response) -> bool {
        let refused = match response.rcode() {
            FORMERR | NOTIMP => !response.has_edns(),
            // The upper bits of this code come in an EDNS record, of a version that we do not speak.
            BADVERS => true,
            _ => false,
        };
        let falls = self.edns == EdnsMode::With && refused;
        if falls {
            (self.edns, self.fell_back) = (EdnsMode::Without, true);
        }
        falls
    }

    async fn send(&mut self, transport: Transport) -> Attempt {
        let (shared, budget) = (self.lookup.shared, self.lookup.budget);
        // Random case adds nothing on TCP, and a trusted resolver passes the case on to servers that may be
        // case-sensitive.
        let ours = self.query.recursion != Recursion::No;
        let name_case =
            if transport == Transport::Tcp || ours { NameCase::Lower } else { self.lookup.name_case };
        let encoded = EncodedQuery::new(self.query, self.edns, name_case);
        let (kind, longest) = match transport {
            Transport::Udp => (TransportKind::Udp, shared.config.udp_timeout),
            Transport::Tcp => (TransportKind::Tcp, shared.config.tcp_timeout),
        };
        let end = budget.deadline();
        // Only a query that may be sent is paid for.
        let permit = match shared.transport.admit(self.to, kind, end).await {
            Ok(permit) => permit,
            Err(error) => {
                self.ms = 0;
                return self.failed(error);
            }
        };
        if budget.spend().is_err() {
            return Attempt::BudgetSpent;
        }
        let started = Instant::now();
        let (wait, pay) = (WaitLimits { longest, end }, || budget.spend().is_ok());
        let reply = shared.transport.send(self.to, kind, permit, encoded, wait, &pay).await;
        if reply.is_ok() {
            budget.mark_answered();
        }
        let attempt = match reply {
            Err(error) => self.failed(error),
            // A truncated datagram need not even parse.
            Ok(reply) if reply.truncated && transport == Transport::Udp => Attempt::Truncated,
            Ok(reply) => match Response::read(&reply.bytes) {
                Ok(response) => Attempt::Answer(response),
                Err(_) => Attempt::Failed(TransportError::Malformed),
            },
        };
        let result = if let Attempt::Failed(error) = &attempt { Err(*error) } else { Ok(()) };
        shared.transport.metrics.record(kind, started.elapsed(), result);
        self.ms = millis(started);
        attempt
    }

    fn failed(&self, error: TransportError) -> Attempt {
        if error == TransportError::AtCapacity {
            self.lookup.budget.mark_at_capacity();
        }
        Attempt::Failed(error)
    }
}

/// Milliseconds since an instant.
pub(crate) fn millis(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}

fn fault_of(error: TransportError) -> NetworkFault {
    match error {
        TransportError::Timeout => NetworkFault::Timeout,
        TransportError::Unreachable => NetworkFault::Unreachable,
        TransportError::Malformed | TransportError::CaseDiffers => NetworkFault::Malformed,
        TransportError::Internal | TransportError::AtCapacity => NetworkFault::Internal,
    }
}

/// The one fault to report when both UDP and TCP failed.
fn fault_of_both(udp: &UdpOutcome, tcp: TransportError) -> NetworkFault {
    match (udp, tcp) {
        (_, TransportError::Internal | TransportError::AtCapacity) => NetworkFault::Internal,
        (UdpOutcome::Truncated, _) => NetworkFault::TruncatedNoTcp,
        (UdpOutcome::NotSent, error) => fault_of(error),
        (UdpOutcome::Failed(TransportError::Malformed | TransportError::CaseDiffers), _)
        | (_, TransportError::Malformed) => NetworkFault::Malformed,
        (UdpOutcome::Failed(TransportError::Timeout), _) => NetworkFault::Timeout,
        (UdpOutcome::Failed(_), error) => fault_of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_most_specific_of_two_failures() {
        let failed = |udp, tcp| fault_of_both(&UdpOutcome::Failed(udp), tcp);
        assert_eq!(failed(TransportError::Timeout, TransportError::Unreachable), NetworkFault::Timeout);
        assert_eq!(
            failed(TransportError::Unreachable, TransportError::Unreachable),
            NetworkFault::Unreachable
        );
        assert_eq!(failed(TransportError::Unreachable, TransportError::Timeout), NetworkFault::Timeout);
        assert_eq!(failed(TransportError::CaseDiffers, TransportError::Timeout), NetworkFault::Malformed);
        assert_eq!(failed(TransportError::Timeout, TransportError::Internal), NetworkFault::Internal);
        assert_eq!(failed(TransportError::Timeout, TransportError::AtCapacity), NetworkFault::Internal);
        assert_eq!(
            fault_of_both(&UdpOutcome::Truncated, TransportError::Unreachable),
            NetworkFault::TruncatedNoTcp
        );
        assert_eq!(
            fault_of_both(&UdpOutcome::NotSent, TransportError::Unreachable),
            NetworkFault::Unreachable
        );
    }
}
