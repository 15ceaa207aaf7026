//! Samples the progress of the service in the database several times per second, bypassing the proxies.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::load::LoadContext;
use crate::checker::DatabaseConnection;

/// The sampling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The timeout of a sample.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The leases.
pub const LEASES: [&str; 3] = ["read-models", "relay", "dispatcher"];

/// One sample.
#[derive(Debug, Clone)]
pub struct Sample {
    pub at: Instant,
    /// Claims acknowledged so far.
    pub claimed: u64,
    /// Claims verified so far.
    pub verified: usize,
    /// The database part; none while it did not answer.
    pub seen: Option<DatabaseSample>,
}

/// The database part of a sample.
#[derive(Debug, Clone, Default)]
pub struct DatabaseSample {
    pub head: i64,
    pub read_models: i64,
    pub relay: i64,
    /// Due work that is overdue by some seconds.
    pub overdue: i64,
    /// Current leases: owner and epoch.
    pub leases: BTreeMap<String, (String, i64)>,
}

#[derive(Debug, Default)]
struct ProgressState {
    samples: Vec<Sample>,
    /// The records of claims that are not verified.
    records: BTreeMap<String, String>,
    /// The records of claims that are verified.
    verified: BTreeSet<String>,
    /// The position up to which the log was read for verified claims.
    read_to: i64,
}

/// Clones share the samples.
#[derive(Clone)]
pub struct Progress {
    state: Arc<Mutex<ProgressState>>,
}

/// Stops sampling on drop.
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Progress {
    pub fn start(url: String, load: Arc<LoadContext>) -> (Self, Watch) {
        let progress = Self { state: Arc::default() };
        let watching = progress.clone();
        let watch = Watch(tokio::spawn(async move { watching.watch(&url, &load).await }));
        (progress, watch)
    }

    fn lock(&self) -> MutexGuard<'_, ProgressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch(&self, url: &str, load: &LoadContext) {
        let mut database = None;
        loop {
            let look = async {
                if database.is_none() {
                    database = Some(DatabaseConnection::connect(url).await?);
                }
                let database = database.as_ref().context("there is a connection")?;
                self.look(database).await
            };
            let seen = tokio::time::timeout(TIMEOUT, look).await.ok().and_then(Result::ok);
            if seen.is_none() {
                database = None;
            }
            {
                let mut state = self.lock();
                let (claimed, verified) =
                    (load.counters.claimed.load(Ordering::Relaxed), state.verified.len());
                state.samples.push(Sample { at: Instant::now(), claimed, verified, seen });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn look(&self, database: &DatabaseConnection) -> anyhow::Result<DatabaseSample> {
        let client = database.client();
        let read_to = self.lock().read_to;
        let row = client
            .query_one(
                "SELECT coalesce((SELECT max(position) FROM events), 0),
                        coalesce((SELECT position FROM checkpoints WHERE name = 'read-models'), 0),
                        coalesce((SELECT position FROM checkpoints WHERE name = 'relay'), 0),
                        (SELECT count(*) FROM due_work WHERE visible_at < now() - interval '2 seconds')",
                &[],
            )
            .await?;
        let mut seen = DatabaseSample {
            head: row.try_get(0)?,
            read_models: row.try_get(1)?,
            relay: row.try_get(2)?,
            overdue: row.try_get(3)?,
            leases: BTreeMap::new(),
        };
        let leases = client
            .query("SELECT name, owner, epoch::bigint FROM leases WHERE owner IS NOT NULL AND expires_at > now()", &[])
            .await?;
        for lease in leases {
            seen.leases.insert(lease.try_get(0)?, (lease.try_get(1)?, lease.try_get(2)?));
        }
        let news = client
            .query(
                "SELECT payload::jsonb ->> 'claimId', payload::jsonb -> 'challenge' ->> 'recordValue' FROM events
                 WHERE position > $1 AND position <= $2 AND kind IN ('ClaimInitiated', 'DomainVerified')
                 ORDER BY position",
                &[&read_to, &seen.head],
            )
            .await?;
        let news: Vec<(String, Option<String>)> =
            news.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<anyhow::Result<_>>()?;
        let mut state = self.lock();
        for (claim, record) in news {
            if let Some(record) = record {
                state.records.insert(claim, record);
            } else if let Some(record) = state.records.remove(&claim) {
                state.verified.insert(record);
            }
        }
        state.read_to = seen.head;
        Ok(seen)
    }

    /// The latest sample.
    pub fn latest(&self) -> Option<Sample> {
        self.lock().samples.last().cloned()
    }

    /// The owner of a lease, if any.
    pub fn owner(&self, lease: &str) -> Option<String> {
        Some(self.latest()?.seen?.leases.get(lease)?.0.clone())
    }

    /// The number of these records whose claims are not verified.
    pub fn missing(&self, records: &BTreeSet<String>) -> usize {
        let state = self.lock();
        records.iter().filter(|record| !state.verified.contains(*record)).count()
    }

    /// When everything had advanced beyond its state at `since`: claims acknowledged and verified, both
    /// subscriptions past the end of the log of that time, every lease held. None until then.
    pub fn recovered(&self, since: Instant) -> Option<Instant> {
        let state = self.lock();
        let before = state.samples.iter().rev().find(|sample| sample.at <= since);
        let (claimed, verified) = before.map_or((0, 0), |sample| (sample.claimed, sample.verified));
        let known = state.samples.iter().rev().filter(|sample| sample.at <= since);
        let head =
            known.filter_map(|sample| sample.seen.as_ref()).map(|seen| seen.head).next().unwrap_or_default();
        let fine = |sample: &&Sample| {
            sample.at > since
                && sample.claimed > claimed
                && sample.verified > verified
                && sample.seen.as_ref().is_some_and(|seen| {
                    seen.read_models >= head
                        && seen.relay >= head
                        && LEASES.iter().all(|lease| seen.leases.contains_key(*lease))
                })
        };
        state.samples.iter().find(fine).map(|sample| sample.at)
    }

    /// The interruptions between two moments.
    pub fn standstill(&self, from: Instant, to: Instant) -> Standstill {
        let state = self.lock();
        let before = state.samples.iter().rev().filter(|s| s.at <= from).find_map(|s| s.seen.clone());
        let window: Vec<&Sample> = state.samples.iter().filter(|s| (from..=to).contains(&s.at)).collect();
        let longest = |step: fn(&Sample) -> Option<i64>| longest(&window, from, to, step);
        Standstill {
            claimed: longest(|sample| i64::try_from(sample.claimed).ok()),
            verified: longest(|sample| i64::try_from(sample.verified).ok()),
            read_models: longest(|sample| Some(sample.seen.as_ref()?.read_models)),
            relay: longest(|sample| Some(sample.seen.as_ref()?.relay)),
            taken_over: before.map(|before| taken_over(&before, &window, from)).unwrap_or_default(),
        }
    }
}

/// The longest interruptions.
#[derive(Debug, Clone, Default)]
pub struct Standstill {
    /// Of acknowledged claims.
    pub claimed: Duration,
    /// Of verified claims.
    pub verified: Duration,
    /// Of the read models.
    pub read_models: Duration,
    /// Of the relay.
    pub relay: Duration,
    /// The time until a lease had a new epoch, by lease; unchanged ones are omitted.
    pub taken_over: BTreeMap<&'static str, Duration>,
}

/// The time until leases had a new epoch.
fn taken_over(
    before: &DatabaseSample,
    window: &[&Sample],
    from: Instant,
) -> BTreeMap<&'static str, Duration> {
    let epoch = |seen: &DatabaseSample, lease: &str| seen.leases.get(lease).map(|(_, epoch)| *epoch);
    let moved = LEASES.into_iter().filter_map(|lease| {
        let was = epoch(before, lease)?;
        let other = |sample: &&&Sample| {
            sample.seen.as_ref().and_then(|seen| epoch(seen, lease)).is_some_and(|is| is != was)
        };
        Some((lease, window.iter().find(other)?.at - from))
    });
    moved.collect()
}

/// The longest time without growth of a number within the window.
fn longest(
    window: &[&Sample],
    from: Instant,
    to: Instant,
    number: impl Fn(&Sample) -> Option<i64>,
) -> Duration {
    let (mut last, mut longest, mut highest) = (from, Duration::ZERO, None);
    for sample in window {
        let Some(now) = number(sample) else { continue };
        if highest.is_some_and(|highest| now > highest) {
            longest = longest.max(sample.at - last);
            last = sample.at;
        }
        highest = highest.max(Some(now));
    }
    longest.max(to.saturating_duration_since(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(samples: &[(u64, u64, usize, Option<i64>)]) -> (Progress, Instant) {
        let begun = Instant::now();
        let all = || LEASES.iter().map(|lease| ((*lease).to_owned(), ("1-x".to_owned(), 1))).collect();
        let samples = samples.iter().map(|(second, claimed, verified, head)| Sample {
            at: begun + Duration::from_secs(*second),
            claimed: *claimed,
            verified: *verified,
            seen: head.map(|head| DatabaseSample {
                head,
                read_models: head,
                relay: head,
                overdue: 0,
                leases: all(),
            }),
        });
        let state = ProgressState { samples: samples.collect(), ..ProgressState::default() };
        (Progress { state: Arc::new(Mutex::new(state)) }, begun)
    }

    #[test]
    fn recovery_needs_progress_of_everything() {
        let second = Duration::from_secs;
        let (all, begun) =
            progress(&[(1, 5, 2, Some(9)), (2, 5, 2, None), (3, 6, 2, Some(9)), (4, 6, 3, Some(8))]);
        assert_eq!(all.recovered(begun + second(1)), None, "the log is not back where it was");
        let (all, begun) =
            progress(&[(1, 5, 2, Some(9)), (2, 5, 2, None), (3, 6, 2, Some(9)), (4, 6, 3, Some(9))]);
        assert_eq!(all.recovered(begun + second(1)), Some(begun + second(4)));
        assert_eq!(all.recovered(begun + second(4)), None);
    }

    #[test]
    fn standstill_lasts_until_next_step_or_end() {
        let second = Duration::from_secs;
        let (all, begun) = progress(&[
            (1, 1, 1, Some(1)),
            (2, 2, 1, Some(2)),
            (5, 2, 1, None),
            (6, 3, 1, None),
            (7, 4, 1, Some(3)),
        ]);
        let still = all.standstill(begun + second(1), begun + second(7));
        assert_eq!((still.claimed, still.verified), (second(4), second(6)));
        assert_eq!((still.relay, still.taken_over.len()), (second(5), 0));
    }

    #[test]
    fn new_epoch_is_a_lease_takeover() {
        let second = Duration::from_secs;
        let (all, begun) =
            progress(&[(1, 1, 1, Some(1)), (2, 2, 1, None), (5, 2, 1, Some(1)), (6, 3, 1, Some(1))]);
        for sample in all.lock().samples.iter_mut().skip(2) {
            let Some(seen) = &mut sample.seen else { continue };
            seen.leases.insert("relay".to_owned(), ("2-x".to_owned(), 2));
        }
        let still = all.standstill(begun + second(1), begun + second(6));
        assert_eq!(still.taken_over, BTreeMap::from([("relay", second(4))]));
    }
}
