//! Graceful restarts of single processes, and how long they take.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::executable::Executable;
use super::faults::DrillContext;
use super::infrastructure::Role;
use super::notes::Notes;

/// The default of `server.shutdown_deadline`.
const DEADLINE: Duration = Duration::from_secs(30);
/// The timeout for readiness.
const READY: Duration = Duration::from_mins(1);
/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Times to exit and to become ready, by role.
#[derive(Debug, Default)]
pub struct RestartTimes(BTreeMap<Role, Vec<(Duration, Duration)>>);

impl RestartTimes {
    /// One line per role.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (role, times) in &self.0 {
            let (ends, readies): (Vec<_>, Vec<_>) = times.iter().copied().unzip();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:9} {:3} times: ended within {}, ready again {} after the start",
                role.name(),
                times.len(),
                spread(ends),
                spread(readies)
            );
        }
        text
    }
}

/// Minimum, median and maximum.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(0.0, Duration::as_secs_f64);
    format!("{:.2} / {:.2} / {:.2} s", at(0), at(times.len() / 2), at(times.len().saturating_sub(1)))
}

/// Restarts one process gracefully, with another executable if given, and waits until it is ready.
pub async fn restart_member(
    context: &DrillContext,
    notes: &Notes,
    member: usize,
    deed: Option<&Executable>,
    restart_times: &mut RestartTimes,
) -> anyhow::Result<()> {
    let asked = Instant::now();
    let (role, name, delay) = {
        let mut fleet = context.fleet.lock().await;
        fleet.ask_to_end(member)?;
        fleet.described(member)?
    };
    let ended = loop {
        if let Some(ended) = context.fleet.lock().await.ended(member)? {
            break ended;
        }
        anyhow::ensure!(asked.elapsed() < delay + 2 * DEADLINE, "{name} does not end when it is asked to");
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let took = asked.elapsed();
    if !ended.success() {
        notes.anomaly(&format!("{name} ended badly when it was asked to: {ended}"));
    }
    if took > delay + DEADLINE {
        notes.anomaly(&format!("{name} took {took:?} to end"));
    }
    let started = Instant::now();
    {
        let mut fleet = context.fleet.lock().await;
        if let Some(deed) = deed {
            fleet.equip(member, deed)?;
        }
        fleet.launch(&context.infra, member)?;
    }
    while !context.fleet.lock().await.is_up(member).await {
        anyhow::ensure!(started.elapsed() < READY, "{name} does not get ready");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let ready = started.elapsed();
    notes.say(&format!(
        "{name} ended within {:.2} s, ready {:.2} s after its start",
        took.as_secs_f64(),
        ready.as_secs_f64()
    ));
    restart_times.0.entry(role).or_default().push((took, ready));
    Ok(())
}
