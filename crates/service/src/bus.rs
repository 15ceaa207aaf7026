//! Opens the configured bus: in the process, or a RabbitMQ broker.
use std::sync::Arc;

use deed_bus::{Bus, InProcess, RabbitMq, RabbitMqConfig, Topology};
use deed_messages::queues;

use crate::config::Settings;
use crate::error::ServiceError;

/// The bus of the service. A broker that does not answer is no error: connecting is retried.
pub(crate) fn open(settings: &Settings, name: &str) -> Result<Arc<dyn Bus>, ServiceError> {
    match broker(settings, name)? {
        Some(broker) => Ok(Arc::new(broker)),
        None => Ok(Arc::new(InProcess::new(topology()?, settings.config.bus.limits))),
    }
}

/// The broker, if one is configured.
pub fn broker(settings: &Settings, name: &str) -> Result<Option<RabbitMq>, ServiceError> {
    let bus = &settings.config.bus;
    let Some(url) = &bus.url else { return Ok(None) };
    let config = RabbitMqConfig {
        url: url.reveal().to_owned(),
        limits: bus.limits,
        heartbeat: bus.heartbeat,
        connection_name: format!("deed {name}"),
    };
    RabbitMq::start(config, topology()?)
        .map(Some)
        .map_err(|error| ServiceError::Setting(format!("`bus.url` cannot be used: {error}")))
}

/// Our exchange and queues.
fn topology() -> Result<Topology, ServiceError> {
    Topology::new(queues::EXCHANGE, queues::ALL)
        .map_err(|error| ServiceError::Setting(format!("the queues cannot be declared: {error}")))
}
