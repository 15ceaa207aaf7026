//! The state shared by all operations: ports, policies, limits.
use std::sync::Arc;

use chrono::Duration;
use deed_claims::name::NamePolicy;
use deed_claims::{ChallengeTemplates, ClaimId, Clock, Entropy, Policy, Token};
use deed_store::{Checkpoints, EventStore, Idempotency, Keys, ReadModels};
use tokio_util::sync::CancellationToken;

use crate::key_cache::KeyCache;
use crate::metrics::HttpMetrics;
use crate::open_claim_quota::OpenClaimCounts;
use crate::rate_limit::{Rate, RateLimiter};
use crate::request_error::RequestError;

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
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) read_models: Arc<dyn ReadModels>,
    pub(crate) checkpoints: Arc<dyn Checkpoints>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) idempotency: Arc<dyn Idempotency>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) names: NamePolicy,
    pub(crate) policy: Policy,
    pub(crate) templates: ChallengeTemplates,
    pub(crate) cname_base: Arc<str>,
    pub(crate) default_region: Arc<str>,
    pub(crate) caps: Caps,
    pub(crate) metrics: HttpMetrics,
    pub(crate) leaving: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) limiter: RateLimiter,
    pub(crate) key_cache: KeyCache,
    pub(crate) open_claims: OpenClaimCounts,
}

impl AppState {
    /// The state of one process.
    pub fn new(parts: AppStateParts) -> Self {
        Self {
            limiter: RateLimiter::new(parts.caps.rate),
            key_cache: KeyCache::new(parts.caps.key_memory),
            open_claims: OpenClaimCounts::default(),
            store: parts.store,
            read_models: parts.read_models,
            checkpoints: parts.checkpoints,
            keys: parts.keys,
            idempotency: parts.idempotency,
            clock: parts.clock,
            entropy: parts.entropy,
            names: parts.names,
            policy: parts.policy,
            templates: parts.templates,
            cname_base: parts.cname_base,
            default_region: parts.default_region,
            caps: parts.caps,
            metrics: parts.metrics,
            leaving: parts.leaving,
            stop: parts.stop,
        }
    }

    /// A new claim id: a UUID of version 7 (RFC 9562 §5.7), so that new claims lie together in an index.
    pub(crate) fn new_claim_id(&self) -> Result<ClaimId, RequestError> {
        let mut bytes: [u8; 16] = self.random()?;
        let ms = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or_default();
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Ok(ClaimId::from_bytes(bytes))
    }

    /// A new token.
    pub(crate) fn new_token(&self) -> Result<Token, RequestError> {
        self.random().map(Token::from_bytes)
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], RequestError> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes).map_err(|e| RequestError::internal("asking for randomness", e))?;
        Ok(bytes)
    }
}
