//! The published TXT records and their journal.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::line::{DnsEvent, DnsLine};
use crate::clock::now;
use crate::journal::Journal;

/// Values by name.
type Served = BTreeMap<String, BTreeSet<String>>;

/// The published records. Clones share them.
#[derive(Debug, Clone)]
pub struct Records {
    served: Arc<Mutex<Served>>,
    journal: Arc<Journal>,
}

impl Records {
    /// No records, with the journal at this path.
    pub fn new(journal: &Path) -> anyhow::Result<Self> {
        Ok(Self { served: Arc::default(), journal: Arc::new(Journal::create(journal)?) })
    }

    /// Adds a TXT record.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let mut served = self.lock();
        self.note(DnsEvent::Set { name: name.to_owned(), value: value.to_owned() })?;
        served.entry(name.to_owned()).or_default().insert(value.to_owned());
        Ok(())
    }

    /// Removes a TXT record.
    pub fn clear(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let mut served = self.lock();
        if let Some(values) = served.get_mut(name) {
            values.remove(value);
            if values.is_empty() {
                served.remove(name);
            }
        }
        self.note(DnsEvent::Cleared { name: name.to_owned(), value: value.to_owned() })
    }

    /// Answers under the lock, so that journal and answer agree.
    pub(super) fn answer<T>(
        &self,
        make: impl FnOnce(&Lookup<'_>) -> anyhow::Result<(T, DnsEvent)>,
    ) -> anyhow::Result<T> {
        let served = self.lock();
        let (answer, event) = make(&Lookup(&served))?;
        self.note(event)?;
        Ok(answer)
    }

    fn note(&self, event: DnsEvent) -> anyhow::Result<()> {
        self.journal.write(&DnsLine { at: now(), event })
    }

    fn lock(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records at one moment.
pub(super) struct Lookup<'a>(&'a Served);

impl Lookup<'_> {
    /// The TXT values at a name.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        self.0.get(name).into_iter().flatten().cloned().collect()
    }

    /// Whether a record exists at or below a name.
    pub(super) fn exists(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.0.contains_key(name) || self.0.keys().any(|other| other.ends_with(&below))
    }
}
