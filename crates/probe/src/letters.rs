//! Servers to which letters are not alike, against RFC 4343: what they say depends on how the question was written.
use deed_claims::{Reply, ServerAnswer, Statement};
use hickory_proto::rr::{Name, RecordType};

use crate::inquiry::{Inquiry, Mode, Sight};
use crate::wire::{Recursion, Wanted};

impl Inquiry<'_> {
    /// Whether a server that had no answer to a name in random letters has another one to the same name in lower case.
    /// One that did answer is asked, by a question more, before its denial or refusal is believed; none when nobody was
    /// asked.
    pub(crate) async fn minds_letters(&self, name: &Name, sight: &Sight) -> Option<bool> {
        let home = sight.home.as_ref().filter(|_| sight.aliases.is_empty())?;
        let row = sight.servers.iter().find(|row| is_unfavourable(row))?;
        let peer = self.in_order(home).into_iter().find(|peer| row.address == Some(peer.address()))?;
        let wanted = Wanted { name: name.clone(), rtype: RecordType::TXT, recursion: Recursion::No };
        // What a forged answer leads to is one more look, over connections.
        let lower = Inquiry::new(self.shared, self.budget, Mode::Usual).in_lower_case();
        let heard = lower.ask(peer, &wanted).await;
        Some(match self.read(&heard, &home.zone, name).map(|reading| reading.reply) {
            Some(Reply::Message { rcode, statement, .. }) => {
                matches!(&row.reply, Reply::Message { rcode: before, statement: said, .. }
                    if (*before, *said) != (rcode, statement))
            }
            _ => false,
        })
    }
}

/// Whether a server answered, and neither with values nor with an alias.
fn is_unfavourable(row: &ServerAnswer) -> bool {
    matches!(&row.reply, Reply::Message { statement, .. }
        if !matches!(statement, Statement::Values | Statement::Alias))
}
