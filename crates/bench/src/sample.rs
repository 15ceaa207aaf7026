//! The events of a measured append: a claim and its verification request.
use chrono::{DateTime, Utc};
use deed_claims::name::DomainName;
use deed_claims::{
    ChallengeTemplates, CheckCause, ClaimId, ClaimInitiated, Event, Holder, Scope, StreamId, Token,
    VerificationRequested,
};

/// A new stream and its two events.
pub fn claim(n: u64, at: DateTime<Utc>) -> (StreamId, Vec<Event>) {
    let name: DomainName = format!("bench-{n}.com").parse().expect("a valid name");
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let claim_id = ClaimId::from_bytes(id);
    let mut secret = [7; 20];
    secret[..8].copy_from_slice(&n.to_be_bytes());
    let challenge = ChallengeTemplates::default().challenge(Scope::Apex, &name, Token::from_bytes(secret));
    let expires_at = at + chrono::Duration::days(7);
    let initiated = ClaimInitiated {
        claim_id,
        scope: Scope::Apex,
        name: name.clone(),
        requested: name.clone(),
        region: None,
        holder: Holder::Workspace { workspace_id: "ws_bench".parse().expect("a valid id") },
        challenge,
        expires_at,
        at,
    };
    let requested = VerificationRequested {
        claim_id,
        attempt: 1,
        cause: CheckCause::First,
        expires_at: Some(expires_at),
        at,
    };
    (StreamId::ownership(Scope::Apex, &name), vec![initiated.into(), requested.into()])
}
