//! Floor 0: backoff arithmetic. Pure: the caller brings the attempt and a seed, and keeps the clock.

use std::time::Duration;

/// The first delay.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest delay, jitter included.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Delay before attempt number `attempt` (1 is the first repetition): 1 s doubling to 5 min, spread over the upper
/// half so that objects that failed together do not come back together. The seed makes it repeatable.
pub fn backoff(attempt: u32, seed: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    let full = FIRST.saturating_mul(1_u32 << doublings).min(LONGEST);
    let half = full / 2;
    half + half.mul_f64(fraction(seed ^ u64::from(attempt)))
}

/// A number in [0, 1) from a seed (SplitMix64, whose output is even for neighbouring seeds too).
fn fraction(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mantissa = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(mantissa) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stays_between_half_and_full_delay(attempt in 1_u32..10_000, seed: u64) {
            let full = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(LONGEST);
            let delay = backoff(attempt, seed);
            prop_assert!(delay >= full / 2 && delay <= full, "{delay:?}");
        }
    }

    #[test]
    fn differs_between_objects() {
        let delays: std::collections::BTreeSet<_> = (0..64).map(|seed| backoff(9, seed)).collect();
        assert!(delays.len() > 60, "{} of 64 differ", delays.len());
    }
}
