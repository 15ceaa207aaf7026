//! One piece of work from the claim's stream to the claim's stream.
use std::sync::Arc;

use deed_claims::{Class, Command, Event, Outcome, Ownership, Rejection, StreamId};
use deed_probe::Look;
use deed_store::{Clock, EventStore, ExecuteError, Loaded, Plan, Unavailable, execute, load};
use deed_trace::Exemplars;
use tracing::Span;

use crate::canary::Canary;
use crate::config::VerifierConfig;
use crate::in_hand::InHand;
use crate::metrics::{VerifierMetrics, words};
use crate::sight::{Case, Verdict};
use crate::spans;
use crate::troubles::Troubles;
use crate::work::{Task, Work};

/// What became of a piece of work; each way its message is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It was done and recorded.
    Recorded,
    /// Somebody else did it, or the claim is over.
    Stale,
    /// It is not due; it will be asked for when it is.
    Early,
    /// This process is at it already.
    InHand,
    /// Our own trouble stood in the way; the claim's due work will ask again.
    Internal,
    /// Our own trouble stood in the way not long ago; it is not tried again yet.
    BackingOff,
}

impl Settled {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Recorded, Self::Stale, Self::Early, Self::InHand, Self::Internal, Self::BackingOff];

    /// The word for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Stale => "stale",
            Self::Early => "early",
            Self::InHand => "in_hand",
            Self::Internal => "internal",
            Self::BackingOff => "backing_off",
        }
    }
}

/// Why a piece of work could not be done now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("others kept writing to the stream")]
    Contended,
}

/// The histogram that looks are examples of.
const SECONDS: &str = "deed_check_duration_seconds";

/// Everything work is done with.
pub struct Verifier {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) look: Arc<dyn Look>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: VerifierConfig,
    pub(crate) metrics: VerifierMetrics,
    pub(crate) canary: Canary,
    exemplars: Exemplars,
    in_hand: InHand,
    troubles: Troubles,
}

impl Verifier {
    /// A verifier that looks with `look` and writes to `store`.
    pub fn new(
        store: Arc<dyn EventStore>,
        look: Arc<dyn Look>,
        clock: Arc<dyn Clock>,
        config: VerifierConfig,
        metrics: VerifierMetrics,
    ) -> Self {
        metrics.hands.set(i64::try_from(config.hands()).unwrap_or(i64::MAX));
        let troubles = Troubles::new(config.trouble_pause);
        let canary = Canary::default();
        let (exemplars, in_hand) = (Exemplars::default(), InHand::default());
        Self { store, look, clock, config, metrics, canary, exemplars, in_hand, troubles }
    }

    /// Has looks be examples of how long looks take.
    #[must_use]
    pub fn with_exemplars(self, exemplars: Exemplars) -> Self {
        Self { exemplars, ..self }
    }

    pub(crate) async fn work(&self, work: &Work) -> Result<Settled, Trouble> {
        match work.task {
            Task::Expire => self.record(work, |_| Command::Expire { claim_id: work.claim_id }).await,
            Task::Check { attempt } => match self.in_hand.take(work.claim_id, attempt) {
                Some(_hold) => self.check(work, attempt).await,
                None => Ok(Settled::InHand),
            },
        }
    }

    async fn check(&self, work: &Work, attempt: u32) -> Result<Settled, Trouble> {
        let loaded = load(&*self.store, &work.stream).await?;
        spans::link(work, &loaded.events);
        let case = match self.due(&loaded, work, attempt) {
            Ok(case) => case,
            Err(settled) => return Ok(settled),
        };
        if self.troubles.are_fresh(work.claim_id, attempt, self.clock.now()) {
            return Ok(Settled::BackingOff);
        }
        let case = case.pointing_at(self.target_of(&loaded, work).await?);
        let verdict = case.decide(&*self.look, &self.config).await;
        self.tell(work, attempt, &verdict);
        if is_internal(&verdict.own) || verdict.holder.as_ref().is_some_and(|(_, theirs)| is_internal(theirs))
        {
            self.troubles.add(work.claim_id, attempt, self.clock.now());
            if self.look.canary_failing().await {
                self.canary.fails();
            }
            return Ok(Settled::Internal);
        }
        self.troubles.forget(work.claim_id, attempt);
        let Verdict { own, holder, evidence, .. } = verdict;
        self.record(work, |ownership| Command::RecordCheck {
            claim_id: work.claim_id,
            attempt,
            outcome: own.clone(),
            // What was seen of one holder's record says nothing about the next holder's.
            holder_outcome: holder
                .as_ref()
                .filter(|(id, _)| ownership.holding == Some(*id))
                .map(|(_, theirs)| theirs.clone()),
            evidence: evidence.clone(),
        })
        .await
    }

    /// Where a hostname of an app has to point; none for other names, and for the hostname of an app that is gone.
    async fn target_of(&self, loaded: &Loaded, work: &Work) -> Result<Option<String>, Trouble> {
        let ownership = loaded.ownership();
        let app = ownership.claims.get(&work.claim_id).and_then(|claim| claim.holder.app());
        let Some(app) = app.filter(|_| !self.config.cname_base.is_empty()) else { return Ok(None) };
        let app = load(&*self.store, &StreamId::app(app)).await?.app();
        Ok(app.filter(|app| !app.deleted).map(|app| format!("{}.{}", app.slug, self.config.cname_base)))
    }

    /// The case to look at, when this very check is due.
    fn due(&self, loaded: &Loaded, work: &Work, attempt: u32) -> Result<Case, Settled> {
        let ownership = loaded.ownership();
        let claim =
            ownership.claims.get(&work.claim_id).filter(|claim| claim.is_open()).ok_or(Settled::Stale)?;
        let pending = claim.pending.filter(|pending| pending.attempt == attempt).ok_or(Settled::Stale)?;
        let early = chrono::Duration::from_std(self.config.early).unwrap_or_default();
        if pending.due_at > self.clock.now() + early {
            return Err(Settled::Early);
        }
        Case::of(&ownership, claim, &loaded.events).ok_or(Settled::Stale)
    }

    /// Gives a command to the newest state of the claim's stream.
    async fn record(
        &self,
        work: &Work,
        command: impl Fn(&Ownership) -> Command + Send + Sync,
    ) -> Result<Settled, Trouble> {
        let streams = [work.stream.clone()];
        let policy = &self.config.policy;
        let done = execute(&*self.store, &*self.clock, &streams, &work.metadata, |loaded, at| {
            let ownership = loaded.first().map(Loaded::ownership).unwrap_or_default();
            if let (Task::Expire, Some(loaded)) = (work.task, loaded.first()) {
                spans::link(work, &loaded.events);
            }
            let events = ownership.decide(command(&ownership), policy, at)?;
            let events = events.into_iter().map(Event::from).collect();
            Ok::<_, Rejection>(Plan {
                writes: vec![(work.stream.clone(), events)],
                receipt: None,
                result: (),
            })
        })
        .await;
        match done {
            Ok(_) => Ok(Settled::Recorded),
            Err(ExecuteError::Rejected(Rejection::NotDue)) => Ok(Settled::Early),
            Err(ExecuteError::Rejected(rejection)) => {
                tracing::debug!(claim = %work.claim_id, %rejection, "the work is not wanted any more");
                Ok(Settled::Stale)
            }
            Err(ExecuteError::Contended) => Err(Trouble::Contended),
            Err(ExecuteError::Unavailable(error)) => Err(Trouble::Unavailable(error)),
        }
    }

    fn tell(&self, work: &Work, attempt: u32, verdict: &Verdict) {
        self.metrics.judged(&verdict.own);
        let took = verdict.took.as_secs_f64();
        self.metrics.duration.observe(took);
        self.exemplars.seen(SECONDS, "", took, self.clock.now().timestamp_millis(), &Span::current());
        let (outcome, class, code) = words(&verdict.own);
        let holder = verdict.holder.as_ref().map(|(_, theirs)| words(theirs).2);
        let took_ms = verdict.took.as_millis();
        spans::judged(outcome, class, code);
        tracing::info!(claim = %work.claim_id, attempt, outcome, class, code, holder, took_ms, "claim.checked");
    }
}

fn is_internal(outcome: &Outcome) -> bool {
    outcome.code().is_some_and(|code| code.class() == Class::Internal)
}

#[cfg(test)]
mod tests;
