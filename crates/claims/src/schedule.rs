//! Pauses between checks: monotone, bounded, and with a jitter that depends on the claim.
use chrono::Duration;

use crate::{ClaimId, Policy};

/// The shortest pause between two scheduled checks.
pub const SHORTEST: Duration = Duration::seconds(1);

/// A number in -1.0..=1.0 that depends only on claim and attempt, so that replays agree.
fn jitter(claim: ClaimId, attempt: u32) -> f64 {
    let mut hash = u64::from(attempt).wrapping_add(0x9e37_79b9_7f4a_7c15);
    for chunk in claim.as_bytes().chunks_exact(8) {
        let word = chunk.iter().fold(0_u64, |acc, byte| (acc << 8) | u64::from(*byte));
        hash = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
    }
    let unit = f64::from(u32::try_from(hash >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    unit.mul_add(2.0, -1.0)
}

/// A pause with a jitter of a share of its length.
fn with_jitter(base: Duration, share: f64, claim: ClaimId, attempt: u32) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "pauses are far below 2^52 milliseconds")]
    let base_ms = base.num_milliseconds() as f64;
    #[expect(clippy::cast_possible_truncation, reason = "pauses are far below 2^52 milliseconds")]
    let ms = (base_ms * jitter(claim, attempt).mul_add(share, 1.0)) as i64;
    Duration::milliseconds(ms)
}

/// The pause after scheduled check number `step` (from 0) of a claim that is not proven, before jitter: the first
/// pause, multiplied by 1.3 for each step, up to the longest one.
pub fn watch_pause(policy: &Policy, step: u32) -> Duration {
    let mut pause = policy.watch_first;
    for _ in 0..step.min(200) {
        if pause >= policy.watch_longest {
            break;
        }
        pause = pause * 13 / 10;
    }
    pause.min(policy.watch_longest)
}

/// The pause after scheduled check number `step` of a claim that is not proven, ± 20 %.
pub fn after_watch(policy: &Policy, claim: ClaimId, attempt: u32, step: u32) -> Duration {
    with_jitter(watch_pause(policy, step), 0.2, claim, attempt)
}

/// The pause during a contest, ± 20 %: bounded by the policy, since the removal of one record ends the contest.
pub fn after_contest(policy: &Policy, claim: ClaimId, attempt: u32, step: u32) -> Duration {
    with_jitter(watch_pause(policy, step).min(policy.contest_interval), 0.2, claim, attempt)
}

/// The pause until a held name is checked again, ± 10 %.
pub fn after_held(policy: &Policy, claim: ClaimId, attempt: u32) -> Duration {
    with_jitter(policy.held_interval, 0.1, claim, attempt)
}

/// The pause while the proof of a holding is missing: 10 minutes, 1 hour, then 6 hours, and never longer than the
/// interval of a held name.
pub fn after_missing(policy: &Policy, claim: ClaimId, attempt: u32, step: u32) -> Duration {
    let base = match step {
        0 => Duration::minutes(10),
        1 => Duration::hours(1),
        _ => Duration::hours(6),
    };
    with_jitter(base.min(policy.held_interval), 0.1, claim, attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_week_has_about_sixty_checks() {
        let policy = Policy::default();
        let mut at = Duration::zero();
        let mut checks = 0;
        while at < policy.apex_deadline {
            at += watch_pause(&policy, checks);
            checks += 1;
        }
        assert!((55..=70).contains(&checks), "{checks}");
    }

    proptest! {
        #[test]
        fn pauses_are_monotone_and_bounded(id in any::<[u8; 16]>(), step in 0_u32..500, attempt in 0_u32..5000) {
            let policy = Policy::default();
            let claim = ClaimId::from_bytes(id);
            prop_assert!(watch_pause(&policy, step) <= watch_pause(&policy, step + 1));
            let base = watch_pause(&policy, step);
            let pause = after_watch(&policy, claim, attempt, step);
            prop_assert!(pause >= base * 8 / 10 - Duration::milliseconds(1) && pause <= base * 12 / 10);
            prop_assert!(pause <= policy.watch_longest * 12 / 10);
            prop_assert!(after_missing(&policy, claim, attempt, step) <= Duration::hours(7));
            let held = after_held(&policy, claim, attempt);
            prop_assert!(held >= policy.held_interval * 9 / 10 - Duration::milliseconds(1) && held <= policy.held_interval * 11 / 10);
            prop_assert_eq!(pause, after_watch(&policy, claim, attempt, step));
        }
    }
}
