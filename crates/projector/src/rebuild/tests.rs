//! Tests of rebuilds: beside running projectors, interrupted, and against all batch sizes.
use std::time::Duration;

use deed_claims::{ClaimState, Command, FOLD_VERSION, Ownership};
use deed_diagnosis::Code;
use deed_diagnosis::Outcome::Proven;
use deed_store::{
    Changes, Checkpoints, OwnershipRow, READ_MODELS_FOLD, ReadModels, SubscriptionConfig, Version, load,
};
use deed_testkit::eventually;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fold_version::set_mark;
use crate::testing::{
    PATIENCE, ProjectorFixture, TTL, absent, apex, id, initiate, not_proven, projector_of, record_check,
    seconds,
};
use crate::{RebuildRequests, rebuild_channel, run_projector};

const SHORT_TTL: Duration = Duration::from_millis(600);

fn config(owner: &str, batch: usize, if_held: IfHeld) -> RebuildConfig {
    RebuildConfig { owner: owner.to_owned(), batch, lease_ttl: SHORT_TTL, if_held }
}

impl ProjectorFixture {
    async fn rebuild(&mut self, config: &RebuildConfig) -> Result<Rebuilt, RebuildError> {
        let (checkpoints, clock) = (self.checkpoints(), self.clock_port());
        let stop = CancellationToken::new();
        rebuild(&self.store, &checkpoints, &clock, &mut self.projector, config, &stop).await
    }

    /// Writes a row that no event made.
    async fn add_stray_row(&self) {
        let lease = self.lease().await;
        let at = self.store.checkpoint(READ_MODELS).await.unwrap();
        let state = load::<Ownership>(&self.store, &apex("acme.com")).await.unwrap().state;
        let row = OwnershipRow { stream: apex("never.com"), version: Version(9), state };
        let changes = Changes { ownerships: vec![row], ..Changes::default() };
        self.store.apply(&lease, at, at, changes).await.unwrap();
        self.store.release(&lease).await.unwrap();
    }

    fn spawn_projector(
        &self,
        owner: &str,
        requests: RebuildRequests,
        stop: &CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let config = SubscriptionConfig {
            owner: owner.to_owned(),
            batch: 10,
            lease_ttl: SHORT_TTL,
            poll: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
        };
        let (log, checkpoints, clock) = (self.log(), self.checkpoints(), self.clock_port());
        let (projector, stop) = (projector_of(&self.store), stop.clone());
        tokio::spawn(async move {
            run_projector(log, checkpoints, clock, projector, requests, &config, stop).await.unwrap();
        })
    }

    async fn wait_until_folded(&self) {
        eventually("the read models to reach the end of the log", PATIENCE, || async {
            let (at, last) = (self.store.checkpoint(READ_MODELS).await.unwrap(), self.last_position().await);
            (at == last).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn rebuild_restores_rows_and_removes_others() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.check(1, "acme.com", 1, Proven, None).await;
    fixture.start_verifying(2, "acme.com", 2).await;
    fixture.fold(100).await;
    let folded = fixture.store.digest().await.unwrap();
    fixture.add_stray_row().await;
    assert_ne!(fixture.store.digest().await.unwrap(), folded);

    let rebuilt = fixture.rebuild(&config("test", 2, IfHeld::Wait)).await.unwrap();
    assert_eq!(rebuilt.to, fixture.last_position().await);
    assert_eq!(fixture.store.digest().await.unwrap(), folded);
    assert_eq!(fixture.store.checkpoint(READ_MODELS).await.unwrap(), rebuilt.to);
}

#[tokio::test]
async fn running_projector_rebuilds_on_request_and_resumes() {
    let fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    let (rebuilder, requests) = rebuild_channel();
    let stop = CancellationToken::new();
    let running = fixture.spawn_projector("service", requests, &stop);
    fixture.wait_until_folded().await;
    let folded = fixture.store.digest().await.unwrap();

    let rebuilt = rebuilder.rebuild().await.unwrap();
    assert_eq!(rebuilt.to, fixture.last_position().await);
    assert_eq!(fixture.store.digest().await.unwrap(), folded);

    fixture.initiate(2, "beta.com", 1).await;
    fixture.wait_until_folded().await;
    stop.cancel();
    running.await.unwrap();
    assert!(matches!(rebuilder.rebuild().await, Err(RebuildError::NotRunning)));
}

impl ProjectorFixture {
    async fn set_fold(&self, version: u64) {
        let (checkpoints, clock) = (self.checkpoints(), self.clock_port());
        let owner = ("test", SHORT_TTL);
        set_mark(&*checkpoints, &*clock, owner, READ_MODELS_FOLD, |_| Position(version)).await.unwrap();
    }

    async fn fold_version(&self) -> u64 {
        self.store.checkpoint(READ_MODELS_FOLD).await.unwrap().0
    }

    /// Runs a projector until it has folded one more event; returns whether the read models were rebuilt.
    async fn is_rebuilt_at_start(&self) -> bool {
        self.add_stray_row().await;
        let (_rebuilder, requests) = rebuild_channel();
        let stop = CancellationToken::new();
        let running = self.spawn_projector("service", requests, &stop);
        self.initiate(9, "late.com", 1).await;
        self.wait_until_folded().await;
        stop.cancel();
        running.await.unwrap();
        self.store.ownerships(&[apex("never.com")]).await.unwrap().is_empty()
    }
}

#[tokio::test]
async fn read_models_of_another_fold_are_rebuilt_at_start() {
    for version in [0, FOLD_VERSION - 1, FOLD_VERSION + 1] {
        let mut fixture = ProjectorFixture::new().await;
        fixture.start_verifying(1, "acme.com", 1).await;
        fixture.fold(100).await;
        fixture.set_fold(version).await;
        assert!(fixture.is_rebuilt_at_start().await, "of fold {version}");
        assert_eq!(fixture.fold_version().await, FOLD_VERSION);
    }
}

#[tokio::test]
async fn read_models_of_this_fold_are_kept_at_start() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(100).await;
    fixture.set_fold(FOLD_VERSION).await;
    assert!(!fixture.is_rebuilt_at_start().await);
}

#[tokio::test]
async fn empty_read_models_get_the_fold_version() {
    let fixture = ProjectorFixture::new().await;
    let (_rebuilder, requests) = rebuild_channel();
    let stop = CancellationToken::new();
    let running = fixture.spawn_projector("service", requests, &stop);
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.wait_until_folded().await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(fixture.fold_version().await, FOLD_VERSION);
}

#[tokio::test]
async fn rebuild_takes_lease_over_and_returns_it() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    let (_rebuilder, requests) = rebuild_channel();
    let stop = CancellationToken::new();
    let running = fixture.spawn_projector("service", requests, &stop);
    fixture.wait_until_folded().await;
    let folded = fixture.store.digest().await.unwrap();

    fixture.rebuild(&config("command line", 100, IfHeld::TakeOver)).await.unwrap();
    assert_eq!(fixture.store.digest().await.unwrap(), folded);
    fixture.initiate(2, "beta.com", 1).await;
    fixture.wait_until_folded().await;
    assert!(!fixture.store.ownerships(&[apex("beta.com")]).await.unwrap().is_empty());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn rebuild_waits_for_lease() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    let now = fixture.clock.now();
    let held = fixture.store.acquire(READ_MODELS, "service", now, TTL).await.unwrap().unwrap();
    let (checkpoints, clock, stop) = (fixture.checkpoints(), fixture.clock_port(), CancellationToken::new());
    let config = config("command line", 100, IfHeld::Wait);
    let mut waiting = tokio::spawn({
        let (store, mut projector) = (fixture.store.clone(), projector_of(&fixture.store));
        let (checkpoints, clock, config, stop) =
            (checkpoints.clone(), clock.clone(), config.clone(), stop.clone());
        async move { rebuild(&store, &checkpoints, &clock, &mut projector, &config, &stop).await }
    });
    let early = tokio::time::timeout(SHORT_TTL, &mut waiting).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    fixture.store.release(&held).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(fixture.store.checkpoint(READ_MODELS).await.unwrap(), fixture.last_position().await);

    fixture.store.acquire(READ_MODELS, "service", now, TTL).await.unwrap().unwrap();
    stop.cancel();
    let stopped = rebuild(&fixture.store, &checkpoints, &clock, &mut fixture.projector, &config, &stop).await;
    assert!(matches!(stopped, Err(RebuildError::Stopped)));
}

/// One step in the life of a few claims on a few names; the aggregate may reject it.
#[derive(Debug, Clone)]
enum ClaimStep {
    Initiate { claim: u8, workspace: u8 },
    Request(u8),
    Check { claim: u8, found: u8, holder: u8 },
    Expire(u8),
    Cancel(u8),
    Release(u8),
    Lock(u8),
    Pass(i64),
}

const NAMES: [&str; 3] = ["acme.com", "beta.com", "gamma.com"];

/// The name that a claim is for.
fn name_of(claim: u8) -> &'static str {
    NAMES[usize::from(claim) % NAMES.len()]
}

fn steps() -> impl Strategy<Value = Vec<ClaimStep>> {
    let claim = || 0_u8..9;
    let step = prop_oneof![
        3 => (claim(), 1_u8..4).prop_map(|(claim, workspace)| ClaimStep::Initiate { claim, workspace }),
        3 => claim().prop_map(ClaimStep::Request),
        5 => (claim(), 0_u8..5, 0_u8..3).prop_map(|(claim, found, holder)| ClaimStep::Check { claim, found, holder }),
        1 => claim().prop_map(ClaimStep::Expire),
        1 => claim().prop_map(ClaimStep::Cancel),
        1 => claim().prop_map(ClaimStep::Release),
        1 => claim().prop_map(ClaimStep::Lock),
        2 => (1_i64..200_000).prop_map(ClaimStep::Pass),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn apply_step(fixture: &ProjectorFixture, step: &ClaimStep) {
    let (claim, command) = match *step {
        ClaimStep::Pass(by) => return fixture.clock.advance(seconds(by)),
        ClaimStep::Initiate { claim, workspace } => (claim, initiate(claim, name_of(claim), workspace)),
        ClaimStep::Request(claim) => (claim, Command::RequestVerification { claim_id: id(claim) }),
        ClaimStep::Expire(claim) => (claim, Command::Expire { claim_id: id(claim) }),
        ClaimStep::Cancel(claim) => (claim, Command::Cancel { claim_id: id(claim) }),
        ClaimStep::Release(claim) => (claim, Command::Release { claim_id: id(claim) }),
        ClaimStep::Lock(claim) => (claim, Command::Lock { claim_id: id(claim) }),
        ClaimStep::Check { claim, found, holder } => {
            let outcome = |which: u8| match which {
                0 => absent(),
                1 => not_proven(Code::Timeout),
                2 => not_proven(Code::NameRefused),
                _ => Proven,
            };
            let state = load::<Ownership>(&fixture.store, &apex(name_of(claim))).await.unwrap().state;
            let pending = state.claims.get(&id(claim)).and_then(|claim| claim.pending);
            let Some(pending) = pending else { return };
            let holder = state.holding.filter(|held| *held != id(claim)).map(|_| outcome(holder));
            (claim, record_check(claim, pending.attempt, outcome(found), holder))
        }
    };
    // A rejected command is a valid step.
    let _ = fixture.execute(&apex(name_of(claim)), command).await;
}

/// Compares the rows with the streams, folded independently.
async fn assert_rows_match_streams(fixture: &ProjectorFixture) {
    let streams = NAMES.map(apex);
    for row in fixture.store.ownerships(&streams).await.unwrap() {
        let loaded = load::<Ownership>(&fixture.store, &row.stream).await.unwrap();
        assert_eq!((row.version, &row.state), (loaded.version, &loaded.state));
    }
    let state =
        |claim| async move { load::<Ownership>(&fixture.store, &apex(name_of(claim))).await.unwrap().state };
    for item in fixture.due_work().await {
        let claim = item.claim_id.as_bytes()[0];
        let claim = state(claim).await.claims[&item.claim_id].clone();
        assert!(!matches!(claim.state, ClaimState::Ended { .. }), "an ended claim has work: {item:?}");
    }
}

#[test]
fn batch_size_does_not_change_rows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let sizes = proptest::collection::vec(1_usize..7, 1..60);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&(steps(), sizes), |(steps, sizes)| {
        runtime.block_on(async {
            let mut fixture = ProjectorFixture::new().await;
            for step in &steps {
                apply_step(&fixture, step).await;
            }
            let mut sizes = sizes.into_iter().cycle();
            fixture.fold_in_batches(|| sizes.next().unwrap_or(1)).await;
            let folded = fixture.store.digest().await.unwrap();
            assert_rows_match_streams(&fixture).await;
            for batch in [1, 1000] {
                fixture.rebuild(&super::tests::config("test", batch, IfHeld::Wait)).await.unwrap();
                prop_assert_eq!(&fixture.store.digest().await.unwrap(), &folded);
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
