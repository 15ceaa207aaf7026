//! The state that every HTTP surface needs: ports, limits, metrics.
use std::sync::Arc;

use chrono::Duration;
use deed_claims::{Clock, Entropy};
use deed_store::{EventStore, Idempotency, Keys};
use tokio_util::sync::CancellationToken;

use crate::key_cache::KeyCache;
use crate::metrics::HttpMetrics;
use crate::rate_limit::{Rate, RateLimiter};
use crate::request_error::RequestError;

/// The parts of [`HttpState`].
pub struct HttpStateParts {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// API keys.
    pub keys: Arc<dyn Keys>,
    /// Stored responses to idempotent requests.
    pub idempotency: Arc<dyn Idempotency>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and tokens.
    pub entropy: Arc<dyn Entropy>,
    /// Metrics.
    pub metrics: HttpMetrics,
    /// Rate limit per key.
    pub rate: Rate,
    /// How long a key is cached.
    pub key_memory: Duration,
    /// Cancelled when the service is about to stop: requests are still served, and each response closes its connection.
    pub leaving: CancellationToken,
    /// Cancelled when the service stops: waits end early.
    pub stop: CancellationToken,
}

/// The state that every HTTP surface needs. The state of a surface contains it ([`SurfaceState`]).
pub struct HttpState {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and tokens.
    pub entropy: Arc<dyn Entropy>,
    /// Cancelled when the service is about to stop.
    pub leaving: CancellationToken,
    /// Cancelled when the service stops: waits end early.
    pub stop: CancellationToken,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) idempotency: Arc<dyn Idempotency>,
    pub(crate) metrics: HttpMetrics,
    pub(crate) limiter: RateLimiter,
    pub(crate) key_cache: KeyCache,
}

/// The state of a surface, which contains that of every surface.
pub trait SurfaceState: AsRef<HttpState> + Send + Sync + 'static {}

impl<S: AsRef<HttpState> + Send + Sync + 'static> SurfaceState for S {}

impl HttpState {
    /// The state of one process.
    pub fn new(parts: HttpStateParts) -> Self {
        Self {
            limiter: RateLimiter::new(parts.rate),
            key_cache: KeyCache::new(parts.key_memory),
            store: parts.store,
            keys: parts.keys,
            idempotency: parts.idempotency,
            clock: parts.clock,
            entropy: parts.entropy,
            metrics: parts.metrics,
            leaving: parts.leaving,
            stop: parts.stop,
        }
    }

    /// Random bytes.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], RequestError> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes).map_err(|e| RequestError::internal("asking for randomness", e))?;
        Ok(bytes)
    }
}
