//! The drill of faults: each on its own, then a mix of them.
use std::path::Path;
use std::time::Duration;

use super::account::Account;
use super::balancer::Heed;
use super::executable::Executable;
use super::options::FaultOptions;
use super::scene::Scene;
use super::script;

/// How long the load runs in peace before the first fault.
const PEACE: Duration = Duration::from_secs(8);

/// Breaks everything, and has the checker look.
pub async fn drill(options: &FaultOptions, folder: &Path) -> anyhow::Result<bool> {
    let deed = Executable::at(&options.common.deed, Duration::ZERO)?;
    let scene = Scene::set(&options.common, folder, &deed, Heed::Nothing).await?;
    let seed = scene.seed;
    let acts = async |ground: &_, notes: &_| {
        let mut account = Account::default();
        tokio::time::sleep(PEACE).await;
        if !options.mix_only {
            script::singles(ground, options, notes, &mut account).await?;
        }
        script::mix(ground, options, seed, notes, &mut account).await?;
        Ok(account)
    };
    let played = scene.play(acts).await?;
    let fleet = played.ground.fleet.lock().await;
    println!("\n{}\n{}", played.told(), played.acted.told(&played.ground.place, &fleet));
    drop(fleet);
    Ok(played.judged(options.common.keep).await)
}
