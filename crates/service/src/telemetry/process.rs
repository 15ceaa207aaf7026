//! The metrics registry, with metrics of the process itself.
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGaugeVec, Opts, Registry};

/// A registry with version, memory, processor time, threads and open files of this process.
///
/// # Errors
/// When two metrics have the same name.
pub(crate) fn registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let options = Opts::new("deed_build_info", "1, with the version of the executable as its label.");
    let build = IntGaugeVec::new(options, &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_has_build_and_process_metrics() {
        let names: Vec<String> = registry().unwrap().gather().iter().map(|f| f.name().to_owned()).collect();
        for wanted in [
            "deed_build_info",
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
        ] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} is missing from {names:?}");
        }
    }
}
