//! Draws: how much a member would like a shard, the same at any time and for any list of members.

use super::logarithm::negative_log2;

/// Fraction bits of the factor that stands for a weight.
const FACTOR_BITS: u32 = 24;

/// What a member brings into its draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawer {
    hash: u64,
    /// The highest weight divided by this one's, with [`FACTOR_BITS`] fraction bits.
    factor: u64,
}

impl Drawer {
    pub(super) fn new(id: &str, weight: u64, highest_weight: u64) -> Self {
        let hash = blake3::hash(id.as_bytes());
        let hash = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
        let factor = (u128::from(highest_weight) << FACTOR_BITS) / u128::from(weight.max(1));
        Self {
            hash,
            factor: u64::try_from(factor).unwrap_or(u64::MAX),
        }
    }

    /// −log2(draw) / weight, scaled; the lowest of all members wins, which makes wins proportional to weights.
    pub(super) fn cost(self, shard_seed: u64) -> u64 {
        self.cost_of(self.draw(shard_seed))
    }

    /// The number that the member draws for a shard.
    pub(super) fn draw(self, shard_seed: u64) -> u64 {
        mix(shard_seed ^ self.hash)
    }

    /// The cost of a drawn number: the higher the number, the lower the cost.
    pub(super) fn cost_of(self, draw: u64) -> u64 {
        let cost = u128::from(negative_log2(draw));
        u64::try_from((cost * u128::from(self.factor)) >> FACTOR_BITS).unwrap_or(u64::MAX)
    }
}

/// What all draws for a shard have in common.
pub(super) fn shard_seed(shard: usize) -> u64 {
    mix(shard as u64)
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A fixed permutation of 16 bits: odd factors and shifts, each of which can be undone.
pub(super) fn mix16(value: u16) -> u16 {
    let value = (value ^ (value >> 8)).wrapping_mul(0x88b5);
    let value = (value ^ (value >> 7)).wrapping_mul(0xdb2d);
    value ^ (value >> 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixing_of_indexes_is_a_permutation_and_pinned() {
        let mut seen = vec![false; 1 << 16];
        (0..=u16::MAX).for_each(|value| seen[usize::from(mix16(value))] = true);
        assert!(seen.into_iter().all(|one| one));
        // A change moves all pieces of all clusters: it needs a new `ALGORITHM`.
        assert_eq!([0, 1, 2, 255, 65_535].map(mix16), [0, 32234, 41464, 87, 39699]);
    }

    #[test]
    fn wins_are_proportional_to_weights() {
        let drawers: Vec<_> = [1u64, 2, 4, 8]
            .map(|weight| Drawer::new(&format!("member {weight}"), weight, 8))
            .to_vec();
        let mut wins = [0u32; 4];
        for shard in 0..60_000 {
            let seed = shard_seed(shard);
            let best = (0..4).min_by_key(|&one| drawers[one].cost(seed)).unwrap();
            wins[best] += 1;
        }
        for (wins, expected) in wins.into_iter().zip([4000u32, 8000, 16_000, 32_000]) {
            assert!(wins.abs_diff(expected) < 400, "{wins} instead of {expected}");
        }
    }
}
