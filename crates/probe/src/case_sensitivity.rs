//! Detects case-sensitive servers, which violate RFC 4343: their answer depends on the letter case of the query.
use deed_diagnosis::{Reply, ServerAnswer, Statement};
use hickory_proto::rr::{Name, RecordType};

use crate::follow_aliases::LookupResult;
use crate::lookup::Lookup;
use crate::lookup_mode::LookupMode;
use crate::wire::{DnsQuery, Recursion};

impl Lookup<'_> {
    /// Whether a server that denied or refused a name in random case answers differently for the same name in lower
    /// case. One server that did answer is queried once more before its denial or refusal is believed; none when no
    /// server was queried.
    pub(crate) async fn is_case_sensitive(&self, name: &Name, result: &LookupResult) -> Option<bool> {
        let home = result.home.as_ref().filter(|_| result.aliases.is_empty())?;
        let row = result.servers.iter().find(|row| is_unfavourable(row))?;
        let peer =
            self.in_canonical_order(home).into_iter().find(|peer| row.address == Some(peer.address()))?;
        let query = DnsQuery { name: name.clone(), rtype: RecordType::TXT, recursion: Recursion::No };
        // A forged answer to this query only leads to one more lookup, over TCP.
        let lower = Lookup::new(self.shared, self.budget, LookupMode::UdpFirst).in_lower_case();
        let exchange = lower.query(peer, &query).await;
        Some(match self.classify(&exchange, &home.zone, name).map(|classified| classified.reply) {
            Some(Reply::Message { rcode, statement, .. }) => {
                matches!(&row.reply, Reply::Message { rcode: before, statement: said, .. }
                    if (*before, *said) != (rcode, statement))
            }
            _ => false,
        })
    }
}

/// Whether a server answered, but neither with values nor with an alias.
fn is_unfavourable(row: &ServerAnswer) -> bool {
    matches!(&row.reply, Reply::Message { statement, .. }
        if !matches!(statement, Statement::Values | Statement::Alias))
}
