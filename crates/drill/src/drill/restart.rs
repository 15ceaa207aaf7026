//! The drill of restarts: every process in turn, several rounds, and no client may notice more than a 503.
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::balancer::Heed;
use super::executable::Executable;
use super::options::RestartOptions;
use super::roll::{Rolled, roll};
use super::scene::Scene;
use super::script::until_recovered;
use super::talk::Counters;

/// Peace between two restarts: the balancer has to have seen that the first is over.
const BETWEEN: Duration = Duration::from_secs(1);

/// Starts every process anew, and has the checker look.
pub async fn drill(options: &RestartOptions, folder: &Path) -> anyhow::Result<bool> {
    let deed = Executable::at(&options.common.deed, Duration::from_millis(options.shutdown_delay_ms))?;
    let scene = Scene::set(&options.common, folder, &deed, Heed::Readyz).await?;
    let acts = async |ground: &super::faults::Ground, notes: &super::notes::Notes| {
        let mut rolled = Rolled::default();
        tokio::time::sleep(Duration::from_secs(options.peace_seconds)).await;
        let members = ground.fleet.lock().await.members.len();
        for round in 1..=options.rounds {
            notes.say(&format!("round {round}"));
            for member in 0..members {
                roll(ground, notes, member, None, &mut rolled).await?;
                tokio::time::sleep(BETWEEN).await;
            }
            if until_recovered(ground, tokio::time::Instant::now()).await.is_none() {
                notes.anomaly(&format!("not everything goes on after round {round}"));
            }
        }
        Ok(rolled)
    };
    let played = scene.play(acts).await?;
    played.expect(unharmed(&played.load.talk.counters));
    println!("\n{}\n{}", played.told(), played.acted.told());
    Ok(played.judged(options.common.keep).await)
}

/// What clients may not see while processes come and go in order.
pub fn unharmed(counters: &Counters) -> Vec<String> {
    let harm = [
        (&counters.broken, "requests were cut off in the middle"),
        (&counters.timeouts, "requests were not answered in time"),
        (&counters.unavailable_for_ever, "answers of 503 did not say when to come again"),
    ];
    let harm = harm.map(|(counter, what)| (counter.load(Ordering::Relaxed), what));
    harm.into_iter().filter(|(times, _)| *times > 0).map(|(times, what)| format!("{times} {what}")).collect()
}
