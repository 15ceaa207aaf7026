use std::sync::Arc;

use deed_bus::{CloudEvent, InProcess, Limits, Topology};
use deed_store::Lease;
use prometheus::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{PATIENCE, World, absent, id, seconds};

impl World {
    fn dispatcher(&self, owner: &str, bus: &InProcess, stop: &CancellationToken) -> JoinHandle<()> {
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
            clock: self.ticking(),
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
    delivery.done().await.unwrap();
    event
}

#[tokio::test]
async fn a_running_dispatcher_asks_until_the_work_is_done_and_then_stops() {
    let mut world = World::new().await;
    let bus = InProcess::new(Topology::deed(), Limits::default());
    let mut consumer = bus.consumer(Topology::VERIFICATION).await.unwrap();
    let stop = CancellationToken::new();
    let running = world.dispatcher("one", &bus, &stop);

    world.watch(1, "acme.com", 1).await;
    world.fold(10).await;
    world.clock.advance(seconds(30));
    assert_eq!(next(&mut *consumer).await.data["attempt"], 1);
    // That message is lost.
    world.clock.advance(seconds(30));
    assert_eq!(next(&mut *consumer).await.data["attempt"], 1);
    world.check(1, "acme.com", 1, absent(), None).await;
    world.fold(10).await;
    world.clock.advance(seconds(60));
    let event = next(&mut *consumer).await;
    assert_eq!(
        (event.data["attempt"].clone(), event.data["claimId"].clone()),
        (2.into(), id(1).to_string().into())
    );

    stop.cancel();
    running.await.unwrap();
    assert!(world.dispatcher_lease("test").await.is_some(), "the lease was not given back");
}

#[tokio::test]
async fn a_standby_goes_on_where_another_dispatcher_ended() {
    let mut world = World::new().await;
    world.watch(1, "acme.com", 1).await;
    world.fold(10).await;
    let bus = InProcess::new(Topology::deed(), Limits::default());
    let mut consumer = bus.consumer(Topology::VERIFICATION).await.unwrap();
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let one = world.dispatcher("one", &bus, &first);
    world.clock.advance(seconds(30));
    next(&mut *consumer).await;
    let two = world.dispatcher("two", &bus, &second);
    first.cancel();
    one.await.unwrap();
    world.clock.advance(seconds(30));
    next(&mut *consumer).await;
    second.cancel();
    two.await.unwrap();
}

#[tokio::test]
async fn after_a_round_it_is_looked_at_once_what_falls_due_next() {
    let world = World::new().await;
    let bus = InProcess::new(Topology::deed(), Limits::default());
    let ports = DispatcherPorts {
        store: world.log(),
        checkpoints: world.checkpoints(),
        due: Arc::new(world.store.clone()),
        bus: Arc::new(bus),
        clock: world.ticking(),
    };
    let config = DispatcherConfig { poll: Duration::from_mins(1), ..DispatcherConfig::default() };
    let dispatch = Dispatch::new(&ports, &config, DispatcherMetrics::register(&Registry::new()).unwrap());
    let mut turn = Turn { dispatch: &dispatch, config: &config, head: None, faults: 0 };
    // From here on time passes only where somebody waits for it.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    turn.rest(Ok(Round::Done)).await;
    assert!(before.elapsed() <= 2 * BREATH, "{:?}", before.elapsed());
    turn.rest(Ok(Round::Idle(None))).await;
    assert!(before.elapsed() >= config.poll);
}
