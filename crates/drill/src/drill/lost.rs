//! What is owed after a restore to an older point: what was promised before it, and what was promised since the service
//! is back. What came in between is lost, and nobody can ask for it.
use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::load::Shared;
use crate::acknowledged::{Acknowledged, Promise};
use crate::checker::{LogRow, Snapshot};
use crate::dns::{DnsEvent, DnsLine};
use crate::journal::{self, Journal};

/// Promises before anything was lost, and those after the service came back.
pub const BEFORE: &str = "acknowledged.jsonl";
pub const AFTER: &str = "acknowledged-after.jsonl";
/// Of both, those that are owed.
pub const OWED: &str = "acknowledged-owed.jsonl";
/// What the DNS showed, and what of it somebody has to know.
pub const DNS: &str = "dns.jsonl";
pub const DNS_OWED: &str = "dns-owed.jsonl";

/// Between the point that everything was restored to and the new beginning.
#[derive(Debug, Clone)]
pub struct Window {
    pub point: DateTime<Utc>,
    pub resumed: DateTime<Utc>,
    /// How far the relay had come at that point.
    pub relayed: i64,
    /// Whose messages are looked at since, where the source is another one.
    pub source: Option<String>,
}

impl Window {
    /// Writes down what is owed; the records that have to be verified in the end.
    pub fn owed(&self, folder: &Path) -> anyhow::Result<BTreeSet<String>> {
        let mut promises: Vec<Acknowledged> = journal::read(&folder.join(BEFORE))?;
        promises.retain(|promise| promise.at <= self.point);
        promises.extend(journal::read::<Acknowledged>(&folder.join(AFTER))?);
        let owed = Journal::create(&folder.join(OWED))?;
        promises.iter().try_for_each(|promise| owed.write(promise))?;

        let lines: Vec<DnsLine> = journal::read(&folder.join(DNS))?;
        let records = self.records(&promises, &lines);
        let dns = Journal::create(&folder.join(DNS_OWED))?;
        for line in &lines {
            match &line.event {
                DnsEvent::Set { value, .. } | DnsEvent::Cleared { value, .. } if !records.contains(value) => {
                }
                _ => dns.write(line)?,
            }
        }
        Ok(records)
    }

    /// The published records of claims that somebody still knows to watch: not those whose verification was asked for in
    /// between, nor those that went away in between, which nobody may have seen.
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

    /// What the checker is told of the messages that were heard.
    pub fn heard(&self) -> Vec<String> {
        let mut told = vec![format!("--heard-after={}", self.relayed)];
        told.extend(self.source.iter().map(|source| format!("--source={source}")));
        told
    }
}

/// Claims that are watched in vain, by workspace and name: their record went away in between, or their withdrawal is
/// lost. While they are watched, nothing comes to rest.
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

/// Withdraws claims, as their owners would once they look.
pub async fn withdraw(claims: Vec<(String, String)>, load: &Shared) {
    for (workspace, name) in claims {
        load.withdraw(&workspace, &name).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_or_went_away_in_between_is_not_owed() {
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

        let window = Window { point: at(10), resumed: at(20), relayed: 0, source: None };
        let records = window.owed(folder.path()).unwrap();
        assert_eq!(records.into_iter().collect::<Vec<_>>(), ["kept", "new"]);
        let owed: Vec<Acknowledged> = journal::read(&folder.path().join(OWED)).unwrap();
        assert_eq!(
            owed.iter().map(|p| p.record.as_str()).collect::<Vec<_>>(),
            ["kept", "gone", "half", "new"]
        );
        assert_eq!(journal::read::<DnsLine>(&folder.path().join(DNS_OWED)).unwrap().len(), 3);
    }
}
