//! Which domain names a deployment lets somebody claim.
use super::{
    DomainName, Excerpt, MAX_NAME_LEN, NameError, consumer_mail, special_use,
    suffix::{Section, Standing, standing},
};

/// What a deployment lets people claim. The default is the strictest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePolicy {
    /// Private and special zones (`.test`, `.internal`, `example.com`) and top-level domains that are not listed:
    /// for tests and the sandbox.
    pub allow_special_use: bool,
    /// A public suffix of the PRIVATE section as a whole, such as `github.io`. A proof there covers that name alone.
    pub allow_private_suffix: bool,
    /// Domains of providers of public mailboxes, such as `gmail.com`, and those of `extra_consumer_mail`.
    pub allow_consumer_mail: bool,
    /// More domains that are refused like those of mail providers, with all names below them.
    pub extra_consumer_mail: Vec<DomainName>,
    /// The most octets a name may have; the room for the record's label is kept free besides.
    pub max_name_len: usize,
}

impl Default for NamePolicy {
    fn default() -> Self {
        Self {
            allow_special_use: false,
            allow_private_suffix: false,
            allow_consumer_mail: false,
            extra_consumer_mail: Vec::new(),
            max_name_len: MAX_NAME_LEN,
        }
    }
}

/// A name that may be claimed here, and the registrable domain it lies in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimableName {
    name: DomainName,
    apex: DomainName,
}

impl ClaimableName {
    /// Applies a deployment's policy. `longest_prefix_len` is what the longest label of a validation record, with
    /// its dot, adds to a name, in octets.
    ///
    /// # Errors
    /// When the name leaves no room for that label, or the policy does not let anybody claim it.
    pub fn new(name: DomainName, policy: &NamePolicy, longest_prefix_len: usize) -> Result<Self, NameError> {
        let limit = policy.max_name_len.min(MAX_NAME_LEN.saturating_sub(longest_prefix_len));
        if name.as_str().len() > limit {
            return Err(NameError::TooLong { limit });
        }
        if !policy.allow_special_use
            && let Some(zone) = special_use::zone_of(&name)
        {
            return Err(NameError::SpecialUse { name: Excerpt::of(name.as_str()), zone });
        }
        let (apex, section) = match standing(&name) {
            Standing::Registrable { apex, section } => (apex, Some(section)),
            Standing::PublicSuffix(Section::Private) if policy.allow_private_suffix => (name.clone(), None),
            Standing::PublicSuffix(_) => {
                return Err(NameError::PublicSuffix { suffix: Excerpt::of(name.as_str()) });
            }
            Standing::Unlisted { apex } if policy.allow_special_use => (apex, None),
            Standing::Unlisted { .. } => {
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

    /// The registrable domain by the full Public Suffix List. A suffix of the PRIVATE section, where those may be
    /// claimed, is its own.
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

/// The providers in the list by registrable domain, the deployment's own by name.
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
