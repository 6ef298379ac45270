//! Golden vectors of tables and proofs, with every instruction set.

use crate::bucket::BUCKET_LIMIT;
use crate::builder::tests::{pool, sorted_ys};
use crate::builder::{Plan, Workspace, build};
use crate::constants::{NUM_S_BUCKETS, NUM_X};
use crate::f1::F1;
use crate::kernel::Portable;
use crate::table::LastTable;
use crate::unbounded::tests::digest;
use crate::{ChiaProofOfSpace, PosTable, ProofOfSpace, SimdLevel};
use autonomys_test_support::{Node, section, xof};
use subspace_core_primitives::pos::{PosProof, PosSeed};

#[test]
fn seeds() {
    let vectors = section("proof_of_space.json", "seeds");
    // Portable code makes the complete tables; where there is nothing faster, the others as well.
    let levels: Vec<_> = SimdLevel::ALL
        .into_iter()
        .filter(|&level| level != SimdLevel::Portable || SimdLevel::best() == level)
        .filter_map(ChiaProofOfSpace::with_simd_level)
        .collect();
    let best = levels.last().unwrap();
    let pool = pool(2);
    let mut workspace = Workspace::new(1);
    for case in vectors.root().items() {
        let seed = PosSeed::from(case.get("seed").array());
        let label = case.get("label").str();
        if !label.starts_with('(') {
            assert_eq!(xof(label, 32), seed.as_bytes(), "{label}");
        }
        check_f1(&seed, &case.get("f1_x_y"));

        let full = check_tables(&seed, &mut workspace, &case.get("tables"));
        check_samples(full.as_ref(), &case.get("samples"));
        check_all_proofs(full.as_ref(), &case);
        for (index, proof_of_space) in levels.iter().enumerate() {
            let table = if index == 0 {
                proof_of_space.create_table(&seed)
            } else {
                proof_of_space.create_table_parallel(&seed, &pool)
            };
            check_all_proofs(table.as_ref(), &case);
        }
        check_verification(best, &case.get("verification"));
    }
    vectors.finish();
}

fn check_f1(seed: &PosSeed, expected: &Node<'_>) {
    let mut all = vec![0; NUM_X as usize];
    F1::new(seed).for_each(0..NUM_X, |x, y| all[x as usize] = y);
    let mut single = F1::new(seed);
    for pair in expected.items() {
        let [x, y] = pair
            .items()
            .try_into()
            .unwrap_or_else(|_| panic!("no pair at {}", pair.path()));
        let (x, y) = (x.u32(), y.u32());
        assert_eq!((single.y(x), all[x as usize]), (y, y), "{}", pair.path());
    }
}

/// Checks all seven tables, made with portable code; returns the complete table.
fn check_tables(seed: &PosSeed, workspace: &mut Workspace, expected: &Node<'_>) -> Box<dyn PosTable> {
    let expected = expected.items();
    let mut checked = 0;
    let mut check = |number: u8, ys: Vec<u32>| {
        let table = &expected[usize::from(number) - 1];
        assert_eq!(table.get("table").u64(), u64::from(number));
        assert_eq!(table.get("entries").usize(), ys.len(), "{}", table.path());
        assert_eq!(
            table.get("sorted_ys_u32le_blake3").str(),
            digest(ys),
            "{}",
            table.path()
        );
        checked += 1;
    };
    let plan = Plan {
        pool: None,
        bucket_limit: BUCKET_LIMIT,
        full: true,
    };
    let table = build(Portable, seed, workspace, &plan, |number, chains| {
        check(number, sorted_ys(number, chains))
    })
    .unwrap();
    let LastTable::Full(entries) = &table.last else {
        panic!("asked for all of table 7")
    };
    check(7, entries.iter().map(|entry| (entry >> 32) as u32).collect());
    assert_eq!(checked, expected.len());
    Box::new(table)
}

fn check_samples(table: &dyn PosTable, expected: &Node<'_>) {
    for sample in expected.items() {
        let proof = table.find_proof(sample.get("challenge_index").u32());
        if sample.get("proof").is_null() {
            assert_eq!(proof, None, "{}", sample.path());
            assert!(
                sample.try_get("proof_blake3").is_none_or(|hash| hash.is_null()),
                "{}",
                sample.path()
            );
        } else {
            let proof = proof.unwrap_or_else(|| panic!("no proof for {}", sample.path()));
            assert_eq!(
                proof.as_bytes(),
                &sample.get("proof").array(),
                "{}",
                sample.path()
            );
            assert_eq!(
                proof.hash().as_ref(),
                sample.get("proof_blake3").bytes(),
                "{}",
                sample.path()
            );
        }
    }
}

/// Checks the answers for all s-buckets.
fn check_all_proofs(table: &dyn PosTable, expected: &Node<'_>) {
    let (mut proofs, mut hashes) = (blake3::Hasher::new(), blake3::Hasher::new());
    let mut bitmap = vec![0_u8; NUM_S_BUCKETS / 8];
    let mut missing = Vec::new();
    let mut found = 0;
    for s_bucket in 0..NUM_S_BUCKETS {
        match table.find_proof(s_bucket as u32) {
            Some(proof) => {
                proofs.update(proof.as_bytes());
                hashes.update(proof.hash().as_ref());
                bitmap[s_bucket / 8] |= 1 << (s_bucket % 8);
                found += 1;
            }
            None => missing.push(s_bucket),
        }
    }
    assert_eq!(found, expected.get("found_count").usize(), "{}", expected.path());
    for (position, index) in expected.get("first_missing").items().iter().enumerate() {
        assert_eq!(missing[position], index.usize(), "{}", index.path());
    }
    let check = |name: &str, hash: blake3::Hash| {
        assert_eq!(
            hash.to_hex().as_str(),
            expected.get(name).str(),
            "{name} of {}",
            expected.path()
        );
    };
    check("found_bitmap_blake3", blake3::hash(&bitmap));
    check("all_proofs_blake3", proofs.finalize());
    check("all_proof_hashes_blake3", hashes.finalize());
}

fn check_verification(proof_of_space: &ChiaProofOfSpace, expected: &Node<'_>) {
    for case in expected.items() {
        let what = case.get("what").str();
        let seed = PosSeed::from(case.get("seed").array());
        let proof = PosProof::from(case.get("proof").array());
        let valid = proof_of_space.is_proof_valid(&seed, case.get("challenge_index").u32(), &proof);
        assert_eq!(valid, case.get("valid").bool(), "{} ({what})", case.path());
    }
}
