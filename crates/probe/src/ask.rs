//! One question to one server, for whoever wants to know what that server alone says.
use std::net::SocketAddr;

use deed_claims::{NetworkFault, Reply, ServerAnswer, Transport};
use hickory_proto::rr::{Name, RecordType};

use crate::budget::Budget;
use crate::egress::Peer;
use crate::inquiry::{Inquiry, Mode};
use crate::prober::Prober;
use crate::wire::{Recursion, Wanted, absolute};

impl Prober {
    /// Asks one server for the TXT records at a name, as a look would: by datagram, over a connection where that
    /// does not do, within the budgets, and only where the egress rules let a look go. Nothing is followed,
    /// repeated or remembered.
    pub async fn ask(&self, server: SocketAddr, name: &str) -> ServerAnswer {
        let answer = |transport, reply, ms| ServerAnswer {
            server: String::new(),
            address: Some(server.ip().to_canonical()),
            transport,
            reply,
            ms,
        };
        let Some(name) = absolute(name) else {
            return answer(Transport::Udp, Reply::Fault(NetworkFault::Internal), 0);
        };
        let budgets = &self.shared.config.budgets;
        let budget = Budget::new(budgets.queries, budgets.time);
        let inquiry = Inquiry::new(&self.shared, &budget, Mode::Usual);
        let wanted = Wanted { name, rtype: RecordType::TXT, recursion: Recursion::No };
        let heard = inquiry.ask(Peer::Found(server), &wanted).await;
        // Which zone it speaks for is not known here: any around the name.
        let reply = inquiry.read(&heard, &Name::root(), &wanted.name).map(|reading| reading.reply);
        // Nothing was asked because the time was over, and all of it went by on our side.
        let reply = reply.unwrap_or(Reply::Fault(NetworkFault::Internal));
        answer(heard.travelled, reply, heard.ms)
    }
}
