//! The one word that lists, answers and filters use for where a claim stands.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Claim, ClaimState, Ended};

/// A text that is no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a status is one of pending, verifying, contested, verified, at_risk, expired, cancelled, refused, transferred, released, lapsed, revoked"
)]
pub struct StatusError;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Where a claim stands, in one stable word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Status { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl Status {
            /// Every status.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

statuses! {
    /// The challenge is handed out; nobody watches yet.
    Pending = "pending";
    /// The DNS is watched.
    Verifying = "verifying";
    /// Proven while another holder has the name.
    Contested = "contested";
    /// The claimant has the name.
    Verified = "verified";
    /// The claimant has the name, its proof is missing.
    AtRisk = "at_risk";
    /// The deadline passed without proof.
    Expired = "expired";
    /// The claimant withdrew.
    Cancelled = "cancelled";
    /// It lost a contest or can never succeed.
    Refused = "refused";
    /// The name moved to another holder.
    Transferred = "transferred";
    /// The holder gave the name up.
    Released = "released";
    /// The proof stayed missing.
    Lapsed = "lapsed";
    /// An operator took the name.
    Revoked = "revoked";
}

impl Status {
    /// Whether nothing can happen to such a claim any more.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Verifying | Self::Contested | Self::Verified | Self::AtRisk)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = StatusError;
    fn from_str(word: &str) -> Result<Self, StatusError> {
        Self::ALL.iter().copied().find(|status| status.as_str() == word).ok_or(StatusError)
    }
}

impl Claim {
    /// Where it stands.
    pub fn status(&self) -> Status {
        match &self.state {
            ClaimState::Initiated { .. } => Status::Pending,
            // Proven is passed through within one append: no grant yet, so nothing is promised.
            ClaimState::Verifying { .. } | ClaimState::Proven => Status::Verifying,
            ClaimState::Contesting(_) => Status::Contested,
            ClaimState::Held(_) => Status::Verified,
            ClaimState::AtRisk { .. } => Status::AtRisk,
            ClaimState::Ended { how, .. } => match how {
                Ended::Expired => Status::Expired,
                Ended::Cancelled => Status::Cancelled,
                Ended::Refused => Status::Refused,
                Ended::Transferred => Status::Transferred,
                Ended::Released => Status::Released,
                Ended::Lapsed => Status::Lapsed,
                Ended::Revoked => Status::Revoked,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_text_and_read_back() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_string(status).unwrap(), format!("\"{status}\""));
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        assert_eq!("proven".parse::<Status>(), Err(StatusError));
    }

    #[test]
    fn five_statuses_are_open() {
        assert_eq!(Status::ALL.iter().filter(|status| !status.is_over()).count(), 5);
    }
}
