//! Tests of the dispatcher's loop: leases, standbys and pauses between rounds.
use std::sync::Arc;

use deed_bus::{InProcess, Limits, Topology};
use deed_messages::{CloudEvent, queues};
use deed_store::Lease;
use prometheus::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{PATIENCE, ProjectorFixture, absent, id, seconds};

impl ProjectorFixture {
    fn spawn_dispatcher(&self, owner: &str, bus: &InProcess, stop: &CancellationToken) -> JoinHandle<()> {
        let config = DispatcherConfig {
            owner: owner.to_owned(),
            poll: Duration::from_millis(50),
            lease_ttl: Duration::from_millis(600),
            backoff_max: Duration::from_millis(100),
            ..DispatcherConfig::default()
        };
        let ports = DispatcherPorts {
            store: self.log(),
            checkpoints: self.checkpoints(),
            due: Arc::new(self.store.clone()),
            bus: Arc::new(bus.clone()),
            clock: self.clock_port(),
        };
        let metrics = DispatcherMetrics::register(&Registry::new()).unwrap();
        let stop = stop.clone();
        tokio::spawn(async move { run_dispatcher(ports, &config, metrics, stop).await })
    }

    async fn dispatcher_lease(&self, owner: &str) -> Option<Lease> {
        let now = self.clock.now();
        self.store.acquire(DISPATCHER, owner, now, Duration::from_secs(1)).await.unwrap()
    }
}

async fn next(consumer: &mut dyn deed_bus::Consumer) -> CloudEvent {
    let delivery =
        tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a message in time").unwrap().unwrap();
    let event = CloudEvent::from_json(&delivery.message().body).unwrap();
    delivery.acknowledge().await.unwrap();
    event
}

#[tokio::test]
async fn republishes_until_work_is_done() {
    let mut fixture = ProjectorFixture::new().await;
    let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default());
    let mut consumer = bus.consumer(queues::VERIFICATION).await.unwrap();
    let stop = CancellationToken::new();
    let running = fixture.spawn_dispatcher("one", &bus, &stop);

    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(10).await;
    fixture.clock.advance(seconds(30));
    assert_eq!(next(&mut *consumer).await.data["attempt"], 1);
    // The first message counts as lost.
    fixture.clock.advance(seconds(30));
    assert_eq!(next(&mut *consumer).await.data["attempt"], 1);
    fixture.check(1, "acme.com", 1, absent(), None).await;
    fixture.fold(10).await;
    fixture.clock.advance(seconds(60));
    let event = next(&mut *consumer).await;
    assert_eq!(
        (event.data["attempt"].clone(), event.data["claimId"].clone()),
        (2.into(), id(1).to_string().into())
    );

    stop.cancel();
    running.await.unwrap();
    assert!(fixture.dispatcher_lease("test").await.is_some(), "the lease was not given back");
}

#[tokio::test]
async fn standby_takes_over_from_stopped_dispatcher() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(10).await;
    let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default());
    let mut consumer = bus.consumer(queues::VERIFICATION).await.unwrap();
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let one = fixture.spawn_dispatcher("one", &bus, &first);
    fixture.clock.advance(seconds(30));
    next(&mut *consumer).await;
    let two = fixture.spawn_dispatcher("two", &bus, &second);
    first.cancel();
    one.await.unwrap();
    fixture.clock.advance(seconds(30));
    next(&mut *consumer).await;
    second.cancel();
    two.await.unwrap();
}

#[tokio::test]
async fn runs_next_round_soon_after_publishing() {
    let fixture = ProjectorFixture::new().await;
    let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default());
    let ports = DispatcherPorts {
        store: fixture.log(),
        checkpoints: fixture.checkpoints(),
        due: Arc::new(fixture.store.clone()),
        bus: Arc::new(bus),
        clock: fixture.clock_port(),
    };
    let config = DispatcherConfig { poll: Duration::from_mins(1), ..DispatcherConfig::default() };
    let dispatcher = Dispatcher::new(&ports, &config, DispatcherMetrics::register(&Registry::new()).unwrap());
    let mut rounds = DispatchLoop { dispatcher: &dispatcher, config: &config, head: None, failures: 0 };
    // From here on time passes only in sleeps.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    rounds.wait_after(Ok(RoundOutcome::Done)).await;
    assert!(before.elapsed() <= 2 * MIN_PAUSE, "{:?}", before.elapsed());
    rounds.wait_after(Ok(RoundOutcome::Idle(None))).await;
    assert!(before.elapsed() >= config.poll);
}
