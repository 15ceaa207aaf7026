//! Starting processes anew one by one, as an upgrade or a new node does it, and how long each of them takes.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::executable::Executable;
use super::faults::Ground;
use super::notes::Notes;
use super::place::Role;

/// The service's `server.shutdown_deadline`, by default.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a process may take to be ready again.
const READY: Duration = Duration::from_mins(1);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// How long processes of each kind took to end and to be ready again.
#[derive(Debug, Default)]
pub struct Rolled(BTreeMap<Role, Vec<(Duration, Duration)>>);

impl Rolled {
    /// A line for each kind.
    pub fn told(&self) -> String {
        let mut text = String::new();
        for (role, times) in &self.0 {
            let (ends, readies): (Vec<_>, Vec<_>) = times.iter().copied().unzip();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:9} {:3} times: ended within {}, ready again {} after the start",
                role.word(),
                times.len(),
                spread(ends),
                spread(readies)
            );
        }
        text
    }
}

/// The least, the middle and the most.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(0.0, Duration::as_secs_f64);
    format!("{:.2} / {:.2} / {:.2} s", at(0), at(times.len() / 2), at(times.len().saturating_sub(1)))
}

/// Has one process end in order and starts it again, with another executable where one is given. It is ready when this
/// returns.
pub async fn roll(
    ground: &Ground,
    notes: &Notes,
    member: usize,
    deed: Option<&Executable>,
    rolled: &mut Rolled,
) -> anyhow::Result<()> {
    let asked = Instant::now();
    let (role, name, delay) = {
        let mut fleet = ground.fleet.lock().await;
        fleet.ask_to_end(member)?;
        fleet.described(member)?
    };
    let ended = loop {
        if let Some(ended) = ground.fleet.lock().await.ended(member)? {
            break ended;
        }
        anyhow::ensure!(asked.elapsed() < delay + 2 * DEADLINE, "{name} does not end when it is asked to");
        tokio::time::sleep(LOOK).await;
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
        let mut fleet = ground.fleet.lock().await;
        if let Some(deed) = deed {
            fleet.equip(member, deed)?;
        }
        fleet.launch(&ground.place, member)?;
    }
    while !ground.fleet.lock().await.is_up(member).await {
        anyhow::ensure!(started.elapsed() < READY, "{name} does not get ready");
        tokio::time::sleep(LOOK).await;
    }
    let ready = started.elapsed();
    notes.say(&format!(
        "{name} ended within {:.2} s, ready {:.2} s after its start",
        took.as_secs_f64(),
        ready.as_secs_f64()
    ));
    rolled.0.entry(role).or_default().push((took, ready));
    Ok(())
}
