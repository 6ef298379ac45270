//! Verification of a proof without any table.

use crate::compute::compute;
use crate::constants::{K, challenge_prefix, remainders_match};
use crate::f1::F1;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// The 64 `x` values of a proof.
fn leaves(proof: &PosProof) -> impl Iterator<Item = u32> {
    proof.as_bytes().as_chunks::<5>().0.iter().flat_map(|pair| {
        let bits = pair
            .iter()
            .fold(0_u64, |bits, &byte| (bits << 8) | u64::from(byte));
        [(bits >> K) as u32, bits as u32 & ((1 << K) - 1)]
    })
}

/// Whether `proof` is a proof for `challenge_index` under `seed`.
///
/// Pairs are judged by their remainders only: an entry pair from buckets that are not neighbours is accepted, as the
/// network does.
pub(crate) fn is_proof_valid(seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
    let mut f1 = F1::new(seed);
    let mut entries = [(0_u32, 0_u128); 64];
    for (entry, x) in entries.iter_mut().zip(leaves(proof)) {
        *entry = (f1.y(x), u128::from(x));
    }
    let mut count = entries.len();
    for table in 2..=7 {
        count /= 2;
        for index in 0..count {
            let (left_y, left) = entries[2 * index];
            let (right_y, right) = entries[2 * index + 1];
            if !remainders_match(left_y, right_y) {
                return false;
            }
            entries[index] = compute(table, left_y, left, right);
        }
    }
    entries[0].0 >> 6 == challenge_prefix(challenge_index)
}
