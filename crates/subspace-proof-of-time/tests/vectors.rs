//! Golden vectors of proof of time.

use autonomys_test_support::section;
use parity_scale_codec::{Decode, Encode};
use std::num::NonZeroU32;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput, PotSeed};
use subspace_proof_of_time::{AesLevel, PotError, prove, prove_with, verify, verify_with};

fn iterations(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("iterations are not zero")
}

#[test]
fn cases() {
    let vectors = section("proof_of_time.json", "cases");
    for (number, case) in vectors.root().items().iter().enumerate() {
        let seed = PotSeed(case.get("seed").array());
        assert_eq!(seed.key().0, case.get("key").array());
        // Cases come in runs of the same number of iterations with other seeds.
        assert!(case.get("case").usize() <= number);
        let count = case.get("iterations").u32();

        let checkpoints = prove(seed, iterations(count)).expect("proves");
        for level in AesLevel::ALL {
            assert_eq!(
                prove_with(level, seed, iterations(count)),
                Ok(checkpoints),
                "{level}"
            );
        }
        let expected: Vec<_> = case
            .get("checkpoints")
            .items()
            .iter()
            .map(|checkpoint| PotOutput(checkpoint.array()))
            .collect();
        assert_eq!(checkpoints.as_slice(), expected);
        assert_eq!(checkpoints.output(), PotOutput(case.get("output").array()));
        let scale = case.get("scale").bytes();
        assert_eq!(checkpoints.encode(), scale);
        assert_eq!(
            PotCheckpoints::decode(&mut scale.as_slice()).expect("decodes"),
            checkpoints
        );

        let check = |name: &str, seed, count, checkpoints: &PotCheckpoints| {
            let valid = verify(seed, iterations(count), checkpoints).expect("verifies");
            assert_eq!(valid, case.get(name).bool(), "{name} at {}", case.path());
            for level in AesLevel::ALL {
                let valid_too = verify_with(level, seed, iterations(count), checkpoints);
                assert_eq!(valid_too, Ok(valid), "{level}, {name} at {}", case.path());
            }
        };
        let damaged = |checkpoint: usize, byte: usize| {
            let mut damaged = checkpoints;
            damaged.0[checkpoint][byte] ^= 1;
            damaged
        };
        check("verify", seed, count, &checkpoints);
        check("verify_checkpoint0_byte0_xor_1", seed, count, &damaged(0, 0));
        check("verify_checkpoint7_byte15_xor_1", seed, count, &damaged(7, 15));
        let mut other_seed = seed;
        other_seed[0] ^= 1;
        check("verify_seed_byte0_xor_1", other_seed, count, &checkpoints);
        check("verify_iterations_plus_16", seed, count + 16, &checkpoints);
    }
    vectors.finish();
}

#[test]
fn iteration_count_rules() {
    let vectors = section("proof_of_time.json", "iteration_count_rules");
    for case in vectors.root().items() {
        let count = case.get("iterations").u32();
        let proved = prove(PotSeed::default(), iterations(count));
        let verified = verify(PotSeed::default(), iterations(count), &PotCheckpoints::default());
        assert_eq!(proved.is_ok(), case.get("accepted").bool(), "{}", case.path());
        assert_eq!(verified.is_ok(), proved.is_ok());
        if let Err(error) = proved {
            assert_eq!(error, PotError::NotMultiple(count));
        }
    }
    vectors.finish();
}
