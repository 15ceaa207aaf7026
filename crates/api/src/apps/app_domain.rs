//! One hostname of one app: the state from its two streams, and the events that a decision adds to them.
use chrono::{DateTime, Utc};
use deed_claims::app::{App, AppEvent};
use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{
    AppId, Claim, Command, Event, Holder, Ownership, OwnershipEvent, Policy, Rejection, Scope, StreamId,
    WorkspaceId,
};
use deed_http::Writes;
use deed_store::Loaded;

use super::error::AppsError;
use super::view::{DomainDetail, DomainResponse};
use crate::call::Call;

/// The app id in a path. An invalid id is the id of no app.
pub fn app_id(call: &Call) -> Result<AppId, AppsError> {
    let text = call.param("app_id");
    text.parse().map_err(|_| AppsError::NoSuchApp(Excerpt::of(text)))
}

/// The hostname that a path names.
pub fn path_name(call: &Call) -> Result<DomainName, AppsError> {
    call.state.name(call.param("domain")).map_err(AppsError::PathName)
}

/// The app of a stream, if it belongs to `workspace` and is not deleted.
pub fn visible_app<'a>(loaded: &'a Loaded<App>, workspace: &WorkspaceId) -> Result<&'a App, AppsError> {
    loaded
        .state
        .as_ref()
        .filter(|app| app.workspace_id == *workspace && !app.deleted)
        .ok_or_else(|| AppsError::NoSuchApp(Excerpt::of(loaded.stream.rest())))
}

/// The app as a claimant.
pub fn app_holder(app: &App) -> Holder {
    Holder::App { workspace_id: app.workspace_id.clone(), app_id: app.app_id.clone() }
}

/// The events that release the holding or cancel the claim of `holder`; none when there is neither.
pub fn withdraw_or_release(
    ownership: &Ownership,
    holder: &Holder,
    policy: &Policy,
    at: DateTime<Utc>,
) -> Result<Vec<OwnershipEvent>, Rejection> {
    let Some(claim) = ownership.claim_of(holder).filter(|claim| claim.is_open()) else {
        return Ok(vec![]);
    };
    let claim_id = claim.id;
    let command = if claim.is_held() { Command::Release { claim_id } } else { Command::Cancel { claim_id } };
    ownership.decide(command, policy, at)
}

/// The streams of a decision on a hostname of an app: the app's and the hostname's.
pub type AppAndHost = (Loaded<App>, Loaded<Ownership>);

/// A hostname of an app, during one decision.
#[derive(Debug, Clone)]
pub struct AppDomain {
    /// The app after the events so far.
    pub app: App,
    ownership: Ownership,
    name: DomainName,
    too_long: Option<NameError>,
    app_events: Vec<AppEvent>,
    claim_events: Vec<OwnershipEvent>,
}

impl AppDomain {
    /// The names of the streams of [`AppAndHost`].
    pub fn streams(app: &AppId, name: &DomainName) -> (StreamId, StreamId) {
        (StreamId::app(app), StreamId::ownership(Scope::Host, name))
    }

    /// The state from the loaded streams.
    ///
    /// # Errors
    /// When the workspace has no such app.
    pub fn load((app, host): &AppAndHost, call: &Call, name: &DomainName) -> Result<Self, AppsError> {
        Ok(Self {
            app: visible_app(app, &call.caller.workspace)?.clone(),
            ownership: host.state.clone(),
            name: name.clone(),
            too_long: call.state.too_long(name),
            app_events: vec![],
            claim_events: vec![],
        })
    }

    /// The name, which the app may or may not have.
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// The app's newest claim on the name.
    pub fn claim(&self) -> Option<&Claim> {
        self.ownership.claim_of(&app_holder(&self.app))
    }

    /// The app's newest claim on a name that it has.
    ///
    /// # Errors
    /// When the app does not have the name.
    pub fn existing_claim(&self) -> Result<&Claim, AppsError> {
        let has = self.app.domains.contains_key(&self.name);
        self.claim().filter(|_| has).ok_or_else(|| match &self.too_long {
            Some(why) => AppsError::PathName(why.clone()),
            None => AppsError::NoSuchDomain(Excerpt::of(self.name.as_str())),
        })
    }

    /// Decides a command on the claims and applies its events.
    ///
    /// # Errors
    /// The rejection of the command.
    pub fn decide(&mut self, command: Command, policy: &Policy, at: DateTime<Utc>) -> Result<(), Rejection> {
        let events = self.ownership.decide(command, policy, at)?;
        self.apply_claim_events(events);
        Ok(())
    }

    /// Releases or cancels the app's claim on the name, and removes the name from the app.
    ///
    /// # Errors
    /// The rejection of the command.
    pub fn remove(&mut self, policy: &Policy, at: DateTime<Utc>) -> Result<(), Rejection> {
        let events = withdraw_or_release(&self.ownership, &app_holder(&self.app), policy, at)?;
        self.apply_claim_events(events);
        self.apply_app_events(self.app.remove_domain(&self.name, at));
        Ok(())
    }

    fn apply_claim_events(&mut self, events: Vec<OwnershipEvent>) {
        self.ownership = events.iter().fold(std::mem::take(&mut self.ownership), Ownership::evolve);
        self.claim_events.extend(events);
    }

    /// Applies events of the app.
    pub fn apply_app_events(&mut self, events: Vec<AppEvent>) {
        for event in &events {
            // An app never becomes `None`: deletion only marks it.
            if let Some(app) = App::evolve(Some(self.app.clone()), event) {
                self.app = app;
            }
        }
        self.app_events.extend(events);
    }

    /// The body of the hostname after the events so far.
    pub fn response(&self, cname_base: &str) -> DomainResponse {
        DomainResponse::of(&self.app, &self.name, self.claim(), cname_base)
    }

    /// The same with the details of the app's claim.
    ///
    /// # Errors
    /// When the app does not have the name.
    pub fn detail(&self, cname_base: &str) -> Result<DomainDetail, AppsError> {
        let claim = self.existing_claim()?;
        Ok(self.response(cname_base).in_detail(&self.app, claim, &self.ownership))
    }

    /// The events so far, for one append.
    pub fn into_writes(self) -> Writes {
        let (app, host) = Self::streams(&self.app.app_id, &self.name);
        vec![
            (host, self.claim_events.into_iter().map(Event::from).collect()),
            (app, self.app_events.into_iter().map(Event::from).collect()),
        ]
    }
}
