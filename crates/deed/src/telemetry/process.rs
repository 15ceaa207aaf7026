//! The registry of metrics, with what is known of the process itself.
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGaugeVec, Opts, Registry};

/// A registry that tells the version, memory, processor time, threads and descriptors of this process.
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
    fn the_registry_tells_of_build_and_process() {
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
