//! Domain names that can be claimed under a deployment's policy.
use super::{
    DomainName, Excerpt, MAX_NAME_LEN, NameError, consumer_mail, special_use,
    suffix::{Section, SuffixLookup, lookup},
};
use crate::Scope;

/// The names that a deployment allows to claim. The default is the strictest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamePolicy {
    /// Private and special zones (`.test`, `.internal`, `example.com`) and top-level domains that are not listed:
    /// for tests and the sandbox.
    pub allow_special_use: bool,
    /// A public suffix of the PRIVATE section as a workspace's domain, such as `github.io`. Its proof covers that name
    /// alone. As the hostname of an app it can always be claimed.
    pub allow_private_suffix: bool,
    /// Domains of providers of public mailboxes, such as `gmail.com`, and those in `extra_consumer_mail`.
    pub allow_consumer_mail: bool,
    /// More domains to refuse like those of mail providers, with all names below them.
    pub extra_consumer_mail: Vec<DomainName>,
}

/// The most octets of a name that can be claimed, so that the name of its validation record is a valid one (RFC 1035
/// §2.3.4). `longest_prefix_len` is the number of octets that the longest label of a record, with its dot, adds.
pub const fn longest_claimable(longest_prefix_len: usize) -> usize {
    MAX_NAME_LEN.saturating_sub(longest_prefix_len)
}

/// A name that the policy allows to claim, and its registrable domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimableName {
    name: DomainName,
    apex: DomainName,
}

impl ClaimableName {
    /// Parses a name as people write it, and applies a deployment's policy.
    ///
    /// # Errors
    /// When the text is not a domain name, and as [`ClaimableName::new`].
    pub fn parse(
        text: &str,
        scope: Scope,
        policy: &NamePolicy,
        longest_prefix_len: usize,
    ) -> Result<Self, NameError> {
        let name = DomainName::parse(text).map_err(|e| e.within(longest_claimable(longest_prefix_len)))?;
        Self::new(name, scope, policy, longest_prefix_len)
    }

    /// Applies a deployment's policy. `longest_prefix_len` is the number of octets that the longest label of a
    /// validation record, with its dot, adds to a name.
    ///
    /// # Errors
    /// When the name leaves no room for that label, or the policy does not allow to claim it in this scope.
    pub fn new(
        name: DomainName,
        scope: Scope,
        policy: &NamePolicy,
        longest_prefix_len: usize,
    ) -> Result<Self, NameError> {
        let limit = longest_claimable(longest_prefix_len);
        if name.as_str().len() > limit {
            return Err(NameError::TooLong { limit });
        }
        if !policy.allow_special_use
            && let Some(zone) = special_use::zone_of(&name)
        {
            return Err(NameError::SpecialUse { name: Excerpt::of(name.as_str()), zone });
        }
        let (apex, section) = match lookup(&name) {
            SuffixLookup::Registrable { apex, section } => (apex, Some(section)),
            // The operator of a private suffix can prove it as a hostname: the proof covers exactly that name.
            SuffixLookup::PublicSuffix(Section::Private)
                if scope == Scope::Host || policy.allow_private_suffix =>
            {
                (name.clone(), None)
            }
            SuffixLookup::PublicSuffix(_) => {
                return Err(NameError::PublicSuffix { suffix: Excerpt::of(name.as_str()) });
            }
            SuffixLookup::Unlisted { apex } if policy.allow_special_use => (apex, None),
            SuffixLookup::Unlisted { .. } => {
                let tld = name.labels().next_back().unwrap_or_default();
                return Err(NameError::UnlistedTld { tld: Excerpt::of(tld) });
            }
        };
        if !policy.allow_consumer_mail {
            refuse_consumer_mail(&name, &apex, section, &policy.extra_consumer_mail)?;
        }
        Ok(Self { name, apex })
    }

    /// The name as claimed.
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// The registrable domain by the full Public Suffix List; for a claimable suffix of the PRIVATE section, the suffix
    /// itself.
    pub fn apex(&self) -> &DomainName {
        &self.apex
    }

    /// Whether the name is its registrable domain.
    pub fn is_apex(&self) -> bool {
        self.name == self.apex
    }

    /// The name and the registrable domain.
    pub fn into_parts(self) -> (DomainName, DomainName) {
        (self.name, self.apex)
    }
}

/// Refuses domains of mail providers: the listed ones by registrable domain, the deployment's own by name.
fn refuse_consumer_mail(
    name: &DomainName,
    apex: &DomainName,
    section: Option<Section>,
    extra: &[DomainName],
) -> Result<(), NameError> {
    let listed = section.is_some_and(|section| consumer_mail::is_providers(apex, section));
    let provider = if listed { Some(apex) } else { extra.iter().find(|domain| name.is_within(domain)) };
    match provider {
        Some(domain) => Err(NameError::ConsumerMail { domain: Excerpt::of(domain.as_str()) }),
        None => Ok(()),
    }
}
