//! The OpenTelemetry tracer: filter, sampling and resource attributes.
use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use super::error::TelemetryError;
use super::export::{self, ExportHandle, SpanCounts};
use crate::config::Traces;

/// Creates the tracing layer and starts the export of spans.
pub(super) fn start<S>(
    traces: &Traces,
    instance: &str,
) -> Result<(impl Layer<S> + Send + Sync + use<S>, ExportHandle), TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let resource = resource(instance);
    let counts = SpanCounts::new()?;
    let outage = export::SharedOutage::default();
    let processor = export::processor(traces, &resource, counts.clone(), outage.clone())?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::parent_based(NoClientRoots(Sampler::TraceIdRatioBased(traces.sample_ratio))))
        .with_span_processor(processor)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("deed"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(filter_fn(is_ours).with_max_level_hint(LevelFilter::DEBUG));
    Ok((layer, ExportHandle { provider, counts, outage, limit: traces.timeout }))
}

/// Accepts only spans of Deed. Events may contain data that must not be in a trace, and spans of the HTTP
/// client that exports spans would never end.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.is_span()
        && *metadata.level() <= Level::DEBUG
        && (target == "deed" || target.starts_with("deed_"))
}

/// The resource attributes. `OTEL_RESOURCE_ATTRIBUTES` of the operator takes precedence.
fn resource(instance: &str) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "deed"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .build()
}

/// A sampler that starts no trace at a client span. A store or DNS query outside a trace is not worth one of
/// its own, and there are many.
#[derive(Debug, Clone)]
struct NoClientRoots(Sampler);

impl ShouldSample for NoClientRoots {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if *kind == SpanKind::Client {
            let trace_state = TraceState::default();
            return SamplingResult { decision: SamplingDecision::Drop, attributes: vec![], trace_state };
        }
        self.0.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
