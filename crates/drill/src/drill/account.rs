//! What is told at the end: how much was done, what was broken, how long things stood still.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum as _;

use super::faults::{Fault, Kind};
use super::fleet::Fleet;
use super::load::Shared;
use super::place::Place;
use super::progress::Standstill;

/// Kept while the drill runs.
#[derive(Debug, Default)]
pub struct Account {
    inflicted: BTreeMap<Kind, usize>,
    /// One line for each fault that came on its own.
    singles: Vec<String>,
    mix: Option<Standstill>,
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn words(still: &Standstill) -> String {
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

/// What the load has done, in one line.
pub fn done(load: &Shared, verified: usize) -> String {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let tally = &load.tally;
    format!(
        "claims acknowledged {} · verifications asked for {} · records published {} · claims verified {verified} · \
         transfers {} (of these contested {}) · withdrawn {}",
        read(&tally.claimed),
        read(&tally.requested),
        load.published().len(),
        read(&tally.transfers),
        read(&tally.contests),
        read(&tally.cancelled),
    )
}

fn name(kind: Kind) -> String {
    kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Account {
    pub fn inflicted(&mut self, kind: Kind) {
        *self.inflicted.entry(kind).or_default() += 1;
    }

    /// Keeps what came of a fault on its own, and says it.
    pub fn single(&mut self, fault: &Fault, recovered: Option<Duration>, still: &Standstill) -> String {
        let recovered = recovered.map_or("never".to_owned(), seconds);
        let line = format!("all goes on {recovered} after it was lifted; {}", words(still));
        self.singles.push(format!("{}: {line}", fault.words()));
        line
    }

    pub fn mixed(&mut self, still: &Standstill) {
        self.mix = Some(still.clone());
    }

    /// The faults and what they did.
    pub fn told(&self, place: &Place, fleet: &Fleet) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        let faults: Vec<_> =
            self.inflicted.iter().map(|(kind, times)| format!("{} {times}", name(*kind))).collect();
        line(format!("faults: {}", faults.join(" · ")));
        line(format!("processes that ended while what they need was away: {}", fleet.ended_starting));
        for gates in &place.gates {
            let (postgres, rabbit) = (gates.postgres.counts(), gates.rabbit.counts());
            line(format!(
                "connections of {}: PostgreSQL {} ({} cut), RabbitMQ {} ({} cut)",
                gates.role.word(),
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
            line(format!("the mix: {}", words(still)));
        }
        text
    }
}
