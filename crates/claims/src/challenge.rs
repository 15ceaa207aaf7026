//! Challenges: the token and the validation record to publish.
use std::{fmt, str::FromStr, sync::Arc};

use deed_diagnosis::ExpectedRecord;
use serde::{Deserialize, Serialize};

use crate::id::{BASE32, text_serde};
use crate::{Scope, name::DomainName};

/// The random part of a record value: 160 bits as 32 characters of lower-case base32.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// A token from 20 random bytes.
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(BASE32.encode(&bytes).into())
    }

    /// The characters of the token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 lower-case base32 letters")]
pub struct TokenError;

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(s: &str) -> Result<Self, TokenError> {
        // 32 characters of five bits are exactly 160 bits.
        let fits = s.len() == 32 && s.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        if fits { Ok(Self(s.into())) } else { Err(TokenError) }
    }
}
text_serde!(Token);

/// The TXT record that a claimant has to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// The owner name of the record, in lower-case ASCII without the trailing dot.
    #[serde(deserialize_with = "crate::id::shared_str")]
    pub record_name: Arc<str>,
    /// The whole value, which is compared byte for byte.
    #[serde(deserialize_with = "crate::id::shared_str")]
    pub record_value: Arc<str>,
    /// The random part of the value.
    pub token: Token,
}

impl<'a> From<&'a Challenge> for ExpectedRecord<'a> {
    fn from(challenge: &'a Challenge) -> Self {
        Self { name: &challenge.record_name, value: &challenge.record_value, token: challenge.token.as_str() }
    }
}

/// An invalid template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The label is not an underscore and letters, digits or hyphens.
    #[error("a record label starts with `_` and goes on with 1 to 62 letters, digits, `-` or `_`: got `{0}`")]
    Label(String),
    /// The value has no place for the token, is not printable, or is too long.
    #[error(
        "a record value is printable ASCII, holds `{{token}}` once, and is at most 200 characters: got `{0}`"
    )]
    Value(String),
}

/// The names and values of validation records in a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeTemplates {
    apex_label: Arc<str>,
    apex_value: Arc<str>,
    host_label: Arc<str>,
    host_value: Arc<str>,
}

impl Default for ChallengeTemplates {
    fn default() -> Self {
        Self::of_brand("deed")
    }
}

impl ChallengeTemplates {
    fn of_brand(brand: &str) -> Self {
        Self {
            apex_label: format!("_{brand}").into(),
            apex_value: format!("{brand}-domain-claim={{token}}").into(),
            host_label: format!("_{brand}-verify").into(),
            host_value: format!("{brand}-site-verification={{token}}").into(),
        }
    }

    /// The default templates with a brand.
    ///
    /// # Errors
    /// When the brand does not result in a valid label.
    pub fn branded(brand: &str) -> Result<Self, TemplateError> {
        Self::of_brand(brand).checked()
    }

    /// These templates with some parts replaced; `None` keeps a part.
    ///
    /// # Errors
    /// When a replaced part is invalid.
    pub fn with(
        mut self,
        apex_label: Option<&str>,
        apex_value: Option<&str>,
        host_label: Option<&str>,
        host_value: Option<&str>,
    ) -> Result<Self, TemplateError> {
        for (slot, part) in [
            (&mut self.apex_label, apex_label),
            (&mut self.apex_value, apex_value),
            (&mut self.host_label, host_label),
            (&mut self.host_value, host_value),
        ] {
            if let Some(part) = part {
                *slot = part.into();
            }
        }
        self.checked()
    }

    fn checked(self) -> Result<Self, TemplateError> {
        for label in [&self.apex_label, &self.host_label] {
            let fits = (2..=63).contains(&label.len())
                && label.starts_with('_')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
            if !fits {
                return Err(TemplateError::Label(label.to_string()));
            }
        }
        for value in [&self.apex_value, &self.host_value] {
            let fits = value.len() <= 200
                && value.matches("{token}").count() == 1
                && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            if !fits {
                return Err(TemplateError::Value(value.to_string()));
            }
        }
        Ok(self)
    }

    /// The octets that the longest label, with its dot, adds to a name.
    pub fn longest_prefix(&self) -> usize {
        self.apex_label.len().max(self.host_label.len()) + 1
    }

    /// The challenge of one claim.
    pub fn challenge(&self, scope: Scope, name: &DomainName, token: Token) -> Challenge {
        let (label, value) = match scope {
            Scope::Apex => (&self.apex_label, &self.apex_value),
            Scope::Host => (&self.host_label, &self.host_value),
        };
        Challenge {
            record_name: format!("{label}.{name}").into(),
            record_value: value.replace("{token}", token.as_str()).into(),
            token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_follows_the_brand() {
        let name: DomainName = "acme.com".parse().unwrap();
        let token = Token::from_bytes([0; 20]);
        let made = ChallengeTemplates::branded("migma").unwrap().challenge(Scope::Apex, &name, token.clone());
        assert_eq!(&*made.record_name, "_migma.acme.com");
        assert_eq!(&*made.record_value, format!("migma-domain-claim={token}"));
        let made = ChallengeTemplates::default().challenge(Scope::Host, &name, token.clone());
        assert_eq!(&*made.record_name, "_deed-verify.acme.com");
        assert_eq!(&*made.record_value, format!("deed-site-verification={token}"));
    }

    #[test]
    fn tokens_have_160_bits_and_are_not_debugged() {
        let token = Token::from_bytes([0xff; 20]);
        assert_eq!(token.as_str().len(), 32);
        assert_eq!(token.as_str().parse(), Ok(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn refuses_invalid_templates() {
        assert!(ChallengeTemplates::branded("Acme Corp").is_err());
        let base = ChallengeTemplates::default;
        assert!(base().with(Some("nounderscore"), None, None, None).is_err());
        assert!(base().with(None, Some("no-place-for-it"), None, None).is_err());
        assert!(base().with(None, Some("{token}{token}"), None, None).is_err());
    }
}
