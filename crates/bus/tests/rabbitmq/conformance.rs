//! Runs the conformance suite on RabbitMQ.

use std::sync::Arc;

use async_trait::async_trait;
use deed_bus::metrics::{Health, PublishMetrics};
use deed_bus::{
    Bus, BusError, Consumer, DeadLetters, Depth, Limits, Publisher, RabbitMq, Topology,
    conformance::BusUnderTest,
};
use deed_testkit::VHost;

use crate::support::connected;

struct Broker;

/// A bus, and the vhost that exists as long as the bus.
struct BusWithVhost {
    bus: RabbitMq,
    _vhost: VHost,
}

#[async_trait]
impl Bus for BusWithVhost {
    fn topology(&self) -> &Topology {
        self.bus.topology()
    }

    fn publisher(&self) -> Arc<dyn Publisher> {
        self.bus.publisher()
    }

    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError> {
        self.bus.consumer(queue).await
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        self.bus.dead_letters()
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BusError> {
        self.bus.depth(queue).await
    }

    fn health(&self) -> Health {
        self.bus.health()
    }

    fn measure(&self, metrics: PublishMetrics) {
        self.bus.measure(metrics);
    }

    async fn close(&self) {
        self.bus.close().await;
    }
}

#[async_trait]
impl BusUnderTest for Broker {
    async fn start(&self, topology: Topology, limits: Limits) -> Arc<dyn Bus> {
        let vhost = deed_testkit::RabbitMq::shared().await.vhost().await;
        let bus = connected(vhost.url(), topology, limits).await;
        Arc::new(BusWithVhost { bus, _vhost: vhost })
    }
}

deed_bus::conformance_suite!(Broker);
