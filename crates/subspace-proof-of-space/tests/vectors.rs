//! Golden vectors that need nothing but the public interface.

use autonomys_test_support::section;
use subspace_core_primitives::pos::{PosProof, PosSeed};
use subspace_proof_of_space::{ChiaProofOfSpace, ProofOfSpace};

#[test]
fn k() {
    let vectors = section("proof_of_space.json", "k");
    assert_eq!(vectors.root().u64(), 20);
    vectors.finish();
}

#[test]
fn verification_ignores_bucket_adjacency() {
    let vectors = section("proof_of_space_loose.json", "cases");
    let proof_of_space = ChiaProofOfSpace::new();
    for case in vectors.root().items() {
        let what = case.get("what").str();
        let seed = PosSeed::from(case.get("seed").array());
        let challenge_index = case.get("challenge_index").u32();
        assert_eq!(case.get("below_65536").bool(), challenge_index < 65_536, "{what}");
        let proof = PosProof::from(case.get("proof").array());
        let valid = proof_of_space.is_proof_valid(&seed, challenge_index, &proof);
        assert_eq!(valid, case.get("valid").bool(), "{what}");
    }
    vectors.finish();
}
