//! Apps with their hostnames, and the owners of slugs.
use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::text_serde;
use crate::{AppId, WorkspaceId, name::DomainName};

/// The short name of an app, part of its CNAME target: 1 to 63 lower-case letters, digits and inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Arc<str>);

/// A text that is not a slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a slug is 1 to 63 lower-case letters, digits and inner hyphens")]
pub struct SlugError;

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug that is nearest to an app's name; none where no character of it is allowed in a slug.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut text = String::new();
        for c in name.chars().map(|c| c.to_ascii_lowercase()) {
            if c.is_ascii_alphanumeric() {
                text.push(c);
            } else if !text.ends_with('-') {
                text.push('-');
            }
        }
        let cut: String = text.trim_matches('-').chars().take(48).collect();
        cut.trim_end_matches('-').parse().ok()
    }

    /// This slug with a suffix of letters and digits, for a second app of the same name.
    pub fn with_suffix(&self, suffix: &str) -> Option<Self> {
        let room = 62_usize.saturating_sub(suffix.len());
        let head: String = self.0.chars().take(room).collect();
        format!("{head}-{suffix}").parse().ok()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = SlugError;
    fn from_str(s: &str) -> Result<Self, SlugError> {
        let fits = (1..=63).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !s.starts_with('-')
            && !s.ends_with('-')
            // Labels of this form, such as `xn--`, are reserved (RFC 5891 §4.2.3.1).
            && s.get(2..4) != Some("--");
        if fits { Ok(Self(s.into())) } else { Err(SlugError) }
    }
}
text_serde!(Slug);

/// An event in the stream of an app or a slug.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at the struct it carries")]
pub enum AppEvent {
    AppCreated(AppCreated),
    AppDomainAdded(AppDomainAdded),
    AppDomainRemoved(AppDomainRemoved),
    AppDeleted(AppDeleted),
    SlugTaken(SlugTaken),
    SlugFreed(SlugFreed),
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty),* $(,)? })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The app.
            pub app_id: AppId,
            $($(#[$fdoc])* pub $field: $ty,)*
            /// When it happened.
            pub at: DateTime<Utc>,
        })+
    };
}

payloads! {
    /// A workspace created an app.
    AppCreated {
        /// The workspace.
        workspace_id: WorkspaceId,
        /// The display name.
        name: Arc<str>,
        /// The first label of its CNAME target.
        slug: Slug,
    }
    /// A hostname was added to the app, or became its primary one.
    AppDomainAdded {
        /// The hostname.
        domain: DomainName,
        /// Whether it becomes the app's primary hostname.
        primary: bool,
    }
    /// A hostname was removed from the app.
    AppDomainRemoved {
        /// The hostname.
        domain: DomainName,
    }
    /// The app was deleted.
    AppDeleted {}
    /// An app took a slug.
    SlugTaken {
        /// The slug.
        slug: Slug,
    }
    /// A slug became free.
    SlugFreed {
        /// The slug.
        slug: Slug,
    }
}

/// An app, folded from its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// The app.
    pub app_id: AppId,
    /// The workspace that owns it.
    pub workspace_id: WorkspaceId,
    /// The display name.
    pub name: Arc<str>,
    /// The first label of its CNAME target.
    pub slug: Slug,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Its hostnames, and when each was added.
    pub domains: BTreeMap<DomainName, DateTime<Utc>>,
    /// The primary hostname: the one that was made primary last.
    pub primary: Option<DomainName>,
    /// Whether the app is deleted.
    pub deleted: bool,
}

/// Why a change of an app is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppRejection {
    /// The workspace has no such app.
    #[error("there is no such app")]
    NotFound,
    /// Another app has the slug.
    #[error("the slug is in use")]
    SlugInUse,
    /// The app still has hostnames.
    #[error("the app still has domains")]
    StillHasDomains,
}

impl App {
    /// Folds one event of an app's stream.
    pub fn evolve(state: Option<Self>, event: &AppEvent) -> Option<Self> {
        match (state, event) {
            (None, AppEvent::AppCreated(e)) => Some(Self {
                app_id: e.app_id.clone(),
                workspace_id: e.workspace_id.clone(),
                name: e.name.clone(),
                slug: e.slug.clone(),
                created_at: e.at,
                domains: BTreeMap::new(),
                primary: None,
                deleted: false,
            }),
            (Some(mut app), AppEvent::AppDomainAdded(e)) => {
                app.domains.entry(e.domain.clone()).or_insert(e.at);
                if e.primary {
                    app.primary = Some(e.domain.clone());
                }
                Some(app)
            }
            (Some(mut app), AppEvent::AppDomainRemoved(e)) => {
                app.domains.remove(&e.domain);
                app.primary = app.primary.filter(|p| *p != e.domain);
                Some(app)
            }
            (Some(mut app), AppEvent::AppDeleted(_)) => {
                app.deleted = true;
                Some(app)
            }
            // Events of slugs are in streams of their own.
            (state, _) => state,
        }
    }

    /// The events that add `domain`, or make it primary; none where nothing changes.
    pub fn add_domain(&self, domain: &DomainName, primary: bool, at: DateTime<Utc>) -> Vec<AppEvent> {
        let known = self.domains.contains_key(domain);
        let already_primary = self.primary.as_ref() == Some(domain);
        if known && (!primary || already_primary) {
            return vec![];
        }
        vec![AppDomainAdded { app_id: self.app_id.clone(), domain: domain.clone(), primary, at }.into()]
    }

    /// The events that remove `domain`; none where the app does not have it.
    pub fn remove_domain(&self, domain: &DomainName, at: DateTime<Utc>) -> Vec<AppEvent> {
        if !self.domains.contains_key(domain) {
            return vec![];
        }
        vec![AppDomainRemoved { app_id: self.app_id.clone(), domain: domain.clone(), at }.into()]
    }

    /// The event that deletes the app, once it has no domains.
    ///
    /// # Errors
    /// When the app is deleted already or still has domains.
    pub fn delete(&self, at: DateTime<Utc>) -> Result<AppEvent, AppRejection> {
        if self.deleted {
            return Err(AppRejection::NotFound);
        }
        if !self.domains.is_empty() {
            return Err(AppRejection::StillHasDomains);
        }
        Ok(AppDeleted { app_id: self.app_id.clone(), at }.into())
    }
}

/// The owner of a slug, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlugOwner(pub Option<AppId>);

impl SlugOwner {
    /// Folds one event of a slug's stream.
    #[must_use]
    pub fn evolve(self, event: &AppEvent) -> Self {
        match event {
            AppEvent::SlugTaken(e) => Self(Some(e.app_id.clone())),
            AppEvent::SlugFreed(_) => Self(None),
            _ => self,
        }
    }

    /// The event that takes the slug.
    ///
    /// # Errors
    /// When another app has it.
    pub fn take(&self, slug: &Slug, app_id: &AppId, at: DateTime<Utc>) -> Result<AppEvent, AppRejection> {
        match &self.0 {
            Some(_) => Err(AppRejection::SlugInUse),
            None => Ok(SlugTaken { app_id: app_id.clone(), slug: slug.clone(), at }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn app() -> App {
        let event = AppCreated {
            app_id: AppId::from_bytes([1; 10]),
            workspace_id: "ws_1".parse().unwrap(),
            name: "Docs".into(),
            slug: "docs".parse().unwrap(),
            at: at(),
        };
        App::evolve(None, &event.into()).unwrap()
    }

    fn after(app: App, events: &[AppEvent]) -> App {
        events.iter().fold(Some(app), App::evolve).unwrap()
    }

    #[test]
    fn newest_primary_wins_and_adding_again_does_nothing() {
        let (a, b): (DomainName, DomainName) = ("a.acme.com".parse().unwrap(), "b.acme.com".parse().unwrap());
        let mut app = app();
        for name in [&a, &b] {
            let events = app.add_domain(name, true, at());
            app = after(app, &events);
        }
        assert_eq!(app.primary, Some(b.clone()));
        assert_eq!(app.add_domain(&b, true, at()), vec![]);
        assert_eq!(app.add_domain(&a, false, at()), vec![]);
        assert_eq!(app.delete(at()), Err(AppRejection::StillHasDomains));
        let events = app.remove_domain(&b, at());
        app = after(app, &events);
        assert_eq!(app.primary, None);
    }

    #[test]
    fn makes_slugs_from_names() {
        assert_eq!(Slug::from_name("  My Döcs! 2 ").unwrap().as_str(), "my-d-cs-2");
        assert_eq!(Slug::from_name("日本"), None);
        assert_eq!(Slug::from_name("docs").unwrap().with_suffix("x7").unwrap().as_str(), "docs-x7");
        for bad in ["-a", "a-", "A", "", "xn--a"] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }
}
