//! Which promises hold after a restore to an earlier point: those before the point and those after the
//! service is back. Promises in between are lost.
use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::load::LoadContext;
use crate::acknowledged::{Acknowledged, Promise};
use crate::checker::{LogRow, Snapshot};
use crate::dns::{DnsEvent, DnsLine};
use crate::journal::{self, Journal};

/// Journals of promises before the loss and after the restore.
pub const BEFORE: &str = "acknowledged.jsonl";
pub const AFTER: &str = "acknowledged-after.jsonl";
/// The promises that have to hold.
pub const EXPECTED: &str = "acknowledged-expected.jsonl";
/// The DNS journal, and its part that has to be reflected.
pub const DNS: &str = "dns.jsonl";
pub const DNS_EXPECTED: &str = "dns-expected.jsonl";

/// The window between the restore point and the resumption.
#[derive(Debug, Clone)]
pub struct LossWindow {
    pub point: DateTime<Utc>,
    pub resumed: DateTime<Utc>,
    /// The relay checkpoint at the restore point.
    pub relayed: i64,
    /// The new `source` of messages, if it changed.
    pub source: Option<String>,
}

impl LossWindow {
    /// Writes the expected promises and DNS lines; returns the records that have to be verified.
    pub fn write_expected(&self, folder: &Path) -> anyhow::Result<BTreeSet<String>> {
        let mut promises: Vec<Acknowledged> = journal::read(&folder.join(BEFORE))?;
        promises.retain(|promise| promise.at <= self.point);
        promises.extend(journal::read::<Acknowledged>(&folder.join(AFTER))?);
        let expected = Journal::create(&folder.join(EXPECTED))?;
        promises.iter().try_for_each(|promise| expected.write(promise))?;

        let lines: Vec<DnsLine> = journal::read(&folder.join(DNS))?;
        let records = self.records(&promises, &lines);
        let dns = Journal::create(&folder.join(DNS_EXPECTED))?;
        for line in &lines {
            match &line.event {
                DnsEvent::Set { value, .. } | DnsEvent::Cleared { value, .. } if !records.contains(value) => {
                }
                _ => dns.write(line)?,
            }
        }
        Ok(records)
    }

    /// The published records of claims that are still known: without those requested or removed within the
    /// window.
    fn records(&self, promises: &[Acknowledged], lines: &[DnsLine]) -> BTreeSet<String> {
        let requested = promises.iter().filter(|promise| promise.what == Promise::Requested);
        let requested: BTreeSet<&str> = requested.map(|promise| promise.record.as_str()).collect();
        let mut records = BTreeSet::new();
        for line in lines {
            match &line.event {
                DnsEvent::Set { value, .. } if requested.contains(value.as_str()) => {
                    records.insert(value.clone());
                }
                DnsEvent::Cleared { value, .. } if (self.point..self.resumed).contains(&line.at) => {
                    records.remove(value);
                }
                _ => {}
            }
        }
        records
    }

    /// The checker arguments about published messages.
    pub fn checker_arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--heard-after={}", self.relayed)];
        arguments.extend(self.source.iter().map(|source| format!("--source={source}")));
        arguments
    }
}

/// Claims that stay unproven, by workspace and name: their record was removed within the window, or their
/// withdrawal was lost. While they exist, the service does not become idle.
pub fn in_vain(taken: &Snapshot, folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut standing = BTreeSet::new();
    for line in journal::read::<DnsLine>(&folder.join(DNS))? {
        match line.event {
            DnsEvent::Set { value, .. } => standing.insert(value),
            DnsEvent::Cleared { value, .. } => standing.remove(&value),
            DnsEvent::Answered { .. } => continue,
        };
    }
    let stands = |row: &&LogRow| {
        row.payload["challenge"]["recordValue"].as_str().is_some_and(|record| standing.contains(record))
    };
    let claim = |row: &LogRow| row.payload["claimId"].as_str().map(str::to_owned);
    let proven: BTreeSet<String> = taken.log.iter().filter(stands).filter_map(claim).collect();
    let watched = taken
        .views
        .claims
        .iter()
        .filter(|(id, row)| row.status == "verifying" && row.app.is_none() && !proven.contains(*id));
    Ok(watched.map(|(_, row)| (row.workspace.clone(), row.name.clone())).collect())
}

/// Withdraws claims, as their owners would.
pub async fn withdraw(claims: Vec<(String, String)>, load: &LoadContext) {
    for (workspace, name) in claims {
        load.withdraw(&workspace, &name).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expects_nothing_from_the_loss_window() {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        let promise = |second, what, record: &str| Acknowledged {
            at: at(second),
            what,
            record: record.to_owned(),
            claim_id: None,
            name: format!("{record}.com"),
            workspace: "ws".to_owned(),
        };
        let set = |second, value: &str| DnsLine {
            at: at(second),
            event: DnsEvent::Set { name: "n".to_owned(), value: value.to_owned() },
        };
        let cleared = |second, value: &str| DnsLine {
            at: at(second),
            event: DnsEvent::Cleared { name: "n".to_owned(), value: value.to_owned() },
        };
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, promises: &[Acknowledged]| {
            let journal = Journal::create(&folder.path().join(file)).unwrap();
            promises.iter().try_for_each(|promise| journal.write(promise)).unwrap();
        };
        let (claimed, asked) = (Promise::Claimed, Promise::Requested);
        write(
            BEFORE,
            &[
                promise(1, asked, "kept"),
                promise(2, asked, "gone"),
                promise(3, claimed, "half"),
                promise(11, asked, "half"),
                promise(12, claimed, "lost"),
            ],
        );
        write(AFTER, &[promise(21, asked, "new")]);
        let dns = Journal::create(&folder.path().join(DNS)).unwrap();
        let lines = [
            set(1, "kept"),
            set(1, "gone"),
            set(3, "half"),
            cleared(12, "gone"),
            set(12, "lost"),
            set(21, "new"),
        ];
        lines.iter().chain(&[cleared(25, "kept")]).try_for_each(|line| dns.write(line)).unwrap();

        let window = LossWindow { point: at(10), resumed: at(20), relayed: 0, source: None };
        let records = window.write_expected(folder.path()).unwrap();
        assert_eq!(records.into_iter().collect::<Vec<_>>(), ["kept", "new"]);
        let expected: Vec<Acknowledged> = journal::read(&folder.path().join(EXPECTED)).unwrap();
        assert_eq!(
            expected.iter().map(|p| p.record.as_str()).collect::<Vec<_>>(),
            ["kept", "gone", "half", "new"]
        );
        assert_eq!(journal::read::<DnsLine>(&folder.path().join(DNS_EXPECTED)).unwrap().len(), 3);
    }
}
