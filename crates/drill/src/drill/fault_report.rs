//! The summary of a fault drill: load, faults, interruptions.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum as _;

use super::faults::{Fault, FaultKind};
use super::fleet::Fleet;
use super::infrastructure::Infrastructure;
use super::load::LoadContext;
use super::progress::Standstill;

/// Collected during the drill.
#[derive(Debug, Default)]
pub struct FaultReport {
    inflicted: BTreeMap<FaultKind, usize>,
    /// One line per single fault.
    singles: Vec<String>,
    mix: Option<Standstill>,
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn description(still: &Standstill) -> String {
    let taken = still.taken_over.iter().map(|(lease, after)| format!("{lease} after {}", seconds(*after)));
    let taken = taken.collect::<Vec<_>>().join(", ");
    format!(
        "longest without a claim {}, a verification {}, a step of the read models {}, of the relay {}; leases taken \
         over: {}",
        seconds(still.claimed),
        seconds(still.verified),
        seconds(still.read_models),
        seconds(still.relay),
        if taken.is_empty() { "none" } else { &taken }
    )
}

/// The load in one line.
pub fn load_summary(load: &LoadContext, verified: usize) -> String {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &load.counters;
    format!(
        "claims acknowledged {} · verifications asked for {} · records published {} · claims verified {verified} · \
         transfers {} (of these contested {}) · withdrawn {}",
        read(&counters.claimed),
        read(&counters.requested),
        load.published().len(),
        read(&counters.transfers),
        read(&counters.contests),
        read(&counters.cancelled),
    )
}

fn name(kind: FaultKind) -> String {
    kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl FaultReport {
    pub fn inflicted(&mut self, kind: FaultKind) {
        *self.inflicted.entry(kind).or_default() += 1;
    }

    /// Records the result of a single fault and returns it as a line.
    pub fn single(&mut self, fault: &Fault, recovered: Option<Duration>, still: &Standstill) -> String {
        let recovered = recovered.map_or("never".to_owned(), seconds);
        let line = format!("all goes on {recovered} after it was lifted; {}", description(still));
        self.singles.push(format!("{}: {line}", fault.description()));
        line
    }

    pub fn mixed(&mut self, still: &Standstill) {
        self.mix = Some(still.clone());
    }

    /// The faults and their effects.
    pub fn summary(&self, infra: &Infrastructure, fleet: &Fleet) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        let faults: Vec<_> =
            self.inflicted.iter().map(|(kind, times)| format!("{} {times}", name(*kind))).collect();
        line(format!("faults: {}", faults.join(" · ")));
        line(format!("processes that ended while what they need was away: {}", fleet.ended_starting));
        for proxies in &infra.proxies {
            let (postgres, rabbit) = (proxies.postgres.counts(), proxies.rabbit.counts());
            line(format!(
                "connections of {}: PostgreSQL {} ({} cut), RabbitMQ {} ({} cut)",
                proxies.role.name(),
                postgres.accepted,
                postgres.cut,
                rabbit.accepted,
                rabbit.cut
            ));
        }
        for single in &self.singles {
            line(single.clone());
        }
        if let Some(still) = &self.mix {
            line(format!("the mix: {}", description(still)));
        }
        text
    }
}
