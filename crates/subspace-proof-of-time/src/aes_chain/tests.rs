use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn iterations(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn levels() -> impl Iterator<Item = AesLevel> {
    AesLevel::ALL.into_iter().filter(|level| level.is_supported())
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn levels_agree(seed: [u8; 16], count in 1..40u32, position in 0..128usize, bit in 0..8u32) {
        let (seed, count) = (PotSeed(seed), iterations(count * 16));
        let expected = prove_with(AesLevel::Portable, seed, count).unwrap();
        let mut damaged = expected;
        damaged.0[position / 16][position % 16] ^= 1 << bit;
        for level in levels() {
            prop_assert_eq!(prove_with(level, seed, count).unwrap(), expected, "{}", level);
            prop_assert!(verify_with(level, seed, count, &expected).unwrap(), "{}", level);
            prop_assert!(!verify_with(level, seed, count, &damaged).unwrap(), "{}", level);
        }
    }
}
