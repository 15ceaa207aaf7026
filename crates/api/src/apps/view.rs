//! Bodies of apps and their domains in the app contract.
use chrono::{DateTime, Utc};
use deed_claims::app::{App, Slug};
use deed_claims::name::DomainName;
use deed_claims::{AppId, Claim, ClaimState, LastRouting, Ownership};
use deed_diagnosis::{Routing, RoutingState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::bodies::Claimant;
use crate::bodies::contest::snake::ContestBody;
use crate::bodies::contest::{ContestView, GiveUpRequests};
use crate::bodies::diagnosis::snake::DiagnosisBody;
use crate::bodies::record::DnsRecord;
use crate::bodies::schemas::RoutingSchema;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppResponse {
    /// The app's id.
    #[schema(value_type = String, example = "app_abcdefghijklmnop")]
    pub app_id: AppId,
    /// What people call it.
    #[schema(example = "Search")]
    pub name: String,
    /// Its part of the CNAME target.
    #[schema(value_type = String, example = "search")]
    pub slug: Slug,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl AppResponse {
    /// The body of an app.
    pub fn of(app: &App) -> Self {
        Self {
            app_id: app.app_id.clone(),
            name: app.name.as_ref().to_owned(),
            slug: app.slug.clone(),
            created_at: app.created_at,
        }
    }
}

/// Where a hostname of an app stands.
///
/// `pending`: the record is handed out, nobody watches yet. `verifying`: the DNS is watched, or another app has the
/// hostname and the DNS decides. `provisioning_tls`: proven, waits for the TLS side. `active`: in service.
/// `failed`: over, because the time ran out or the app lost the hostname; added again it gets a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainStatus {
    Pending,
    Verifying,
    ProvisioningTls,
    Active,
    Failed,
}

impl DomainStatus {
    /// The status of a claim. An app without a claim on its hostname can only add it again.
    pub fn of(claim: Option<&Claim>) -> Self {
        let Some(claim) = claim else { return Self::Failed };
        match &claim.state {
            ClaimState::Initiated { .. } => Self::Pending,
            // A proven claim has no holding before the grant.
            ClaimState::Verifying { .. } | ClaimState::Proven | ClaimState::Contesting(_) => Self::Verifying,
            ClaimState::Held(held) | ClaimState::AtRisk { held, .. } if held.awaits_activation => {
                Self::ProvisioningTls
            }
            ClaimState::Held(_) | ClaimState::AtRisk { .. } => Self::Active,
            ClaimState::Ended { .. } => Self::Failed,
        }
    }
}

/// A hostname of an app.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainResponse {
    /// The hostname, in A-labels.
    #[schema(value_type = String, example = "search.acme.com")]
    pub domain: DomainName,
    /// Where it stands.
    pub status: DomainStatus,
    /// The random part of the TXT record to publish.
    #[schema(required = false)]
    pub verification_token: Option<String>,
    /// Where the hostname's CNAME record has to point.
    #[schema(required = false)]
    pub cname_target: Option<String>,
    /// Whether it is the app's primary hostname.
    pub is_primary: bool,
    /// When it was proven, in RFC 3339; null unless the app has the hostname.
    #[schema(required = false)]
    pub verified_at: Option<DateTime<Utc>>,
    /// The hostname as people write it.
    #[schema(example = "search.acme.com")]
    pub unicode_domain: String,
    /// Why the last check did not prove the record; null when it did, or when none was made.
    #[schema(required = false)]
    pub diagnosis: Option<DiagnosisBody>,
    /// When the DNS is checked next; null when no check is planned.
    #[schema(required = false)]
    pub next_check_at: Option<DateTime<Utc>>,
}

/// A hostname of an app, with everything that is known of its verification.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainDetail {
    #[serde(flatten)]
    domain: DomainResponse,
    /// The record to publish.
    record: DnsRecord,
    /// Checks made so far.
    attempts: u32,
    #[schema(required = false)]
    last_checked_at: Option<DateTime<Utc>>,
    /// When the verification ends without proof; null once it is proven or over.
    #[schema(required = false)]
    expires_at: Option<DateTime<Utc>>,
    /// Whether the hostname points at `cname_target`, apart from the proof; null before a check has found out.
    #[schema(required = false)]
    routing: Option<RoutingBody>,
    /// The contest around the hostname; null where there is none.
    #[schema(required = false)]
    contest: Option<ContestBody>,
}

/// Where a hostname leads.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Routing)]
pub struct RoutingBody {
    #[schema(value_type = RoutingSchema)]
    status: RoutingState,
    /// Where it had to lead.
    target: String,
    /// What was seen: the last alias, then addresses; at most three.
    seen: Vec<String>,
    /// When.
    checked_at: DateTime<Utc>,
}

impl From<&LastRouting> for RoutingBody {
    fn from(last: &LastRouting) -> Self {
        let Routing { state, target, seen } = last.routing.clone();
        Self { status: state, target, seen, checked_at: last.at }
    }
}

impl DomainResponse {
    /// A hostname of `app` with the app's newest claim on it. Without a base there is no CNAME target.
    pub fn of(app: &App, domain: &DomainName, claim: Option<&Claim>, cname_base: &str) -> Self {
        Self {
            domain: domain.clone(),
            status: DomainStatus::of(claim),
            verification_token: claim.map(|claim| claim.challenge.token.as_str().to_owned()),
            cname_target: (!cname_base.is_empty()).then(|| format!("{}.{cname_base}", app.slug)),
            is_primary: app.primary.as_ref() == Some(domain),
            // Shown only to the holder: a claim that did not win the hostname, or has lost it, is not verified.
            verified_at: claim.filter(|claim| claim.is_held()).and_then(|claim| claim.verified_at),
            unicode_domain: domain.to_unicode(),
            diagnosis: claim
                .and_then(|claim| claim.last_check.as_ref()?.diagnosis.as_ref())
                .map(DiagnosisBody::from),
            next_check_at: claim.and_then(|claim| claim.pending).map(|pending| pending.due_at),
        }
    }

    /// The same with the details of the app's claim.
    pub fn in_detail(self, app: &App, claim: &Claim, ownership: &Ownership) -> DomainDetail {
        let give_up = || {
            let request = format!("DELETE /v1/apps/{}/domains/{}", app.app_id, self.domain);
            GiveUpRequests { withdraw: request.clone(), release: request }
        };
        let contest = ContestView::of(claim, Some(ownership), Claimant::App, give_up).map(Into::into);
        DomainDetail {
            record: DnsRecord::of(claim),
            attempts: claim.attempts,
            last_checked_at: claim.last_check.as_ref().map(|check| check.at),
            expires_at: claim.expires_at(),
            routing: claim.routing.as_ref().map(Into::into),
            contest,
            domain: self,
        }
    }
}

/// Something is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeletedResponse {
    /// Says so.
    #[schema(value_type = String, example = "Successfully deleted")]
    message: &'static str,
    /// Always true.
    success: bool,
}

impl DeletedResponse {
    /// The response to every deletion.
    pub const DONE: Self = Self { message: "Successfully deleted", success: true };
}

#[cfg(test)]
mod tests {
    use deed_claims::Status;
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, host};
    use crate::testing::{Harness, absent};

    #[actix_web::test]
    async fn hostname_at_risk_is_active_until_it_lapses() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.prove(&harness, HOST).await;
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        let held = harness.ownership(&host(HOST)).await;
        assert_eq!(held.holder_claim().unwrap().status(), Status::AtRisk);
        let at_risk = tenant.listed(&harness, HOST).await;
        assert_eq!(at_risk["status"], "active");
        assert!(at_risk["verified_at"].is_string());
        harness.clock.advance(chrono::Duration::hours(73));
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        let lapsed = tenant.listed(&harness, HOST).await;
        assert_eq!((&lapsed["status"], &lapsed["verified_at"]), (&json!("failed"), &json!(null)));
    }
}
