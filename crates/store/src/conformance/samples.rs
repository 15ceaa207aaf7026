//! Sample claims, events and rows for tests.
use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use deed_claims::app::{App, AppCreated, AppDeleted, AppEvent};
use deed_claims::{
    AppId, ChallengeTemplates, CheckCause, CheckOutcome, CheckRecorded, Claim, ClaimCancelled, ClaimId,
    ClaimInitiated, ClaimState, DomainVerified, Event, Holder, Ownership, OwnershipGranted, Scope, StreamId,
    Token, VerificationRequested, WorkspaceId, name::DomainName,
};
use deed_diagnosis::Evidence;

use crate::{
    AppRow, Append, Changes, ClaimRow, DueRow, KeyId, Metadata, OwnershipRow, RequestKey, StreamWrite,
    Version,
};

/// A number of seconds after a fixed instant that has microseconds.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap() + TimeDelta::seconds(seconds)
}

/// A workspace.
pub fn workspace(number: u8) -> WorkspaceId {
    format!("ws_{number}").parse().unwrap()
}

/// An app.
pub fn app_id(number: u8) -> AppId {
    AppId::from_bytes([number; 10])
}

/// A claim's id; ids are ordered as their numbers.
pub fn claim_id(number: u32) -> ClaimId {
    ClaimId::from_bytes(u128::from(number).to_be_bytes())
}

/// A name.
pub fn domain(text: &str) -> DomainName {
    text.parse().unwrap()
}

/// The stream of a registrable domain.
pub fn apex(text: &str) -> StreamId {
    StreamId::ownership(Scope::Apex, &domain(text))
}

/// The stream of a hostname.
pub fn host(text: &str) -> StreamId {
    StreamId::ownership(Scope::Host, &domain(text))
}

/// A workspace as holder.
pub fn by_workspace(number: u8) -> Holder {
    Holder::Workspace { workspace_id: workspace(number) }
}

/// An app as holder.
pub fn by_app(workspace_number: u8, app_number: u8) -> Holder {
    Holder::App { workspace_id: workspace(workspace_number), app_id: app_id(app_number) }
}

/// A claim was initiated.
pub fn initiated(claim: u32, name: &str, holder: Holder, seconds: i64) -> Event {
    let (scope, name) = (holder.scope(), domain(name));
    let mut token = [7; 20];
    token[..4].copy_from_slice(&claim.to_be_bytes());
    ClaimInitiated {
        claim_id: claim_id(claim),
        scope,
        requested: name.clone(),
        region: Some("eu-west-1".into()),
        holder,
        challenge: ChallengeTemplates::default().challenge(scope, &name, Token::from_bytes(token)),
        expires_at: at(seconds) + TimeDelta::days(7),
        name,
        at: at(seconds),
    }
    .into()
}

/// Verification was requested: a check is due at once.
pub fn requested(claim: u32, attempt: u32, seconds: i64) -> Event {
    VerificationRequested {
        claim_id: claim_id(claim),
        attempt,
        cause: if attempt == 1 { CheckCause::First } else { CheckCause::Manual },
        expires_at: Some(at(seconds) + TimeDelta::days(7)),
        at: at(seconds),
    }
    .into()
}

/// A check found no record; the next check is due a minute later.
pub fn checked(claim: u32, attempt: u32, seconds: i64) -> Event {
    let evidence = Evidence {
        zone: Some("acme.com".to_owned()),
        aliases: vec![],
        servers: vec![],
        confirmation: "none".to_owned(),
        confirmed_by: vec![],
        queries: 4,
        took_ms: 12,
        vantage: "suite".to_owned(),
        suffix_list: "2026-08-19".to_owned(),
        ..Evidence::default()
    };
    CheckRecorded {
        claim_id: claim_id(claim),
        attempt,
        cause: CheckCause::Schedule,
        outcome: CheckOutcome::Absent,
        diagnosis: None,
        evidence: Box::new(evidence),
        holder_record: None,
        next_check_at: Some(at(seconds + 60)),
        at: at(seconds),
    }
    .into()
}

/// A claim was proven and the name was granted to its holder.
pub fn granted(claim: u32, holder: Holder, seconds: i64) -> Vec<Event> {
    let (claim_id, at) = (claim_id(claim), at(seconds));
    let next_check_at = at + TimeDelta::days(7);
    vec![
        DomainVerified { claim_id, attempt: 1, at }.into(),
        OwnershipGranted { claim_id, holder, awaits_activation: false, next_check_at, at }.into(),
    ]
}

/// The claim was cancelled.
pub fn cancelled(claim: u32, seconds: i64) -> Event {
    ClaimCancelled { claim_id: claim_id(claim), at: at(seconds) }.into()
}

/// An app was created.
pub fn app_created(app: u8, workspace_number: u8, seconds: i64) -> AppEvent {
    AppCreated {
        app_id: app_id(app),
        workspace_id: workspace(workspace_number),
        name: format!("Äpp {app}").into(),
        slug: format!("app-{app}").parse().unwrap(),
        at: at(seconds),
    }
    .into()
}

/// An app was deleted.
pub fn app_deleted(app: u8, seconds: i64) -> AppEvent {
    AppDeleted { app_id: app_id(app), at: at(seconds) }.into()
}

/// Metadata of the suite's events.
pub fn metadata() -> Metadata {
    Metadata {
        request_id: Some("req_1".to_owned()),
        actor: Some("key_0000000000000001".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: Some("congo=t61rcWkgMzE".to_owned()),
    }
}

/// Events for one stream.
pub fn write(stream: &StreamId, expected: u64, events: Vec<Event>) -> StreamWrite {
    StreamWrite { stream: stream.clone(), expected: Version(expected), events }
}

/// An append to some streams.
pub fn append_all(writes: Vec<StreamWrite>) -> Append {
    Append { writes, receipt: None, metadata: metadata(), at: at(0) }
}

/// An append to one stream.
pub fn append(stream: &StreamId, expected: u64, events: Vec<Event>) -> Append {
    append_all(vec![write(stream, expected, events)])
}

/// A request with an idempotency key.
pub fn request(key: u8, idempotency_key: &str) -> RequestKey {
    RequestKey { key_id: KeyId(format!("key_{key:016x}")), idempotency_key: idempotency_key.to_owned() }
}

/// The status of a claim in lists.
pub fn status(claim: &Claim) -> &'static str {
    match claim.state {
        ClaimState::Initiated { .. } => "pending",
        ClaimState::Verifying { .. } => "verifying",
        ClaimState::Proven => "proven",
        ClaimState::Contesting(_) => "contested",
        ClaimState::Held(_) => "verified",
        ClaimState::AtRisk { .. } => "at_risk",
        ClaimState::Ended { .. } => "ended",
    }
}

/// All rows of a name's stream after these events.
pub fn changes(stream: &StreamId, events: &[Event]) -> Changes {
    let state = events.iter().fold(Ownership::default(), |state, event| match event {
        Event::Ownership(event) => state.evolve(event),
        Event::App(_) => state,
    });
    let version = Version(u64::try_from(events.len()).unwrap());
    let (scope, name) = (state.scope.unwrap(), state.name.clone().unwrap());
    let claims = state.claims.values().map(|claim| ClaimRow {
        stream: stream.clone(),
        version,
        name: name.clone(),
        scope,
        status: status(claim).to_owned(),
        claim: claim.clone(),
    });
    let due = state.claims.values().flat_map(|claim| {
        let rows = claim.due().into_iter();
        rows.map(|due| DueRow { claim_id: claim.id, kind: due.kind, attempt: due.attempt, due_at: due.at })
    });
    Changes {
        claims: claims.collect(),
        due: due.map(|row| (stream.clone(), row)).collect(),
        apps: vec![],
        new_streams: BTreeSet::new(),
        ownerships: vec![OwnershipRow { stream: stream.clone(), version, state: state.clone() }],
    }
}

/// All rows of an app's stream after these events.
pub fn app_changes(events: &[AppEvent]) -> Changes {
    let app = events.iter().fold(None, App::evolve).unwrap();
    let version = Version(u64::try_from(events.len()).unwrap());
    Changes { apps: vec![AppRow { stream: StreamId::app(&app.app_id), version, app }], ..Changes::default() }
}

/// The changes of several streams as one batch.
pub fn together(parts: impl IntoIterator<Item = Changes>) -> Changes {
    parts.into_iter().fold(Changes::default(), |mut all, part| {
        all.ownerships.extend(part.ownerships);
        all.claims.extend(part.claims);
        all.due.extend(part.due);
        all.apps.extend(part.apps);
        all.new_streams.extend(part.new_streams);
        all
    })
}
