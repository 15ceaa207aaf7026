//! The log of a drill: printed, journaled, with anomalies counted.
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use crate::clock::now;
use crate::journal::Journal;

/// Anomalies kept as text; the rest is counted.
const KEPT: usize = 50;

/// Clones share the log.
#[derive(Debug, Clone)]
pub struct Notes {
    begun: Instant,
    journal: Arc<Journal>,
    anomalies: Arc<Mutex<(usize, Vec<String>)>>,
}

#[derive(Serialize)]
struct NoteLine<'a> {
    at: chrono::DateTime<chrono::Utc>,
    note: &'a str,
}

impl Notes {
    pub fn new(journal: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            journal: Arc::new(Journal::create(journal)?),
            anomalies: Arc::default(),
        })
    }

    /// Logs an event.
    pub fn say(&self, note: &str) {
        println!("{:8.1} s  {note}", self.begun.elapsed().as_secs_f64());
        if let Err(error) = self.journal.write(&NoteLine { at: now(), note }) {
            eprintln!("a note could not be kept: {error:#}");
        }
    }

    /// Logs an anomaly, which fails the drill.
    pub fn anomaly(&self, what: &str) {
        let first = {
            let mut anomalies = self.anomalies.lock().unwrap_or_else(PoisonError::into_inner);
            anomalies.0 += 1;
            let first = anomalies.1.len() < KEPT;
            if first {
                anomalies.1.push(what.to_owned());
            }
            first
        };
        if first {
            self.say(&format!("ANOMALY: {what}"));
        }
    }

    /// The number of anomalies, and the first of them.
    pub fn anomalies(&self) -> (usize, Vec<String>) {
        self.anomalies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
