//! Verification with every instruction set against the plainest form of it.

use super::*;
use crate::compute::compute;
use crate::constants::{NUM_X, remainders_match};
use crate::f1::F1;
use crate::{ChiaProofOfSpace, PosTable, ProofOfSpace, SimdLevel};
use proptest::prelude::*;
use std::sync::LazyLock;

/// One entry after the other, as `docs/protocol/proof-of-space.md` says.
pub(crate) fn is_plainly_valid(seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
    let mut f1 = F1::new(seed);
    let xs = proof.as_bytes().as_chunks::<5>().0.iter().flat_map(|pair| {
        let bits = pair
            .iter()
            .fold(0_u64, |bits, &byte| (bits << 8) | u64::from(byte));
        [(bits >> K) as u32, bits as u32 & (NUM_X - 1)]
    });
    let mut entries: Vec<_> = xs.map(|x| (f1.y(x), u128::from(x))).collect();
    for table in 2..=7 {
        let pairs = entries.as_chunks::<2>().0;
        if !pairs
            .iter()
            .all(|[left, right]| remainders_match(left.0, right.0))
        {
            return false;
        }
        entries = pairs
            .iter()
            .map(|[left, right]| compute(table, left.0, left.1, right.1))
            .collect();
    }
    entries[0].0 >> 6 == challenge_prefix(challenge_index)
}

fn check(seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
    let expected = is_plainly_valid(seed, challenge_index, proof);
    for proof_of_space in SimdLevel::ALL
        .into_iter()
        .filter_map(ChiaProofOfSpace::with_simd_level)
    {
        let level = proof_of_space.simd_level();
        let valid = proof_of_space.is_proof_valid(seed, challenge_index, proof);
        assert_eq!(
            valid, expected,
            "{level}, challenge index {challenge_index}, {proof:?}"
        );
    }
    expected
}

const SEED: PosSeed = PosSeed([7; 32]);
static TABLE: LazyLock<Box<dyn PosTable>> =
    LazyLock::new(|| ChiaProofOfSpace::new().create_full_table(&SEED));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn all_instruction_sets_agree_on_proofs_and_near_proofs(
        challenge_index in any::<u32>(),
        other_index in any::<u32>(),
        bit in 0..1280_usize,
        swapped in 0..6_u32,
    ) {
        let Some(proof) = TABLE.find_proof(challenge_index) else { return Ok(()) };
        prop_assert!(check(&SEED, challenge_index, &proof));
        check(&SEED, other_index, &proof);
        check(&PosSeed::from([8; 32]), challenge_index, &proof);
        let mut damaged = *proof.as_bytes();
        damaged[bit / 8] ^= 1 << (bit % 8);
        check(&SEED, challenge_index, &PosProof::from(damaged));
        // Subtrees of some level the other way round.
        let mut bits: Vec<_> = proof.as_bytes().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
        let length = 20 << swapped;
        let at = bit / (2 * length) * 2 * length;
        bits[at..at + 2 * length].rotate_left(length);
        let bytes = bits.as_chunks::<8>().0.iter().map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit));
        let bytes: Vec<u8> = bytes.collect();
        check(&SEED, challenge_index, &PosProof::from(<[u8; 160]>::try_from(bytes).unwrap()));
    }

    #[test]
    fn all_instruction_sets_agree_on_anything(
        seed in any::<[u8; 32]>(),
        challenge_index in any::<u32>(),
        bytes in any::<[[u8; 32]; 5]>(),
    ) {
        let mut proof = [0; 160];
        proof.copy_from_slice(bytes.as_flattened());
        check(&PosSeed::from(seed), challenge_index, &PosProof::from(proof));
    }
}

#[test]
fn pairs_match_as_the_definition_says() {
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(0x915f_77f5).wrapping_add(0x2c9277b5);
        state >> 6
    };
    let mut matching = 0;
    for _ in 0..20_000 {
        let (left, right) = (random(), random());
        let mut ys = [0; PADDED];
        ys[..2].copy_from_slice(&[left, right]);
        assert_eq!(
            all_match::<1>(&ys),
            remainders_match(left, right),
            "{left} {right}"
        );
        // One that matches, and one column further.
        let parity = (left / PARAM_BC) & 1;
        let target = crate::constants::target(parity, left % PARAM_BC, right % PARAM_M);
        for right in [target, (target + 1) % PARAM_BC] {
            ys[1] = right;
            assert_eq!(
                all_match::<1>(&ys),
                remainders_match(left, right),
                "{left} {right}"
            );
            matching += usize::from(all_match::<1>(&ys));
        }
    }
    assert!(matching >= 20_000);
}
