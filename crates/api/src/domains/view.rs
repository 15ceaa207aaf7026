//! Bodies of claims and domains in the workspace contract; they show a workspace nothing about other claimants.
use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use deed_claims::name::DomainName;
use deed_claims::{Claim, ClaimId, ClaimState, MissingCause, Ownership, Status};
use deed_diagnosis::Diagnosis;
use serde::Serialize;
use utoipa::ToSchema;

use crate::bodies::Claimant;
use crate::bodies::contest::camel::ContestBody;
use crate::bodies::contest::{ContestView, GiveUpRequests};
use crate::bodies::diagnosis::camel::DiagnosisBody;
use crate::bodies::record::DnsRecord;
use crate::bodies::schemas::StatusSchema;

/// An answer with data.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success<T> {
    /// Always `true`.
    #[schema(default = true)]
    success: bool,
    data: T,
}

impl<T> Success<T> {
    pub fn of(data: T) -> Self {
        Self { success: true, data }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// Always `true`.
    #[schema(default = true)]
    success: bool,
    data: Vec<T>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn of(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { success: true, data, next_cursor }
    }
}

/// Whether the record has to stay.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeepRecord {
    /// The record is looked for, now or later.
    keep: bool,
    /// From when on it may be removed.
    #[serde(rename = "safeToRemoveFrom", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    safe_to_remove_from: Option<DateTime<Utc>>,
}

/// A claim.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Claim)]
pub struct ClaimBody {
    #[schema(value_type = String, pattern = "^clm_[0-9a-f]{32}$")]
    id: ClaimId,
    /// The name as it was asked for.
    #[schema(value_type = String)]
    domain: DomainName,
    /// The registrable domain that is proven, as an A-label.
    #[schema(value_type = String)]
    root_domain: DomainName,
    /// The name as people write it.
    unicode_domain: String,
    #[schema(value_type = StatusSchema)]
    status: Status,
    record: DnsRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    diagnosis: Option<DiagnosisBody>,
    /// Checks made so far.
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_checked_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_check_at: Option<DateTime<Utc>>,
    /// When the claim ends without proof; null once it is proven or over.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    keep_record: KeepRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    contest: Option<ContestBody>,
}

/// A claim, and what to do next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimChallenge)]
pub struct ChallengeBody {
    /// Where things stand and what to do, in a sentence.
    message: String,
    #[serde(flatten)]
    claim: ClaimBody,
}

/// A domain: a workspace's claim on a name, seen as the thing it is after.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Domain)]
pub struct DomainBody {
    /// As given when the domain was added, otherwise the deployment's.
    #[schema(value_type = String)]
    region: Arc<str>,
    /// Whether this workspace has the name now.
    is_verified: bool,
    /// The records to publish.
    dns_records: Vec<DnsRecord>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// When it was first proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    verified_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    claim: ClaimBody,
}

/// A domain, and what to do next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DomainChallenge)]
pub struct DomainChallengeBody {
    /// Where things stand and what to do, in a sentence.
    message: String,
    #[serde(flatten)]
    domain: DomainBody,
}

/// A claim as its own workspace sees it.
#[derive(Clone, Copy)]
pub struct ClaimView<'a> {
    /// The registrable domain.
    pub root: &'a DomainName,
    /// The claim.
    pub claim: &'a Claim,
    /// All claims on the name, for the contest.
    pub ownership: Option<&'a Ownership>,
    /// The region of a claim that was made without one.
    pub default_region: &'a Arc<str>,
    /// When the next check may be requested, after a request that came too soon.
    pub again_at: Option<DateTime<Utc>>,
}

impl ClaimView<'_> {
    /// The claim.
    pub fn claim(self) -> ClaimBody {
        let claim = self.claim;
        ClaimBody {
            id: claim.id,
            domain: claim.requested.clone(),
            root_domain: self.root.clone(),
            unicode_domain: claim.requested.to_unicode(),
            status: claim.status(),
            record: DnsRecord::of(claim),
            diagnosis: self.diagnosis().map(Into::into),
            attempts: claim.attempts,
            last_checked_at: claim.last_check.as_ref().map(|check| check.at),
            next_check_at: claim.pending.map(|pending| pending.due_at).or(self.again_at),
            expires_at: claim.expires_at(),
            keep_record: match claim.state {
                ClaimState::Ended { at, .. } => KeepRecord { keep: false, safe_to_remove_from: Some(at) },
                _ => KeepRecord { keep: true, safe_to_remove_from: None },
            },
            contest: self.contest(),
        }
    }

    /// The claim with a message.
    pub fn challenge(self) -> ChallengeBody {
        ChallengeBody { message: self.message(), claim: self.claim() }
    }

    /// The claim as a domain.
    pub fn domain(self) -> DomainBody {
        let claim = self.claim;
        DomainBody {
            region: claim.region.as_ref().unwrap_or(self.default_region).clone(),
            is_verified: claim.is_held(),
            dns_records: vec![DnsRecord::of(claim)],
            created_at: claim.initiated_at,
            updated_at: claim.updated_at,
            verified_at: claim.verified_at,
            claim: self.claim(),
        }
    }

    /// The claim as a domain, with a message.
    pub fn domain_challenge(self) -> DomainChallengeBody {
        DomainChallengeBody { message: self.message(), domain: self.domain() }
    }

    fn diagnosis(&self) -> Option<&Diagnosis> {
        self.claim.last_check.as_ref()?.diagnosis.as_ref()
    }

    /// Whether the name is at risk because its name servers give no usable answer.
    fn is_unchecked(self) -> bool {
        matches!(&self.claim.state, ClaimState::AtRisk { risk, .. } if risk.cause == MissingCause::Unreachable)
    }

    fn contest(self) -> Option<ContestBody> {
        let give_up = || GiveUpRequests {
            withdraw: format!("DELETE /v1/domains/claims/{}", self.root),
            release: format!("DELETE /v1/domains/{}", self.root),
        };
        ContestView::of(self.claim, self.ownership, Claimant::Workspace, give_up).map(Into::into)
    }

    /// The state of the claim and the next step, in a sentence.
    fn message(self) -> String {
        match self.again_at {
            Some(again_at) => {
                // Rounded up to a whole second: at the time in the message a request must not be too soon.
                let again_at = again_at.duration_round_up(TimeDelta::seconds(1)).unwrap_or(again_at);
                let again_at = again_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                format!("{} A check was asked for just now: ask again from {again_at} on.", self.standing())
            }
            None => self.standing(),
        }
    }

    fn standing(self) -> String {
        let (root, record) = (self.root, &self.claim.challenge);
        match self.claim.status() {
            Status::Pending => format!(
                "Publish a TXT record at {} with the value {}, then call POST /v1/domains/claims/{root}/verify.",
                record.record_name, record.record_value
            ),
            Status::Verifying => match self.diagnosis() {
                Some(diagnosis) => format!("{} {}", diagnosis.message(), diagnosis.fix()),
                None => format!("The TXT record at {} is being looked for.", record.record_name),
            },
            Status::Contested => format!(
                "The record is proven, and another workspace has {root} at present: see `contest` for what ends this."
            ),
            Status::Verified if self.contest().is_some() => format!(
                "{root} is verified for this workspace, and another has proven it too: see `contest` for what ends this."
            ),
            Status::Verified => {
                format!("{root} is verified for this workspace. Keep the TXT record in place.")
            }
            Status::AtRisk if self.is_unchecked() => format!(
                "The TXT record at {} could not be checked for a long time: the DNS gave no usable answer. See `diagnosis` for \
                 what to repair, and keep the record in place.",
                record.record_name
            ),
            Status::AtRisk => format!(
                "The TXT record at {} is not there any more: publish it again to keep {root}.",
                record.record_name
            ),
            Status::Expired => format!("The claim ended before its record was found. {AGAIN}"),
            Status::Cancelled => format!("The claim was cancelled. {AGAIN}"),
            Status::Refused => format!("The claim was refused. {AGAIN}"),
            Status::Transferred => format!("Another workspace has proven {root} and has it now. {AGAIN}"),
            Status::Released => format!("{root} was given up. {AGAIN}"),
            Status::Lapsed => format!("The record stayed missing and {root} was lost. {AGAIN}"),
            Status::Revoked => format!("An operator took {root} from this workspace."),
        }
    }
}

const AGAIN: &str = "Claim it again with POST /v1/domains/claims for a new record.";

#[cfg(test)]
mod tests {
    use deed_store::KeyScope;
    use serde_json::json;

    use crate::testing::{Harness, absent};

    const VERIFY: &str = "/v1/domains/claims/acme.com/verify";

    #[actix_web::test]
    async fn retry_time_in_message_is_not_too_soon() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.clock.advance(chrono::Duration::milliseconds(300));
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        harness.verify(VERIFY, &key).await;
        harness.record_check("apex:acme.com", "ws_a", absent()).await;
        let soon = harness.verify(VERIFY, &key).await;
        let message = soon.body["data"]["message"].as_str().unwrap();
        let named = message.split_once("ask again from ").unwrap().1.strip_suffix(" on.").unwrap();
        let named: chrono::DateTime<chrono::Utc> = named.parse().unwrap();
        assert_eq!(named.timestamp_subsec_nanos(), 0);
        let now = deed_claims::Clock::now(&*harness.clock);
        harness.clock.advance(named - now);
        let later = harness.verify(VERIFY, &key).await;
        assert_eq!(later.header("retry-after"), None, "{}", later.text);
    }
}
