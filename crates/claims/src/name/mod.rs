//! Domain names: parsing, the Public Suffix List, and the policy of what can be claimed.
//!
//! A text becomes a [`DomainName`] (valid and canonical), and a domain name becomes a [`ClaimableName`] (allowed by the
//! deployment's policy). Later code never handles the raw text.

mod blank;
mod claimable;
mod consumer_mail;
mod domain;
mod error;
mod parse;
mod special_use;
mod suffix;
#[cfg(test)]
mod tests;

pub use claimable::{ClaimableName, NamePolicy, longest_claimable};
pub use domain::DomainName;
pub use error::{Excerpt, LabelFault, NameError};
pub use suffix::{is_registry, suffix_list_version};

/// The most octets of a name in text form, without the trailing dot (RFC 1035 §2.3.4).
pub const MAX_NAME_LEN: usize = 253;
