//! The status: one stable word for the state of a claim in lists, answers and filters.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Claim, ClaimState, Ended};

/// A text that is not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a status is one of pending, verifying, contested, verified, at_risk, expired, cancelled, refused, transferred, released, lapsed, revoked"
)]
pub struct StatusError;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The state of a claim in one stable word.
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
    /// The challenge is issued; no checks are made yet.
    Pending = "pending";
    /// Checks are made on schedule.
    Verifying = "verifying";
    /// Proven while another holder has the name.
    Contested = "contested";
    /// The claimant has the name.
    Verified = "verified";
    /// The claimant has the name, and its proof is missing.
    AtRisk = "at_risk";
    /// The deadline passed without proof.
    Expired = "expired";
    /// The claimant cancelled it.
    Cancelled = "cancelled";
    /// It lost a contest or can never succeed.
    Refused = "refused";
    /// The name was transferred to another holder.
    Transferred = "transferred";
    /// The holder released the name.
    Released = "released";
    /// The record stayed absent for the grace period.
    Lapsed = "lapsed";
    /// An operator revoked the holding.
    Revoked = "revoked";
}

impl Status {
    /// Whether a claim with this status has ended.
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
    /// The status of the claim.
    pub fn status(&self) -> Status {
        match &self.state {
            ClaimState::Initiated { .. } => Status::Pending,
            // A claim is `Proven` only within one append, before the grant.
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
    fn words_round_trip_through_json_and_text() {
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
