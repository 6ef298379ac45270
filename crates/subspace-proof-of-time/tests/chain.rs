//! Seeds from slot to slot, and the schedule of entropy injection.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::num::{NonZeroU32, NonZeroU64};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::ScalarBytes;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput, PotSeed};
use subspace_proof_of_time::{
    EntropyInjection, EntropySchedule, NextSlotInput, PotError, PotParametersChange, prove, verify,
};

fn iterations(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("iterations are not zero")
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text)
        .expect("hexadecimal text")
        .try_into()
        .expect("the right length")
}

#[test]
fn independent_example() {
    // From the specification of the protocol.
    let seed = PotSeed(bytes("d666ccd8d593c23da8db6b5b1413b13a"));
    assert_eq!(seed.key().0, bytes("82126ed0c9ef980a84d481c8d613d2fc"));
    let checkpoints = prove(seed, iterations(160)).expect("proves");
    assert_eq!(checkpoints[0].0, bytes("449c062b8a7c5138c8fe753430e4c8d4"));
    assert_eq!(checkpoints.output().0, bytes("337c27dfebb8318e8291621df130f9df"));
    assert!(verify(seed, iterations(160), &checkpoints).expect("verifies"));

    let entropy = Blake3Hash(std::array::from_fn(|index| index as u8));
    let next = PotOutput(seed.0).seed_with_entropy(&entropy);
    assert_eq!(next.0, bytes("f7b1afe434ee95510e5298ebc69822cd"));
}

#[test]
fn next_slot_follows_announced_changes() {
    let output = PotOutput([7; 16]);
    let change = PotParametersChange {
        slot: 10,
        slot_iterations: iterations(32),
        entropy: Blake3Hash([1; 32]),
    };
    let after = |parent_slot| {
        NextSlotInput::after(iterations(16), parent_slot, output, Some(&change)).expect("not the last slot")
    };
    let plain = output.seed();
    let injected = output.seed_with_entropy(&change.entropy);
    for (parent_slot, count, seed) in [
        (8, 16, plain),
        (9, 32, injected),
        (10, 32, plain),
        (99, 32, plain),
    ] {
        let expected = NextSlotInput {
            slot: parent_slot + 1,
            slot_iterations: iterations(count),
            seed,
        };
        assert_eq!(after(parent_slot), expected);
    }
    assert_eq!(
        NextSlotInput::after(iterations(16), 9, output, None)
            .map(|input| (input.seed, input.slot_iterations)),
        Some((plain, iterations(16))),
    );
    assert_eq!(NextSlotInput::after(iterations(16), u64::MAX, output, None), None);

    let first = NextSlotInput::after_genesis(&[5; 32], b"entropy", iterations(48));
    assert_eq!((first.slot, first.slot_iterations), (1, iterations(48)));
    assert_eq!(first.seed, PotSeed::from_genesis(&[5; 32], b"entropy"));
}

#[test]
fn mainnet_schedule() {
    let mut schedule =
        EntropySchedule::new(EntropyInjection::MAINNET, iterations(1600)).expect("a multiple of 16");
    let chunk = |block: u32| ScalarBytes([block as u8; 32]);
    let proof = |block: u32| PotOutput([block as u8 ^ 0x55; 16]);
    // Six slots a block, as on average on mainnet.
    let slot = |block: u32| u64::from(block) * 6;
    let mut announced = Vec::new();
    for block in 1..=320 {
        if block == 180 {
            schedule
                .update_slot_iterations(iterations(3200))
                .expect("a raise");
        }
        if let Some(change) = schedule.on_block(block, slot(block), &chunk(block), &proof(block)) {
            announced.push((block, change));
        }
        // The update takes effect with the injection that block 200 schedules.
        let expected = if slot(block) < slot(200) + 15 { 1600 } else { 3200 };
        assert_eq!(schedule.slot_iterations().get(), expected, "block {block}");
    }
    // 15 slots are two and a half blocks: each change is announced by the block that schedules it, the two blocks before its
    // slot, and the first block past it.
    let blocks: Vec<_> = announced.iter().map(|(block, _)| *block).collect();
    assert_eq!(
        blocks,
        [
            150, 151, 152, 153, 200, 201, 202, 203, 250, 251, 252, 253, 300, 301, 302, 303
        ]
    );
    for (block, change) in announced {
        let scheduled_by = block - block % 50;
        let source = scheduled_by - 100;
        let expected = PotParametersChange {
            slot: slot(scheduled_by) + 15,
            slot_iterations: iterations(if scheduled_by < 200 { 1600 } else { 3200 }),
            entropy: proof(source).derive_entropy(&chunk(source)),
        };
        assert_eq!(change, expected, "block {block}");
    }
}

#[test]
fn iterations_can_only_be_raised_in_steps_of_sixteen() {
    let constants = EntropyInjection::MAINNET;
    assert_eq!(
        EntropySchedule::new(constants, iterations(8)),
        Err(PotError::NotMultiple(8))
    );
    let mut schedule = EntropySchedule::new(constants, iterations(160)).expect("a multiple of 16");
    assert_eq!(
        schedule.update_slot_iterations(iterations(161)),
        Err(PotError::NotMultiple(161))
    );
    for requested in [144, 160] {
        let error = PotError::NotRaised {
            current: 160,
            requested,
        };
        assert_eq!(schedule.update_slot_iterations(iterations(requested)), Err(error));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_single_flipped_bit_is_noticed(seed: [u8; 16], count in 1..20u32, position in 0..128usize, bit in 0..8u32) {
        let (seed, count) = (PotSeed(seed), iterations(count * 16));
        let mut checkpoints = prove(seed, count).expect("proves");
        prop_assert!(verify(seed, count, &checkpoints).expect("verifies"));
        checkpoints.0[position / 16][position % 16] ^= 1 << bit;
        prop_assert!(!verify(seed, count, &checkpoints).expect("verifies"));
    }

    #[test]
    fn schedule_never_panics(
        blocks in prop::collection::vec((any::<u32>(), any::<u64>()), 0..50),
        interval in 1..=u32::MAX,
        lookback_depth: u8,
        delay in 1..=u64::MAX,
    ) {
        let constants = EntropyInjection {
            interval: iterations(interval),
            lookback_depth,
            delay: NonZeroU64::new(delay).expect("not zero"),
        };
        let mut schedule = EntropySchedule::new(constants, iterations(16)).expect("a multiple of 16");
        for (block, slot) in blocks {
            schedule.on_block(block, slot, &ScalarBytes::default(), &PotOutput::default());
        }
    }
}

#[test]
fn checkpoints_of_another_order_are_refused() {
    let seed = PotSeed([3; 16]);
    let mut checkpoints = prove(seed, iterations(64)).expect("proves");
    checkpoints.0.swap(2, 3);
    assert!(!verify(seed, iterations(64), &checkpoints).expect("verifies"));
    assert!(!verify(seed, iterations(64), &PotCheckpoints::default()).expect("verifies"));
}
