//! Names: which texts are domain names, and which domain names can be claimed.
//!
//! A text becomes a [`DomainName`] (valid and canonical), and a domain name becomes a [`ClaimableName`] (a
//! deployment lets somebody own it). Nothing downstream looks at a raw text again.

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

/// Octets a name can have on the wire, in text form without the trailing dot (RFC 1035 §2.3.4).
pub const MAX_NAME_LEN: usize = 253;
