use std::time::Duration;

use deed_claims::Outcome::Proven;
use deed_claims::{ClaimState, Code, Command};
use deed_store::{Changes, Checkpoints, Clock, OwnershipRow, ReadModels, SubscriptionConfig, Version, load};
use deed_testkit::eventually;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{
    PATIENCE, TTL, World, absent, apex, id, initiate, not_proven, projector_of, record, seconds,
};
use crate::{RebuildRequests, rebuild_channel, run_projector};

const SHORT_TTL: Duration = Duration::from_millis(600);

fn config(owner: &str, batch: usize, if_held: IfHeld) -> RebuildConfig {
    RebuildConfig { owner: owner.to_owned(), batch, lease_ttl: SHORT_TTL, if_held }
}

impl World {
    async fn rebuild(&mut self, config: &RebuildConfig) -> Result<Rebuilt, RebuildError> {
        let (checkpoints, clock) = (self.checkpoints(), self.ticking());
        let stop = CancellationToken::new();
        rebuild(&self.store, &checkpoints, &clock, &mut self.projector, config, &stop).await
    }

    /// Puts a row there that no event made.
    async fn spoil(&self) {
        let lease = self.lease().await;
        let at = self.store.checkpoint(READ_MODELS).await.unwrap();
        let state = load(&self.store, &apex("acme.com")).await.unwrap().ownership();
        let row = OwnershipRow { stream: apex("never.com"), version: Version(9), state };
        let changes = Changes { ownerships: vec![row], ..Changes::default() };
        self.store.apply(&lease, at, at, changes).await.unwrap();
        self.store.release(&lease).await.unwrap();
    }

    fn run(
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
        let (log, checkpoints, clock) = (self.log(), self.checkpoints(), self.ticking());
        let (projector, stop) = (projector_of(&self.store), stop.clone());
        tokio::spawn(async move {
            run_projector(log, checkpoints, clock, projector, requests, &config, stop).await.unwrap();
        })
    }

    async fn folded_to_the_end(&self) {
        eventually("the read models to reach the end of the log", PATIENCE, || async {
            let (at, last) = (self.store.checkpoint(READ_MODELS).await.unwrap(), self.last().await);
            (at == last).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_rebuild_makes_the_same_rows_and_leaves_no_others() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.check(1, "acme.com", 1, Proven, None).await;
    world.watch(2, "acme.com", 2).await;
    world.fold(100).await;
    let folded = world.store.digest().await.unwrap();
    world.spoil().await;
    assert_ne!(world.store.digest().await.unwrap(), folded);

    let rebuilt = world.rebuild(&config("test", 2, IfHeld::Wait)).await.unwrap();
    assert_eq!(rebuilt.to, world.last().await);
    assert_eq!(world.store.digest().await.unwrap(), folded);
    assert_eq!(world.store.checkpoint(READ_MODELS).await.unwrap(), rebuilt.to);
}

#[tokio::test]
async fn a_running_projector_rebuilds_on_request_and_goes_on() {
    let world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    let (rebuilder, requests) = rebuild_channel();
    let stop = CancellationToken::new();
    let running = world.run("service", requests, &stop);
    world.folded_to_the_end().await;
    let folded = world.store.digest().await.unwrap();

    let rebuilt = rebuilder.rebuild().await.unwrap();
    assert_eq!(rebuilt.to, world.last().await);
    assert_eq!(world.store.digest().await.unwrap(), folded);

    world.initiate(2, "beta.com", 1).await;
    world.folded_to_the_end().await;
    stop.cancel();
    running.await.unwrap();
    assert!(matches!(rebuilder.rebuild().await, Err(RebuildError::NotRunning)));
}

#[tokio::test]
async fn a_rebuild_takes_over_from_a_running_projector_and_hands_back() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    let (_rebuilder, requests) = rebuild_channel();
    let stop = CancellationToken::new();
    let running = world.run("service", requests, &stop);
    world.folded_to_the_end().await;
    let folded = world.store.digest().await.unwrap();

    world.rebuild(&config("command line", 100, IfHeld::TakeOver)).await.unwrap();
    assert_eq!(world.store.digest().await.unwrap(), folded);
    world.initiate(2, "beta.com", 1).await;
    world.folded_to_the_end().await;
    assert!(!world.store.ownerships(&[apex("beta.com")]).await.unwrap().is_empty());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_patient_rebuild_waits_for_the_lease() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    let now = world.clock.now();
    let held = world.store.acquire(READ_MODELS, "service", now, TTL).await.unwrap().unwrap();
    let (checkpoints, clock, stop) = (world.checkpoints(), world.ticking(), CancellationToken::new());
    let config = config("command line", 100, IfHeld::Wait);
    let mut waiting = tokio::spawn({
        let (store, mut projector) = (world.store.clone(), projector_of(&world.store));
        let (checkpoints, clock, config, stop) =
            (checkpoints.clone(), clock.clone(), config.clone(), stop.clone());
        async move { rebuild(&store, &checkpoints, &clock, &mut projector, &config, &stop).await }
    });
    let early = tokio::time::timeout(SHORT_TTL, &mut waiting).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    world.store.release(&held).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(world.store.checkpoint(READ_MODELS).await.unwrap(), world.last().await);

    world.store.acquire(READ_MODELS, "service", now, TTL).await.unwrap().unwrap();
    stop.cancel();
    let stopped = rebuild(&world.store, &checkpoints, &clock, &mut world.projector, &config, &stop).await;
    assert!(matches!(stopped, Err(RebuildError::Stopped)));
}

/// Something that may happen to one of a few claims on one of a few names; what the rules refuse does not happen.
#[derive(Debug, Clone)]
enum Step {
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

/// A claim stays with its name.
fn name_of(claim: u8) -> &'static str {
    NAMES[usize::from(claim) % NAMES.len()]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let claim = || 0_u8..9;
    let step = prop_oneof![
        3 => (claim(), 1_u8..4).prop_map(|(claim, workspace)| Step::Initiate { claim, workspace }),
        3 => claim().prop_map(Step::Request),
        5 => (claim(), 0_u8..5, 0_u8..3).prop_map(|(claim, found, holder)| Step::Check { claim, found, holder }),
        1 => claim().prop_map(Step::Expire),
        1 => claim().prop_map(Step::Cancel),
        1 => claim().prop_map(Step::Release),
        1 => claim().prop_map(Step::Lock),
        2 => (1_i64..200_000).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn happen(world: &World, step: &Step) {
    let (claim, command) = match *step {
        Step::Pass(by) => return world.clock.advance(seconds(by)),
        Step::Initiate { claim, workspace } => (claim, initiate(claim, name_of(claim), workspace)),
        Step::Request(claim) => (claim, Command::RequestVerification { claim_id: id(claim) }),
        Step::Expire(claim) => (claim, Command::Expire { claim_id: id(claim) }),
        Step::Cancel(claim) => (claim, Command::Cancel { claim_id: id(claim) }),
        Step::Release(claim) => (claim, Command::Release { claim_id: id(claim) }),
        Step::Lock(claim) => (claim, Command::Lock { claim_id: id(claim) }),
        Step::Check { claim, found, holder } => {
            let outcome = |which: u8| match which {
                0 => absent(),
                1 => not_proven(Code::Timeout),
                2 => not_proven(Code::NameRefused),
                _ => Proven,
            };
            let state = load(&world.store, &apex(name_of(claim))).await.unwrap().ownership();
            let pending = state.claims.get(&id(claim)).and_then(|claim| claim.pending);
            let Some(pending) = pending else { return };
            let holder = state.holding.filter(|held| *held != id(claim)).map(|_| outcome(holder));
            (claim, record(claim, pending.attempt, outcome(found), holder))
        }
    };
    // A refusal is part of the game.
    let _ = world.give(&apex(name_of(claim)), command).await;
}

/// The rows are those of the streams, folded independently.
async fn rows_are_true(world: &World) {
    let streams = NAMES.map(apex);
    for row in world.store.ownerships(&streams).await.unwrap() {
        let loaded = load(&world.store, &row.stream).await.unwrap();
        assert_eq!((row.version, &row.state), (loaded.version, &loaded.ownership()));
    }
    let state = |claim| async move { load(&world.store, &apex(name_of(claim))).await.unwrap().ownership() };
    for item in world.due().await {
        let claim = item.claim_id.as_bytes()[0];
        let claim = state(claim).await.claims[&item.claim_id].clone();
        assert!(!matches!(claim.state, ClaimState::Ended { .. }), "an ended claim has work: {item:?}");
    }
}

#[test]
fn batches_of_any_size_fold_into_the_same_rows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let sizes = proptest::collection::vec(1_usize..7, 1..60);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&(steps(), sizes), |(steps, sizes)| {
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                happen(&world, step).await;
            }
            let mut sizes = sizes.into_iter().cycle();
            world.fold_in(|| sizes.next().unwrap_or(1)).await;
            let folded = world.store.digest().await.unwrap();
            rows_are_true(&world).await;
            for batch in [1, 1000] {
                world.rebuild(&super::tests::config("test", batch, IfHeld::Wait)).await.unwrap();
                prop_assert_eq!(&world.store.digest().await.unwrap(), &folded);
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
