//! The state shared by all operations: ports, policies, limits.
use std::sync::Arc;

use chrono::Duration;
use deed_claims::name::NamePolicy;
use deed_claims::{ChallengeTemplates, ClaimId, Clock, Entropy, Policy, Token, WorkspaceId};
use deed_http::{HttpMetrics, HttpState, HttpStateParts, Rate, RequestError};
use deed_store::{Checkpoints, EventStore, Idempotency, Keys, ReadModels};
use tokio_util::sync::CancellationToken;

use crate::open_claim_quota::OpenClaimCounts;

/// Limits of a deployment on its clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Caps {
    /// Rate limit per key.
    pub rate: Rate,
    /// Unverified open claims of a workspace, those of its apps included.
    pub open_claims_per_workspace: u64,
    /// How long a key is cached: a revocation takes at most so long to reach every replica.
    pub key_memory: Duration,
}

impl Default for Caps {
    fn default() -> Self {
        Self { rate: Rate::default(), open_claims_per_workspace: 1000, key_memory: Duration::seconds(5) }
    }
}

/// The parts that the executable gives to the HTTP interface.
pub struct AppStateParts {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// The read models.
    pub read_models: Arc<dyn ReadModels>,
    /// The checkpoints of the read models.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// API keys.
    pub keys: Arc<dyn Keys>,
    /// Stored responses to idempotent requests.
    pub idempotency: Arc<dyn Idempotency>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and tokens.
    pub entropy: Arc<dyn Entropy>,
    /// Which names can be claimed.
    pub names: NamePolicy,
    /// The policy for claims.
    pub policy: Policy,
    /// Names and values of validation records.
    pub templates: ChallengeTemplates,
    /// The domain under which apps have their CNAME targets: `{slug}.{base}`.
    pub cname_base: Arc<str>,
    /// The region of domains that were added without one.
    pub default_region: Arc<str>,
    /// Limits.
    pub caps: Caps,
    /// Metrics.
    pub metrics: HttpMetrics,
    /// Cancelled when the service is about to stop: requests are still served, and each response closes its connection.
    pub leaving: CancellationToken,
    /// Cancelled when the service stops: waits end early.
    pub stop: CancellationToken,
}

/// The state shared by all operations.
pub struct AppState {
    pub(crate) http: HttpState,
    pub(crate) read_models: Arc<dyn ReadModels>,
    pub(crate) checkpoints: Arc<dyn Checkpoints>,
    pub(crate) names: NamePolicy,
    pub(crate) policy: Policy,
    pub(crate) templates: ChallengeTemplates,
    pub(crate) cname_base: Arc<str>,
    pub(crate) default_region: Arc<str>,
    pub(crate) open_claims_per_workspace: u64,
    pub(crate) open_claims: OpenClaimCounts,
}

impl AsRef<HttpState> for AppState {
    fn as_ref(&self) -> &HttpState {
        &self.http
    }
}

impl AppState {
    /// The state of one process.
    pub fn new(parts: AppStateParts) -> Self {
        Self {
            http: HttpState::new(HttpStateParts {
                store: parts.store,
                keys: parts.keys,
                idempotency: parts.idempotency,
                clock: parts.clock,
                entropy: parts.entropy,
                metrics: parts.metrics,
                rate: parts.caps.rate,
                key_memory: parts.caps.key_memory,
                leaving: parts.leaving,
                stop: parts.stop,
            }),
            read_models: parts.read_models,
            checkpoints: parts.checkpoints,
            names: parts.names,
            policy: parts.policy,
            templates: parts.templates,
            cname_base: parts.cname_base,
            default_region: parts.default_region,
            open_claims_per_workspace: parts.caps.open_claims_per_workspace,
            open_claims: OpenClaimCounts::default(),
        }
    }

    /// The quota of open claims, if a workspace has used it up; none while it may open one more claim.
    pub(crate) async fn quota_reached(&self, workspace: &WorkspaceId) -> Result<Option<u64>, RequestError> {
        let (quota, now) = (self.open_claims_per_workspace, self.http.clock.now());
        let reached = self.open_claims.reached(&*self.read_models, workspace, quota, now).await?;
        Ok(reached.then_some(quota))
    }

    /// A new claim id: a UUID of version 7 (RFC 9562 §5.7), so that new claims lie together in an index.
    pub(crate) fn new_claim_id(&self) -> Result<ClaimId, RequestError> {
        let mut bytes: [u8; 16] = self.http.random()?;
        let ms = u64::try_from(self.http.clock.now().timestamp_millis()).unwrap_or_default();
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Ok(ClaimId::from_bytes(bytes))
    }

    /// A new token.
    pub(crate) fn new_token(&self) -> Result<Token, RequestError> {
        self.http.random().map(Token::from_bytes)
    }
}
