//! Carries out one piece of work: loads the claim's stream, probes the DNS, and appends the outcome to the stream.
use std::sync::Arc;

use deed_claims::app::App;
use deed_claims::{Clock, Command, Ownership, Rejection, StreamId};
use deed_diagnosis::{Class, Outcome};
use deed_messages::{VerificationTask, VerificationWork};
use deed_probe::Probe;
use deed_store::{EventStore, ExecuteError, Loaded, Plan, execute, load};

use crate::canary::CanaryState;
use crate::check_context::{CheckContext, CheckResult};
use crate::config::VerifierConfig;
use crate::failure_backoff::FailureBackoff;
use crate::in_flight_checks::InFlightChecks;
use crate::metadata::metadata;
use crate::metrics::{VerifierMetrics, outcome_labels};
use crate::outcome::{WorkError, WorkOutcome};
use crate::spans;

/// Carries out verification work.
pub struct Verifier {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: VerifierConfig,
    pub(crate) metrics: VerifierMetrics,
    pub(crate) canary: CanaryState,
    in_flight: InFlightChecks,
    backoff: FailureBackoff,
}

impl Verifier {
    /// A verifier that looks records up with `probe` and records outcomes in `store`.
    pub fn new(
        store: Arc<dyn EventStore>,
        probe: Arc<dyn Probe>,
        clock: Arc<dyn Clock>,
        config: VerifierConfig,
        metrics: VerifierMetrics,
    ) -> Self {
        metrics.concurrency.set(i64::try_from(config.concurrency()).unwrap_or(i64::MAX));
        let backoff = FailureBackoff::new(config.failure_pause);
        let canary = CanaryState::default();
        let in_flight = InFlightChecks::default();
        Self { store, probe, clock, config, metrics, canary, in_flight, backoff }
    }

    pub(crate) async fn work(&self, work: &VerificationWork) -> Result<WorkOutcome, WorkError> {
        match work.task {
            VerificationTask::Expire => {
                self.execute(work, |_| Command::Expire { claim_id: work.claim_id }).await
            }
            VerificationTask::Check { attempt } => match self.in_flight.begin(work.claim_id, attempt) {
                Some(_guard) => self.check(work, attempt).await,
                None => Ok(WorkOutcome::InFlight),
            },
        }
    }

    async fn check(&self, work: &VerificationWork, attempt: u32) -> Result<WorkOutcome, WorkError> {
        let loaded: Loaded<Ownership> = load(&*self.store, &work.stream).await?;
        spans::link_to_cause(work, &loaded.events);
        let context = match self.due_check(&loaded.state, work, attempt) {
            Ok(context) => context,
            Err(outcome) => return Ok(outcome),
        };
        if self.backoff.is_backing_off(work.claim_id, attempt, self.clock.now()) {
            return Ok(WorkOutcome::BackingOff);
        }
        let context = context.with_target(self.cname_target(&loaded.state, work).await?);
        let result = context.run(&*self.probe, &self.config).await;
        self.report(work, attempt, &result);
        if is_internal(&result.own) || result.holder.as_ref().is_some_and(|(_, theirs)| is_internal(theirs)) {
            self.backoff.record_failure(work.claim_id, attempt, self.clock.now());
            if self.probe.canary_failing().await {
                self.canary.set_failing(true);
            }
            return Ok(WorkOutcome::Internal);
        }
        self.backoff.clear(work.claim_id, attempt);
        let CheckResult { own, holder, evidence, .. } = result;
        self.execute(work, |ownership| Command::RecordCheck {
            claim_id: work.claim_id,
            attempt,
            outcome: own.clone(),
            // The outcome is about the record of one holder, and is dropped when another claim has the name by now.
            holder_outcome: holder
                .as_ref()
                .filter(|(id, _)| ownership.holding == Some(*id))
                .map(|(_, theirs)| theirs.clone()),
            evidence: evidence.clone(),
        })
        .await
    }

    /// The CNAME target of an app's hostname; `None` for other names and for deleted apps.
    async fn cname_target(
        &self,
        ownership: &Ownership,
        work: &VerificationWork,
    ) -> Result<Option<String>, WorkError> {
        let app = ownership.claims.get(&work.claim_id).and_then(|claim| claim.holder.app());
        let Some(app) = app.filter(|_| !self.config.cname_base.is_empty()) else { return Ok(None) };
        let app = load::<App>(&*self.store, &StreamId::app(app)).await?.state;
        Ok(app.filter(|app| !app.deleted).map(|app| format!("{}.{}", app.slug, self.config.cname_base)))
    }

    /// The context of the check, if exactly this attempt is due.
    fn due_check(
        &self,
        ownership: &Ownership,
        work: &VerificationWork,
        attempt: u32,
    ) -> Result<CheckContext, WorkOutcome> {
        let claim =
            ownership.claims.get(&work.claim_id).filter(|claim| claim.is_open()).ok_or(WorkOutcome::Stale)?;
        let pending = claim.pending.filter(|pending| pending.attempt == attempt).ok_or(WorkOutcome::Stale)?;
        let early = chrono::Duration::from_std(self.config.early).unwrap_or_default();
        if pending.due_at > self.clock.now() + early {
            return Err(WorkOutcome::NotDue);
        }
        CheckContext::of(ownership, claim).ok_or(WorkOutcome::Stale)
    }

    /// Executes a command, made from the newest state, on the claim's stream.
    async fn execute(
        &self,
        work: &VerificationWork,
        command: impl Fn(&Ownership) -> Command + Send + Sync,
    ) -> Result<WorkOutcome, WorkError> {
        let policy = &self.config.policy;
        let decide = |loaded: &Loaded<Ownership>, at| {
            if let VerificationTask::Expire = work.task {
                spans::link_to_cause(work, &loaded.events);
            }
            let events = loaded.state.decide(command(&loaded.state), policy, at)?;
            Ok::<_, Rejection>(Plan::write(&work.stream, events))
        };
        let executed =
            execute(&*self.store, &*self.clock, work.stream.clone(), &metadata(work), decide).await;
        match executed {
            Ok(_) => Ok(WorkOutcome::Recorded),
            Err(ExecuteError::Rejected(Rejection::NotDue)) => Ok(WorkOutcome::NotDue),
            Err(ExecuteError::Rejected(rejection)) => {
                tracing::debug!(claim = %work.claim_id, %rejection, "the work is stale");
                Ok(WorkOutcome::Stale)
            }
            Err(ExecuteError::Contended) => Err(WorkError::Contended),
            Err(ExecuteError::Unavailable(error)) => Err(WorkError::Unavailable(error)),
        }
    }

    /// Reports a check in metrics, spans and the log.
    fn report(&self, work: &VerificationWork, attempt: u32, result: &CheckResult) {
        self.metrics.count_check(&result.own);
        self.metrics.duration.observe(result.took.as_secs_f64());
        let (outcome, class, code) = outcome_labels(&result.own);
        let holder = result.holder.as_ref().map(|(_, theirs)| outcome_labels(theirs).2);
        let took_ms = result.took.as_millis();
        spans::record_check(outcome, class, code);
        tracing::info!(claim = %work.claim_id, attempt, outcome, class, code, holder, took_ms, "claim.checked");
    }
}

fn is_internal(outcome: &Outcome) -> bool {
    outcome.code().is_some_and(|code| code.class() == Class::Internal)
}

#[cfg(test)]
mod tests;
