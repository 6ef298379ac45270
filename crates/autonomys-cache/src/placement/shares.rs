//! How much of the table each member should have.

use super::NUM_SHARDS;

/// Fraction bits of a fair share.
pub(super) const FRACTION_BITS: u32 = 32;

/// All shards once, as a share.
pub(super) const WHOLE: u64 = (NUM_SHARDS as u64) << FRACTION_BITS;

/// Fair shares in places with [`FRACTION_BITS`] fraction bits: `positions` times all shards divided by weight. Nobody has more
/// than ceil(positions / members) or less than floor(positions / members) places in a shard, so what a heavy member cannot take
/// goes to the others by their weights, and with fewer members than positions all have nearly the same.
///
/// Weights must be above zero.
pub(super) fn fair_shares(weights: &[u64], positions: usize) -> Vec<u64> {
    let least = (positions / weights.len()) as u64 * WHOLE;
    let most = positions.div_ceil(weights.len()) as u64 * WHOLE;
    let mut shares = vec![0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).collect();
    let mut rest = u128::from(WHOLE) * positions as u128;
    // Each round settles those whom the limits stop on the side that is off by more; the others divide the rest anew.
    while !open.is_empty() {
        let weight: u128 = open.iter().map(|&one| u128::from(weights[one])).sum();
        let (mut below, mut above) = (0u128, 0u128);
        for &one in &open {
            let share = (rest * u128::from(weights[one]) / weight) as u64;
            shares[one] = share;
            below += u128::from(least.saturating_sub(share));
            above += u128::from(share.saturating_sub(most));
        }
        let settle = |share: u64| match (below, above) {
            (0, 0) => Some(share),
            _ if below >= above && share < least => Some(least),
            _ if below <= above && share > most => Some(most),
            _ => None,
        };
        open.retain(|&one| match settle(shares[one]) {
            Some(share) => {
                shares[one] = share;
                rest -= u128::from(share);
                false
            }
            None => true,
        });
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_shards(weights: &[u64], positions: usize) -> Vec<f64> {
        fair_shares(weights, positions)
            .into_iter()
            .map(|share| (share as f64 / WHOLE as f64 * 1000.0).round() / 1000.0)
            .collect()
    }

    #[test]
    fn shares_follow_weights_within_the_limits() {
        assert_eq!(in_shards(&[1, 1, 2], 1), [0.25, 0.25, 0.5]);
        assert_eq!(in_shards(&[1000, 10, 10], 2), [1.0, 0.5, 0.5]);
        assert_eq!(in_shards(&[1000, 1000, 10, 10], 2), [0.99, 0.99, 0.01, 0.01]);
        assert_eq!(in_shards(&[7, 9], 6), [3.0, 3.0]);
        assert_eq!(in_shards(&[1, 1, 1, 2], 6), [1.333, 1.333, 1.333, 2.0]);
        assert_eq!(in_shards(&[1, 100, 100, 100], 6), [1.0, 1.667, 1.667, 1.667]);
        assert_eq!(in_shards(&[5], 4), [4.0]);
    }

    proptest! {
        #[test]
        fn everything_is_given_out(weights in prop::collection::vec(1..u64::MAX, 1..40), positions in 1..33usize) {
            let shares = fair_shares(&weights, positions);
            let total: u128 = shares.iter().map(|&share| u128::from(share)).sum();
            let whole = u128::from(WHOLE) * positions as u128;
            prop_assert!(total <= whole && whole - total <= 2 * weights.len() as u128, "{total} of {whole}");
            for (i, j) in (0..weights.len()).zip(1..weights.len()) {
                prop_assert!(weights[i] > weights[j] || shares[i] <= shares[j]);
            }
        }
    }
}
