//! A block that another node hands in is taken only when everything about it is right.

use crate::farmer::Farmer;
use crate::support::{client, config, start, url, within};
use autonomys_dev_node::chain::digest::BlockDigest;
use autonomys_dev_node::chain::extrinsics::Extrinsic;
use autonomys_dev_node::chain::genesis::{blake2b_256, extrinsics_root};
use autonomys_dev_node::chain::json::{block_from_json, block_to_json};
use autonomys_dev_node::rpc::development::DevNodeRpcClient;
use autonomys_node_rpc::chain_types::HexBytes;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use parity_scale_codec::Encode;
use schnorrkel::Keypair;
use subspace_archiving::encoding::{BlockHeader, SignedBlock};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::solutions::RewardSignature;
use subspace_verification::{SignedVote, Vote, sign_reward_hash};

/// Signs the header anew, as the farmer could.
fn seal(keypair: &Keypair, header: &mut BlockHeader) {
    let mut digest = BlockDigest::from_items(&header.digest_items).unwrap();
    digest.seal = None;
    header.digest_items = digest.to_items();
    digest.seal = Some(sign_reward_hash(keypair, &Blake3Hash(header.hash())));
    header.digest_items = digest.to_items();
}

/// The block with other extrinsics, everything that follows from them made right.
fn with_extrinsics(
    block: &SignedBlock,
    genesis: &BlockHeader,
    extrinsics: Vec<Vec<u8>>,
    key: &Keypair,
) -> SignedBlock {
    let mut block = block.clone();
    let slot = BlockDigest::from_items(&block.header.digest_items)
        .unwrap()
        .pre_digest
        .slot;
    block.header.extrinsics_root = extrinsics_root(&extrinsics);
    block.header.state_root = blake2b_256(&[
        &genesis.state_root,
        &block.header.extrinsics_root,
        &slot.to_le_bytes(),
    ]);
    block.extrinsics = extrinsics;
    seal(key, &mut block.header);
    block
}

async fn hand_in(node: &WsClient, block: &SignedBlock) -> Result<(), String> {
    let submitted = within(node.submit_block(block_to_json(block.clone()))).await;
    submitted.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_right_blocks_are_taken() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (node, _cancel) = start(config(first.path(), 2)).await;
    let mut farmer = Farmer::plot(client(&node).await, 5).await;
    assert_eq!(farmer.mine(&node).await, 1);
    let client = farmer.client.clone();
    let genesis = block_from_json(
        client
            .block(client.block_hash(0).await.unwrap())
            .await
            .unwrap()
            .unwrap(),
    )
    .header;
    let block = block_from_json(client.block(None).await.unwrap().unwrap());
    let key = &farmer.keypair;

    // The same chain without the block, at slot 0.
    let (other, _cancel_other) = start(config(second.path(), 2)).await;
    let other_client = WsClientBuilder::default().build(url(&other)).await.unwrap();
    let mut best = other.controls.best_block();

    let digest = BlockDigest::from_items(&block.header.digest_items).unwrap();
    let changed = |change: &dyn Fn(&mut BlockDigest)| {
        let mut digest = digest.clone();
        change(&mut digest);
        let mut changed = block.clone();
        changed.header.digest_items = digest.to_items();
        seal(key, &mut changed.header);
        changed
    };
    let mut cases: Vec<(SignedBlock, &str)> = Vec::new();
    let mut wrong = block.clone();
    wrong.header.parent_hash[0] ^= 1;
    cases.push((wrong, "a parent that is not the best block"));
    let mut wrong = block.clone();
    wrong.header.number = 2;
    cases.push((wrong, "a parent that is not the best block"));
    let mut wrong = block.clone();
    wrong.header.digest_items.pop();
    cases.push((wrong, "lacks the seal"));
    let mut wrong = block.clone();
    wrong.header.digest_items.swap(1, 2);
    cases.push((wrong, "not by the farmer"));
    let mut wrong = block.clone();
    wrong.header.state_root[0] ^= 1;
    cases.push((wrong.clone(), "not by the farmer"));
    seal(key, &mut wrong.header);
    cases.push((wrong, "state root"));
    let mut wrong = block.clone();
    wrong.extrinsics.push(Extrinsic::Remark(vec![1]).encode());
    cases.push((wrong, "not those of the header"));
    cases.push((
        changed(&|digest| digest.pre_digest.solution.chunk.0[31] ^= 1),
        "solution is refused",
    ));
    cases.push((changed(&|digest| digest.logs.truncate(1)), "its logs are"));
    cases.push((changed(&|digest| digest.pre_digest.slot += 1), "state root"));
    cases.push((
        changed(&|digest| digest.pre_digest.solution.record_commitment.0[0] ^= 1),
        "solution is refused",
    ));
    cases.push((
        changed(&|digest| digest.pre_digest.proof_of_time = PotOutput([7; 16])),
        "other outputs",
    ));
    let timestamp = block.extrinsics[0].clone();
    let extrinsics = |extrinsics: Vec<Vec<u8>>| with_extrinsics(&block, &genesis, extrinsics, key);
    cases.push((extrinsics(vec![timestamp.clone()]), "segment headers"));
    let mut twice = block.extrinsics.clone();
    twice.push(timestamp);
    cases.push((extrinsics(twice), "cannot stand there"));
    let mut voted = block.extrinsics.clone();
    let vote = Vote::V0 {
        height: 1,
        parent_hash: block.header.parent_hash,
        slot: digest.pre_digest.slot,
        solution: digest.pre_digest.solution,
        proof_of_time: digest.pre_digest.proof_of_time,
        future_proof_of_time: digest.pre_digest.future_proof_of_time,
    };
    let vote = SignedVote {
        signature: sign_reward_hash(key, &Blake3Hash(vote.hash())),
        vote,
    };
    voted.push(Extrinsic::Vote(Box::new(vote)).encode());
    cases.push((extrinsics(voted), "votes is refused"));
    let mut wrong = block.clone();
    wrong.justifications.clear();
    cases.push((wrong, "justification cannot be decoded"));
    let mut wrong = block.clone();
    let last = wrong.justifications[0].payload.len() - 1;
    wrong.justifications[0].payload[last] ^= 1;
    cases.push((wrong, "another proof of slot"));
    let mut wrong = block.clone();
    wrong.justifications[0].payload[1] ^= 1;
    cases.push((wrong, "another seed"));
    // A node that makes proofs of time lets nobody tell it what time it is.
    let future = digest.pre_digest.slot + 4;
    other.controls.step_slots(usize::try_from(future).unwrap() - 1);
    within(other.controls.slot().wait_for(|slot| *slot == future - 1))
        .await
        .unwrap();
    let error = hand_in(&other_client, &block).await.unwrap_err();
    assert!(error.contains("has not come yet"), "{error}");
    other.controls.step_slots(1);
    within(other.controls.slot().wait_for(|slot| *slot == future))
        .await
        .unwrap();
    for (number, (wrong, message)) in cases.iter().enumerate() {
        let error = hand_in(&other_client, wrong).await.unwrap_err();
        assert!(error.contains(message), "case {number}: {message}: {error}");
    }
    assert_eq!(best.borrow_and_update().state.number, 0);

    hand_in(&other_client, &block).await.unwrap();
    let imported = within(best.wait_for(|best| best.state.number == 1))
        .await
        .unwrap()
        .hash;
    assert_eq!(imported, block.header.hash());
    let error = hand_in(&other_client, &block).await.unwrap_err();
    assert!(
        error.contains("block 1 on a parent that is not the best block"),
        "{error}"
    );

    // Votes are looked at as well.
    let garbage = other_client
        .submit_vote(HexBytes(vec![1, 2, 3]))
        .await
        .unwrap_err();
    assert!(garbage.to_string().contains("does not decode"), "{garbage}");
    let mut unsigned = vote;
    unsigned.signature = RewardSignature([0; 64]);
    let error = other_client
        .submit_vote(HexBytes(unsigned.encode()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not signed"), "{error}");
    let Vote::V0 { proof_of_time, .. } = &mut unsigned.vote;
    *proof_of_time = PotOutput([7; 16]);
    let error = other_client
        .submit_vote(HexBytes(unsigned.encode()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("other proofs of time"), "{error}");
    other_client.submit_vote(HexBytes(vote.encode())).await.unwrap();
    // The chain goes on from the block that was handed in.
    let mut farmer = Farmer::plot(crate::support::client(&other).await, 5).await;
    assert_eq!(farmer.mine(&other).await, 2);
}
