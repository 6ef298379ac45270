//! Chains that begin with several segments, and what a node that reads blocks can meet.

use crate::raw::Raw;
use crate::support::{config, start, url, within};
use autonomys_node_rpc::{ChainClient, NodeRpcError, wire};
use serde_json::json;
use subspace_core_primitives::segments::{HistorySize, SegmentIndex};

#[tokio::test]
async fn a_history_is_the_same_every_time() {
    let mut hashes = Vec::new();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // The first chain is started twice.
    for directory in [&directories[0], &directories[0], &directories[1]] {
        let mut config = config(directory.path(), 4);
        config.parameters.history_segments = 2;
        let (node, cancel) = start(config).await;
        let chain = ChainClient::connect(&url(&node).replace("ws:", "http:"))
            .await
            .unwrap();
        let info = within(chain.farmer_app_info()).await.unwrap();
        assert_eq!(
            info.protocol_info.history_size,
            HistorySize::from_segments(2).unwrap()
        );
        let header = chain.segment_headers(&[SegmentIndex::ONE]).await.unwrap()[0].unwrap();
        let best = chain.header(None).await.unwrap().unwrap();
        // The header of the segment is in the chain as well.
        assert_eq!(header.last_archived_block().number + 6, best.number.0);
        hashes.push((chain.block_hashes(&[best.number.0]).await.unwrap(), header));
        // Slots go on behind it.
        let mut slot = node.controls.slot();
        node.controls.step_slots(1);
        within(slot.changed()).await.unwrap();
        cancel.cancel();
        node.stopped().await.unwrap();
    }
    assert!(hashes.iter().all(|found| *found == hashes[0]));
}

#[tokio::test]
async fn blocks_and_replies_that_are_not_to_be_had() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 4);
    config.parameters.history_segments = 2;
    let (node, _cancel) = start(config).await;
    let inject = |fault: &str| {
        node.controls.faults.clear();
        node.controls.faults.inject(fault.parse().unwrap());
    };
    let chain = ChainClient::connect(&url(&node).replace("ws:", "http:"))
        .await
        .unwrap();
    let hashes: Vec<_> = chain.block_hashes(&[1, 2, 3, 20]).await.unwrap();
    let hashes: Vec<_> = hashes.into_iter().map(Option::unwrap).collect();
    let sound = chain.blocks(&hashes).await.unwrap();
    assert!(sound.iter().all(Option::is_some));
    inject("pruned-blocks=2-3");
    let found = chain.blocks(&hashes).await.unwrap();
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    inject("wrong-parent=2");
    let found = chain.blocks(&hashes).await.unwrap();
    assert_eq!(found[0], sound[0]);
    assert_ne!(
        found[1].as_ref().unwrap().block.header.parent_hash,
        sound[1].as_ref().unwrap().block.header.parent_hash
    );
    inject("lost-justification=3");
    let found = chain.blocks(&hashes).await.unwrap();
    assert!(found[2].as_ref().unwrap().justifications.is_none() && found[3] == sound[3]);
    inject("corrupt-header=1");
    let headers = chain
        .segment_headers(&[SegmentIndex::ZERO, SegmentIndex::ONE])
        .await
        .unwrap();
    node.controls.faults.clear();
    let sound_headers = chain
        .segment_headers(&[SegmentIndex::ZERO, SegmentIndex::ONE])
        .await
        .unwrap();
    assert!(headers[0] == sound_headers[0] && headers[1] != sound_headers[1]);
    inject("no-batches");
    assert_eq!(chain.blocks(&hashes).await.unwrap(), sound);
    let mut raw = Raw::connect(&node).await;
    let body = json!([{ "jsonrpc": "2.0", "id": 1, "method": "system_name" }]).to_string();
    assert_eq!(raw.exchange(&body).await["error"]["code"], wire::BATCHES_DISABLED);
    inject("reply-limit=100");
    let error = chain.blocks(&hashes[..1]).await.unwrap_err();
    assert!(
        matches!(
            error,
            NodeRpcError::Refused {
                code: wire::RESPONSE_TOO_LARGE,
                ..
            }
        ),
        "{error}"
    );
    inject("reply-limit=10");
    assert_eq!(
        raw.exchange(&body).await["error"]["code"],
        wire::BATCH_RESPONSE_TOO_LARGE
    );
    // Block 20 is a full one: eight megabytes of text.
    inject("reply-limit=9000000");
    assert_eq!(chain.blocks(&hashes).await.unwrap(), sound);
}
