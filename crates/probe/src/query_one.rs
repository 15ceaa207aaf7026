//! One query to one server, to report what that server alone answers.
use std::net::SocketAddr;

use deed_diagnosis::{NetworkFault, Reply, ServerAnswer, Transport};
use hickory_proto::rr::{Name, RecordType};

use crate::budget::Budget;
use crate::egress::Peer;
use crate::lookup::Lookup;
use crate::lookup_mode::LookupMode;
use crate::prober::Prober;
use crate::wire::{DnsQuery, Recursion, absolute_name};

impl Prober {
    /// Queries one server for the TXT records at a name, as a probe would: over UDP, with fallback to TCP, within the
    /// budgets, and only where the egress filter permits it. Follows nothing, confirms nothing and caches nothing.
    pub async fn query_one(&self, server: SocketAddr, name: &str) -> ServerAnswer {
        let answer = |transport, reply, ms| ServerAnswer {
            server: String::new(),
            address: Some(server.ip().to_canonical()),
            transport,
            reply,
            ms,
        };
        let Some(name) = absolute_name(name) else {
            return answer(Transport::Udp, Reply::Fault(NetworkFault::Internal), 0);
        };
        let budgets = &self.shared.config.budgets;
        let budget = Budget::new(budgets.queries, budgets.time);
        let lookup = Lookup::new(&self.shared, &budget, LookupMode::UdpFirst);
        let query = DnsQuery { name, rtype: RecordType::TXT, recursion: Recursion::No };
        let exchange = lookup.query(Peer::FromDns(server), &query).await;
        // The zone is not known here: any zone that encloses the name.
        let reply = lookup.classify(&exchange, &Name::root(), &query.name).map(|classified| classified.reply);
        // Nothing was sent because the time was over, and all of it passed on our side.
        let reply = reply.unwrap_or(Reply::Fault(NetworkFault::Internal));
        answer(exchange.transport, reply, exchange.ms)
    }
}
