//! Stream ids: one stream per claimed name, per app, and per slug.
use std::{fmt, str::FromStr, sync::Arc};

use crate::id::text_serde;
use crate::{AppId, Scope, name::DomainName};

/// The kind of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// All claims on one registrable domain.
    Apex,
    /// All claims on one hostname.
    Host,
    /// One app.
    App,
    /// One slug and its owner.
    Slug,
}

impl StreamKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Apex => "apex",
            Self::Host => "host",
            Self::App => "app",
            Self::Slug => "slug",
        }
    }
}

/// The id of a stream, such as `apex:acme.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    kind: StreamKind,
    text: Arc<str>,
}

/// A text that is not a stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream is `apex:`, `host:`, `app:` or `slug:` followed by a name")]
pub struct StreamIdError;

impl StreamId {
    fn new(kind: StreamKind, rest: &str) -> Self {
        Self { kind, text: format!("{}:{rest}", kind.prefix()).into() }
    }

    /// The stream of all claims on `name` in `scope`.
    pub fn ownership(scope: Scope, name: &DomainName) -> Self {
        let kind = match scope {
            Scope::Apex => StreamKind::Apex,
            Scope::Host => StreamKind::Host,
        };
        Self::new(kind, name.as_str())
    }

    /// The stream of one app.
    pub fn app(app: &AppId) -> Self {
        Self::new(StreamKind::App, app.as_str())
    }

    /// The stream of one slug.
    pub fn slug(slug: &crate::app::Slug) -> Self {
        Self::new(StreamKind::Slug, slug.as_str())
    }

    /// The kind of the stream.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// The text with its prefix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text after the prefix.
    pub fn rest(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, rest)| rest)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for StreamId {
    type Err = StreamIdError;
    fn from_str(s: &str) -> Result<Self, StreamIdError> {
        let (prefix, rest) = s.split_once(':').ok_or(StreamIdError)?;
        let kind = [StreamKind::Apex, StreamKind::Host, StreamKind::App, StreamKind::Slug]
            .into_iter()
            .find(|k| k.prefix() == prefix)
            .ok_or(StreamIdError)?;
        let fits = !rest.is_empty() && rest.len() <= 253 && rest.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self { kind, text: s.into() }) } else { Err(StreamIdError) }
    }
}
text_serde!(StreamId);
