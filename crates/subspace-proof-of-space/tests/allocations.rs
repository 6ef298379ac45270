//! Looking up and verifying proofs allocates nothing, making a table only what the table itself takes.

use autonomys_test_support::allocations::{Allocations, CountingAllocator, count};
use subspace_core_primitives::pos::PosSeed;
use subspace_proof_of_space::{ChiaProofOfSpace, ProofOfSpace};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn tables_take_few_blocks_and_proofs_none() {
    let proof_of_space = ChiaProofOfSpace::new();
    // The first table also makes the workspace that later ones use again.
    drop(proof_of_space.create_table(&PosSeed::from([1; 32])));
    let seed = PosSeed::from([2; 32]);
    let (table, made) = count(|| proof_of_space.create_table(&seed));
    assert!(made.calls <= 64, "{made:?}");
    assert!(made.bytes <= 40_000_000, "{made:?}");

    let mut proofs = Vec::with_capacity(1 << 16);
    let ((), looked_up) = count(|| {
        proofs.extend((0..1 << 16).filter_map(|s_bucket| Some((s_bucket, table.find_proof(s_bucket)?))));
    });
    assert_eq!(looked_up, Allocations::default(), "by {} proofs", proofs.len());
    assert!(proofs.len() > 32_768, "{}", proofs.len());

    let (valid, verified) = count(|| {
        let mut valid = proofs.iter().step_by(256);
        valid.all(|(s_bucket, proof)| proof_of_space.is_proof_valid(&seed, *s_bucket, proof))
    });
    assert!(valid);
    assert_eq!(verified, Allocations::default());
}
