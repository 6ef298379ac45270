use super::*;
use crate::chain::data::extract_data;
use crate::chain::extrinsics::MAX_BLOCK_LENGTH;
use crate::chain::genesis::genesis_block;
use crate::parameters::ChainParameters;
use std::sync::Arc;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput, PotSeed};
use subspace_core_primitives::solutions::Solution;

fn build(parent: &BlockHeader, state: &RuntimeState, data: &DataSource, data_progress: u64) -> UnsealedBlock {
    let solution = Solution::genesis_solution(PublicKey([1; 32]), PublicKey([2; 32]));
    let parts = BlockParts {
        parent,
        parent_state: state,
        pre_digest: PreDigest {
            slot: state.slot + 3,
            solution,
            proof_of_time: PotOutput([1; 16]),
            future_proof_of_time: PotOutput([2; 16]),
        },
        justification: PotJustification::V0 {
            seed: PotSeed::default(),
            checkpoints: vec![PotCheckpoints::default()],
        },
        segment_headers: Vec::new(),
        votes: Vec::new(),
        data_progress,
        milliseconds: 1_700_000_000_000,
    };
    UnsealedBlock::build(parts, data).unwrap()
}

#[test]
fn a_file_and_then_filler_fill_the_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.bin");
    let contents = filler_bytes(1, 1_300_000);
    std::fs::write(&path, &contents).unwrap();
    let data = DataSource::new(1_000_000, Some(&path)).unwrap();
    let genesis = genesis_block("builder");
    let mut state = RuntimeState::genesis(Arc::new(ChainParameters::default())).unwrap();
    let mut parent = genesis.header.clone();
    let mut progress = 0;
    let mut blocks = vec![genesis.encode()];
    for _ in 0..3 {
        let block = build(&parent, &state, &data, progress);
        state = block.state.clone();
        progress = block.data_progress;
        let pre_hash = block.pre_hash();
        let block = block.seal(&RewardSignature([7; 64]));
        assert_ne!(block.header.hash(), pre_hash);
        assert_eq!(block.header.parent_hash, parent.hash());
        let digest = BlockDigest::from_items(&block.header.digest_items).unwrap();
        assert_eq!(digest.seal, Some(RewardSignature([7; 64])));
        let size: usize = block.extrinsics.iter().map(Vec::len).sum();
        assert!((999_000..=1_000_100).contains(&size), "{size}");
        assert!(block.has_archived_justification());
        parent = block.header.clone();
        blocks.push(block.encode_for_archiving());
    }
    assert!(progress > contents.len() as u64);
    assert_eq!(extract_data(blocks.iter().map(Vec::as_slice)).unwrap(), contents);
}

#[test]
fn limits_hold() {
    assert!(
        DataSource::new(MAX_NORMAL_LENGTH + 1, None)
            .unwrap_err()
            .to_string()
            .contains("do not fit")
    );
    assert!(
        DataSource::new(0, Some(Path::new("/x")))
            .unwrap_err()
            .to_string()
            .contains("at least 4096")
    );
    assert!(
        DataSource::new(5000, Some(Path::new("/does/not/exist")))
            .unwrap_err()
            .to_string()
            .contains("/does/not")
    );
    let data = DataSource::new(MAX_NORMAL_LENGTH, None).unwrap();
    let genesis = genesis_block("builder");
    let state = RuntimeState::genesis(Arc::new(ChainParameters::default())).unwrap();
    let block = build(&genesis.header, &state, &data, 0).seal(&RewardSignature([0; 64]));
    let size: usize = block.extrinsics.iter().map(Vec::len).sum();
    assert!(
        size > MAX_NORMAL_LENGTH - 1000 && size < MAX_BLOCK_LENGTH,
        "{size}"
    );
    let none = DataSource::new(0, None).unwrap();
    assert_eq!(none.next_block(0, usize::MAX).unwrap(), (Vec::new(), 0));
}
