//! Queries recursive resolvers: the trusted ones, and those at vantage points.
use deed_diagnosis::{NetworkFault, Reply, Signatures, Statement, VantageAnswer};
use futures::future::join_all;
use hickory_proto::rr::{Name, RecordType};

use crate::egress::Peer;
use crate::exchange::NoReply;
use crate::lookup::Lookup;
use crate::response::Response;
use crate::wire::{DnsQuery, Recursion};

impl Lookup<'_> {
    /// Queries the trusted resolvers one after the other until one answers.
    pub(crate) async fn query_resolvers(&self, query: &DnsQuery) -> Option<Response> {
        let mut last = None;
        for resolver in &self.shared.config.resolvers {
            match self.query(Peer::Configured(*resolver), query).await.result {
                Ok(response) if response.is_conclusive() => return Some(response),
                Ok(response) => last = Some(response),
                Err(_) => {}
            }
        }
        last
    }

    /// Queries all vantage points at the same time.
    pub(crate) async fn query_vantages(&self, name: &Name) -> Vec<VantageAnswer> {
        let query = DnsQuery { name: name.clone(), rtype: RecordType::TXT, recursion: Recursion::Desired };
        let query = &query;
        join_all(self.shared.config.vantages.iter().map(|vantage| async move {
            let exchange = self.query(Peer::Configured(vantage.address), query).await;
            let reply = match &exchange.result {
                Ok(response) => self.reply_of_resolver(response, name),
                Err(NoReply::Blocked) => Reply::Blocked,
                Err(NoReply::Fault(fault)) => Reply::Fault(*fault),
                Err(NoReply::BudgetSpent) => Reply::Fault(NetworkFault::Timeout),
            };
            VantageAnswer { vantage: vantage.name.clone(), reply, ms: exchange.ms }
        }))
        .await
    }

    /// A resolver's answer about a name: the resolver has followed the aliases itself.
    pub(crate) fn reply_of_resolver(&self, response: &Response, name: &Name) -> Reply {
        let budgets = &self.shared.config.budgets;
        let chain = response.chain(name, budgets.aliases + 1);
        let end = chain.end(name);
        let texts = response.txt_values(end, budgets);
        let shown = !texts.values.is_empty();
        Reply::Message {
            rcode: response.rcode(),
            authoritative: response.authoritative(),
            truncated: response.truncated(),
            ede: response.ede(),
            values: texts.values,
            oversize: texts.oversize,
            soa: if shown { None } else { response.soa(&Name::root(), end) },
            // A resolver answers without authority.
            statement: Statement::Nothing,
            signatures: Signatures::None,
            plain: false,
        }
    }
}
