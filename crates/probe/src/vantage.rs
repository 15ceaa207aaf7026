//! Vantage points: resolvers in other networks that report what they see.
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use deed_diagnosis::{NetworkFault, Reply, Signatures, Statement, VantageAnswer};
use futures::future::join_all;
use hickory_proto::rr::{Name, RecordType};

use crate::egress::Peer;
use crate::exchange::NoReply;
use crate::lookup::Lookup;
use crate::response::Response;
use crate::wire::{DnsQuery, Recursion};

/// A resolver in another network, with its own cache and its own route to the servers. Written `name=address:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vantage {
    /// Its name in the evidence.
    pub name: String,
    /// Where it is queried.
    pub address: SocketAddr,
}

/// Why a text is not a vantage point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VantageError {
    /// There is no name before the `=`.
    #[error("it has no name; written NAME=ADDRESS:PORT")]
    Name,
    /// The part after the name is not an address with a port.
    #[error("what follows the name is no address with a port")]
    Address,
}

impl FromStr for Vantage {
    type Err = VantageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text.split_once('=').ok_or(VantageError::Name)?;
        let name = name.trim();
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            return Err(VantageError::Name);
        }
        let address = address.trim().parse().map_err(|_| VantageError::Address)?;
        Ok(Self { name: name.to_owned(), address })
    }
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

impl Lookup<'_> {
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
        let end = chain.targets.last().unwrap_or(name);
        let texts = response.txt_values(end, budgets.txt_records, budgets.txt_bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_vantage_name_and_address() {
        let vantage: Vantage = " tokyo = [2001:db8::53]:53".parse().unwrap();
        assert_eq!(vantage.to_string(), "tokyo=[2001:db8::53]:53");
        assert_eq!(vantage.to_string().parse(), Ok(vantage));
        assert_eq!("192.0.2.53:53".parse::<Vantage>(), Err(VantageError::Name));
        assert_eq!("a b=192.0.2.53:53".parse::<Vantage>(), Err(VantageError::Name));
        assert_eq!("tokyo=192.0.2.53".parse::<Vantage>(), Err(VantageError::Address));
    }
}
