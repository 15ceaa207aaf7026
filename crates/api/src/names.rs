//! Names as requests give them: in a body they have to be claimable here, in a path only valid.
use deed_claims::name::{ClaimableName, DomainName, NameError};

use crate::state::AppState;

impl AppState {
    /// A name somebody wants to claim.
    pub(crate) fn claimable(&self, text: &str) -> Result<ClaimableName, NameError> {
        ClaimableName::new(DomainName::parse(text)?, &self.names, self.templates.longest_prefix())
    }
}

/// The registrable domain whose stream answers for a name in a path. What is claimed already stays reachable,
/// whatever may be claimed today.
pub fn apex_of(name: &DomainName) -> DomainName {
    // A public suffix that somebody was allowed to claim as a whole is its own apex.
    name.registrable_domain().unwrap_or_else(|| name.clone())
}
