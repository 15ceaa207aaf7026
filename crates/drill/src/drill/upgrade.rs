//! The drill of an upgrade: the tables first, then the processes one by one, with both versions side by side in between.
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::balancer::Heed;
use super::executable::Executable;
use super::faults::Ground;
use super::load::Pace;
use super::lost;
use super::notes::Notes;
use super::options::UpgradeOptions;
use super::place::Role;
use super::restart::unharmed;
use super::roll::{Rolled, roll};
use super::scene::{Scene, checker};
use super::script::until_recovered;
use super::solo::Solo;

/// How long clients of the embedded mode may take for their last answers.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the load runs in peace before the first change.
const PEACE: Duration = Duration::from_secs(8);

/// Goes on to the newer version, and has the checker look.
pub async fn drill(options: &UpgradeOptions, folder: &Path) -> anyhow::Result<bool> {
    let delay = Duration::from_millis(options.shutdown_delay_ms);
    let (old, new) =
        (Executable::at(&options.previous, delay)?, Executable::at(&options.common.deed, delay)?);
    let scene = Scene::set_with(&options.common, folder, &old, &new, Heed::Readyz).await?;
    let mut versions =
        Versions { old: &old, new: &new, rolled: Rolled::default(), mixed: options.mixed_seconds };
    let played = scene
        .play(async |ground, notes| {
            tokio::time::sleep(PEACE).await;
            versions.exchange(ground, notes).await
        })
        .await?;
    let counters = &played.load.talk.counters;
    if old.relays_whole() {
        played.expect(unharmed(counters));
    }
    println!("\n{}\n{}", played.told(), versions.rolled.told());
    let good = played.judged(options.common.keep).await;
    Ok(embedded(options, &folder.join("embedded"), &old, &new).await? && good)
}

/// The embedded mode: the newer version opens the older one's file, also after a crash, and the older one the newer one's.
async fn embedded(
    options: &UpgradeOptions,
    folder: &Path,
    old: &Executable,
    new: &Executable,
) -> anyhow::Result<bool> {
    let mut solo = Solo::at(folder).await?;
    let notes = Notes::new(&folder.join("notes.jsonl"))?;
    solo.start(old).await?;
    let pace = Pace { rate: options.common.rate, in_hand: options.common.in_hand, seed: 1 };
    let load = solo.load(old, &notes, pace, lost::BEFORE)?;
    notes.say("the old version serves from a SQLite file");
    tokio::time::sleep(PEACE).await;
    for (deed, what) in [
        (new, "the new version opens the file of the old one, which was killed"),
        (old, "one step back"),
        (new, "and forward again"),
    ] {
        if what.contains("killed") {
            solo.kill()?;
        } else {
            solo.end().await?;
        }
        match solo.start(deed).await {
            Ok(took) => notes.say(&format!("{what}: ready {:.2} s after its start", took.as_secs_f64())),
            Err(refused) => {
                notes.say(&format!("{what}: {refused:#}"));
                solo.start(new).await?;
            }
        }
        tokio::time::sleep(PEACE).await;
    }
    let load = load.finish(PATIENCE).await;
    solo.rest(&load.published()).await?;
    let good = solo.judged(&checker(&options.common)?, new, lost::DNS, lost::BEFORE)?;
    solo.end().await?;
    println!("{}", load.talk.counters.told());
    let (anomalies, first) = notes.anomalies();
    for anomaly in &first {
        println!("  {anomaly}");
    }
    Ok(good && anomalies == 0)
}

/// Both versions, and how it went.
struct Versions<'a> {
    old: &'a Executable,
    new: &'a Executable,
    rolled: Rolled,
    mixed: u64,
}

impl Versions<'_> {
    async fn exchange(&mut self, ground: &Ground, notes: &Notes) -> anyhow::Result<()> {
        let begun = Instant::now();
        let migrated = ground.place.command(self.new, &["migrate"])?;
        notes.say(&format!(
            "deed migrate beside the old version, within {:.2} s: {migrated}",
            begun.elapsed().as_secs_f64()
        ));
        let (old, new) = (self.old, self.new);
        self.come_to(ground, notes, &[(Role::Projector, new), (Role::Verifier, new)]).await?;
        self.come_to(ground, notes, &[(Role::Api, new), (Role::Projector, old), (Role::Verifier, old)])
            .await?;
        self.come_to(ground, notes, &[(Role::Projector, new), (Role::Verifier, new)]).await?;
        notes.say("one step back: everything runs the old version on the new tables");
        self.come_to(ground, notes, &Role::ALL.map(|role| (role, old))).await?;
        notes.say("and forward again");
        self.come_to(ground, notes, &Role::ALL.map(|role| (role, new))).await
    }

    /// Has the processes of each kind run this version, one after the other, and lets all work together for a while.
    async fn come_to(
        &mut self,
        ground: &Ground,
        notes: &Notes,
        roles: &[(Role, &Executable)],
    ) -> anyhow::Result<()> {
        for (role, deed) in roles {
            let members = ground.fleet.lock().await.of(*role);
            for member in members {
                roll(ground, notes, member, Some(deed), &mut self.rolled).await?;
            }
        }
        let together = ground.fleet.lock().await.versions(self.new);
        notes.say(&format!("together: {together}"));
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(self.mixed)).await;
        if until_recovered(ground, begun).await.is_none() {
            notes.anomaly(&format!("not everything goes on with {together}"));
        }
        Ok(())
    }
}
