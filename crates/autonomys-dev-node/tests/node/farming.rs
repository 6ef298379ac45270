//! A farmer wins blocks: votes, signatures, archiving, acknowledgements, restart.

use crate::farmer::Farmer;
use crate::raw::Raw;
use crate::support::{TOOLS, client, config, start, within, within_archiving};
use autonomys_dev_node::chain::data::{extract_data, filler_bytes};
use autonomys_dev_node::chain::digest::{BlockDigest, ConsensusLog};
use autonomys_dev_node::chain::extrinsics::{Extrinsic, MAX_NORMAL_LENGTH};
use autonomys_dev_node::chain::justification::PotJustification;
use autonomys_node_rpc::chain_types::{RpcHeader, RpcSignedBlock};
use autonomys_node_rpc::{ChainClient, HeaderOrigin};
use futures::StreamExt;
use serde_json::json;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use subspace_archiving::encoding::{BlockHeader, Justification, SignedBlock};
use subspace_archiving::is_piece_valid;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::pot::{PotOutput, PotSeed};
use subspace_core_primitives::rpc::{RewardSignatureResponse, SolutionResponse};
use subspace_core_primitives::segments::SegmentIndex;
use subspace_verification::{SignedVote, check_reward_signature, sign_reward_hash};

fn from_json_header(header: &RpcHeader) -> BlockHeader {
    BlockHeader {
        parent_hash: header.parent_hash.0,
        number: header.number.0,
        state_root: header.state_root.0,
        extrinsics_root: header.extrinsics_root.0,
        digest_items: header.digest.logs.iter().map(|log| log.0.clone()).collect(),
    }
}

fn from_json(block: &RpcSignedBlock) -> SignedBlock {
    SignedBlock {
        header: from_json_header(&block.block.header),
        extrinsics: block
            .block
            .extrinsics
            .iter()
            .map(|extrinsic| extrinsic.0.clone())
            .collect(),
        justifications: block
            .justifications
            .iter()
            .flatten()
            .map(|(engine_id, payload)| Justification {
                engine_id: *engine_id,
                payload: payload.clone(),
            })
            .collect(),
    }
}

/// Reads the whole chain over RPC and checks everything that a verifier could.
async fn check_chain(url: &str, genesis_hash: [u8; 32]) -> Vec<SignedBlock> {
    let chain = ChainClient::connect(&url.replace("ws://", "http://"))
        .await
        .unwrap();
    let best = chain.header(None).await.unwrap().unwrap().number.0;
    let hashes: Vec<_> = chain.block_hashes(&(0..=best).collect::<Vec<_>>()).await.unwrap();
    let hashes: Vec<_> = hashes.into_iter().map(|hash| hash.unwrap()).collect();
    assert_eq!(hashes[0].0, genesis_hash);
    let blocks: Vec<_> = chain
        .blocks(&hashes)
        .await
        .unwrap()
        .iter()
        .flatten()
        .map(from_json)
        .collect();
    assert_eq!(blocks.len(), hashes.len());
    let mut seed = PotSeed::from_genesis(&genesis_hash, b"");
    let (mut slot, mut future_slot) = (0, 0);
    let mut change = None;
    for (number, pair) in blocks.windows(2).enumerate() {
        let (parent, block) = (&pair[0], &pair[1]);
        assert_eq!(block.header.number as usize, number + 1);
        assert_eq!(block.header.parent_hash, parent.header.hash());
        assert_eq!(block.header.hash(), hashes[number + 1].0);
        let digest = BlockDigest::from_items(&block.header.digest_items).unwrap();
        let pre_digest = digest.pre_digest;
        assert!(pre_digest.slot > slot);
        let mut unsealed = block.header.clone();
        unsealed.digest_items.pop();
        let public_key = pre_digest.solution.public_key;
        check_reward_signature(&unsealed.hash(), &digest.seal.unwrap(), &public_key).unwrap();
        let justification = PotJustification::find(&block.justifications).unwrap();
        assert_eq!(justification.seed(), seed, "block {}", number + 1);
        slot = pre_digest.slot;
        for checkpoints in justification.checkpoints() {
            assert!(subspace_proof_of_time::verify(seed, NonZeroU32::new(16).unwrap(), checkpoints).unwrap());
            future_slot += 1;
            let output: PotOutput = checkpoints.output();
            if future_slot == slot {
                assert_eq!(output, pre_digest.proof_of_time);
            }
            seed = match change {
                Some((target, entropy)) if target == future_slot + 1 => output.seed_with_entropy(&entropy),
                _ => output.seed(),
            };
            if future_slot == slot + 4 {
                assert_eq!(output, pre_digest.future_proof_of_time);
            }
        }
        assert_eq!(future_slot, slot + 4);
        let announced = digest.logs.iter().find_map(|log| match log {
            ConsensusLog::PotParametersChange(change) => Some((change.slot, change.entropy)),
            _ => None,
        });
        change = announced.or(change);
    }
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_is_farmed_archived_acknowledged_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data_path = directory.path().join("data.bin");
    let data = filler_bytes(77, 6_000_000);
    std::fs::write(&data_path, &data).unwrap();
    let path = directory.path().join("chain");
    let mut config = config(&path, 3);
    config.bytes_per_block = MAX_NORMAL_LENGTH;
    config.data = Some(data_path);
    config.parameters.entropy_injection_interval = 4;
    let depth = config.parameters.confirmation_depth;
    let (node, cancel) = start(config.clone()).await;
    let url = crate::support::url(&node);
    let client = client(&node).await;
    let mut headers = client.archived_segment_headers(SegmentIndex::ZERO, None);
    let first = within(headers.next()).await.unwrap().unwrap();
    assert_eq!(
        (first.origin, first.header.segment_index()),
        (HeaderOrigin::Read, SegmentIndex::ZERO)
    );
    assert_eq!(
        first.header.last_archived_block().partial_archived(),
        Some(130_023_418)
    );
    let mut farmer = Farmer::plot(client.clone(), 1).await;

    // A subscriber that never acknowledges by itself.
    let mut raw = Raw::connect(&node).await;
    let subscription = raw
        .call("subspace_subscribeArchivedSegmentHeader", json!([]))
        .await
        .unwrap();
    node.controls.faults.inject("duplicate-header".parse().unwrap());
    let mut best = node.controls.best_block();
    let (announced, archiving_block) = loop {
        let before = best.borrow().state.number;
        farmer.win(&node).await;
        // Either the block becomes the best one, or its import waits for us with a new segment.
        tokio::select! {
            changed = within_archiving(best.wait_for(|best| best.state.number > before)) => drop(changed.unwrap()),
            header = headers.next() => break (header.unwrap().unwrap(), before + 1),
        }
        assert!(before < 100, "segment 1 must be full by now");
    };
    assert_eq!(announced.origin, HeaderOrigin::Announced);
    assert_eq!(announced.header.segment_index(), SegmentIndex::ONE);
    let again = within(headers.next()).await.unwrap().unwrap();
    assert_eq!(again.origin, HeaderOrigin::AnnouncedAgain);
    for _ in 0..2 {
        let item = raw.item("subspace_archived_segment_header", &subscription).await;
        assert_eq!(item, serde_json::to_value(announced.header).unwrap());
    }
    // Two subscriptions hold it; the store and the pieces have it already, the chain does not go on.
    assert_eq!(
        client
            .farmer_app_info()
            .await
            .unwrap()
            .protocol_info
            .history_size
            .get(),
        2
    );
    for index in [256, 257, 511] {
        let piece = client.piece(PieceIndex::new(index)).await.unwrap().unwrap();
        assert!(is_piece_valid(
            &TOOLS.kzg,
            &piece,
            &announced.header.segment_commitment(),
            index as u32 - 256
        ));
    }
    client
        .acknowledge_archived_segment_header(SegmentIndex::ONE)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        best.borrow().state.number,
        archiving_block - 1,
        "the second subscription still holds the segment"
    );
    raw.call("subspace_acknowledgeArchivedSegmentHeader", json!([1]))
        .await
        .unwrap();
    within(best.wait_for(|best| best.state.number == archiving_block))
        .await
        .unwrap();
    node.controls.faults.clear();

    let last_archived = announced.header.last_archived_block().number;
    assert_eq!(last_archived + depth, archiving_block);
    let number = farmer.mine(&node).await;
    assert_eq!(number, archiving_block + 1);
    let blocks = check_chain(&url, node.genesis_hash.0).await;
    for block in &blocks[1..] {
        let digest = BlockDigest::from_items(&block.header.digest_items).unwrap();
        let stored: Vec<_> = digest
            .logs
            .iter()
            .filter_map(|log| match log {
                ConsensusLog::SegmentCommitment((index, commitment)) => Some((index.get(), *commitment)),
                _ => None,
            })
            .collect();
        let expected = match block.header.number {
            1 => vec![(0, first.header.segment_commitment())],
            number if number == last_archived + depth + 1 => vec![(1, announced.header.segment_commitment())],
            _ => Vec::new(),
        };
        assert_eq!(stored, expected, "block {}", block.header.number);
    }
    let encoded: Vec<_> = blocks[1..]
        .iter()
        .map(SignedBlock::encode_for_archiving)
        .collect();
    assert_eq!(extract_data(encoded.iter().map(Vec::as_slice)).unwrap(), data);

    // After a restart the chain goes on where it was.
    let slot = best.borrow().state.slot;
    drop((farmer, client, headers, raw));
    cancel.cancel();
    node.stopped().await.unwrap();
    let (node, _cancel) = start(config).await;
    let url = crate::support::url(&node);
    assert_eq!(
        node.controls.best_block().borrow().hash,
        blocks.last().unwrap().header.hash()
    );
    let client = crate::support::client(&node).await;
    assert_eq!(
        client.last_segment_headers(10).await.unwrap(),
        [Some(first.header), Some(announced.header)]
    );
    let mut farmer = Farmer::plot(client, 1).await;
    assert_eq!(farmer.mine(&node).await, number + 1);
    assert!(node.controls.best_block().borrow().state.slot > slot);
    assert_eq!(
        check_chain(&url, node.genesis_hash.0).await.len() as u32,
        number + 2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_and_signatures() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.parameters.initial_solution_range = u64::MAX / 10;
    config.parameters.adjustment_start = Some(1);
    let (node, _cancel) = start(config).await;
    let url = crate::support::url(&node);
    let controls = node.controls.clone();
    let mut farmer = Farmer::plot(client(&node).await, 2).await;
    let mut best = controls.best_block();

    // Signed too late: the block is lost, and so is the answer.
    farmer
        .submit(&controls, |slot, distance| distance <= slot.solution_range / 2)
        .await;
    farmer.step_to_claim(&controls).await;
    let request = within(farmer.signing.next()).await.unwrap();
    let asked = Instant::now();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let signature = Some(sign_reward_hash(&farmer.keypair, &request.hash));
    let late = RewardSignatureResponse {
        hash: request.hash,
        signature,
    };
    farmer.client.submit_reward_signature(&late).await.unwrap();
    assert!(asked.elapsed() > Duration::from_millis(500));
    assert_eq!(best.borrow().state.number, 0);

    assert_eq!(farmer.mine(&node).await, 1);
    assert_eq!(farmer.mine(&node).await, 2);
    // Adjustment is on since block 1: the voting range is ten times the range.
    let is_vote =
        |slot: &subspace_core_primitives::rpc::SlotInfo, distance: u64| distance > slot.solution_range / 2;
    let (slot, solution) = farmer.submit(&controls, is_vote).await;
    assert_eq!(slot.voting_solution_range, slot.solution_range * 10);
    let twice = SolutionResponse {
        slot_number: slot.slot_number,
        solution,
    };
    farmer.client.submit_solution_response(&twice).await.unwrap();
    farmer.step_to_claim(&controls).await;
    // The same solution twice gives two signing requests, but is included once.
    let vote_hash = farmer.sign().await;
    assert_eq!(farmer.sign().await, vote_hash);
    assert_eq!(farmer.mine(&node).await, 3);
    assert_eq!(farmer.mine(&node).await, 4);
    let blocks = check_chain(&url, node.genesis_hash.0).await;
    let votes = |number: usize| -> Vec<SignedVote> {
        blocks[number]
            .extrinsics
            .iter()
            .filter_map(|extrinsic| match Extrinsic::decode(extrinsic) {
                Some(Extrinsic::Vote(vote)) => Some(*vote),
                _ => None,
            })
            .collect()
    };
    let included = votes(3);
    assert_eq!(included.len(), 1);
    assert_eq!(
        (included[0].vote.hash(), *included[0].vote.solution()),
        (vote_hash, solution)
    );
    included[0].check_signature().unwrap();
    assert_eq!((votes(2).len(), votes(4).len()), (0, 0));

    // A damaged solution is taken into the mailbox, but nothing comes of it.
    let number = best.borrow_and_update().state.number;
    controls.step_slots(1);
    let slot = farmer.slot().await;
    let mut response = SolutionResponse {
        slot_number: slot.slot_number,
        solution,
    };
    response.solution.chunk.0[31] ^= 1;
    farmer.client.submit_solution_response(&response).await.unwrap();
    farmer.step_to_claim(&controls).await;
    assert_eq!(farmer.mine(&node).await, number + 1);
}
