//! Reading blocks in bulk.

use crate::scripted::{Node, within};
use autonomys_node_rpc::chain_types::{HexHash, RpcSignedBlock};
use autonomys_node_rpc::{ChainClient, NodeRpcError, names};
use jsonrpsee::server::ServerConfig;
use serde_json::json;

fn block(extrinsic_bytes: usize) -> serde_json::Value {
    let mut block = serde_json::to_value(RpcSignedBlock::default()).unwrap();
    block["block"]["extrinsics"] = json!([format!("0x{}", "ab".repeat(extrinsic_bytes))]);
    block
}

fn hashes(count: u8) -> Vec<HexHash> {
    (0..count).map(|number| HexHash([number; 32])).collect()
}

async fn read(url: &str, count: u8) -> Result<(), NodeRpcError> {
    let client = ChainClient::connect(url).await?;
    let blocks = within(client.blocks(&hashes(count))).await?;
    let found: Vec<_> = blocks
        .iter()
        .map(|block| block.as_ref().unwrap().block.header.parent_hash)
        .collect();
    assert_eq!(found, hashes(count));
    Ok(())
}

#[tokio::test]
async fn blocks_come_in_order_however_they_must_be_asked_for() {
    // Replies of 64 KiB at most, so that batches must shrink to a few blocks.
    let node = Node::with_config(ServerConfig::builder().max_response_body_size(64 * 1024).build());
    node.script.lock().block = block(8 * 1024);
    let http = node.url().replace("ws:", "http:");
    for url in [&http, &node.url()] {
        read(url, 60).await.unwrap();
    }
    // A block that does not fit at all is an error.
    node.script.lock().block = block(64 * 1024);
    for url in [&http, &node.url()] {
        let error = read(url, 3).await.unwrap_err();
        assert!(
            matches!(error, NodeRpcError::Refused { code: -32008, .. }),
            "{error}"
        );
    }
    let node = Node::without_batches();
    node.script.lock().block = block(10);
    read(&node.url().replace("ws:", "http:"), 40).await.unwrap();
    assert_eq!(node.calls(names::CHAIN_GET_BLOCK), 40);
}

#[tokio::test]
async fn single_reads() {
    let node = Node::new();
    node.script.lock().block = block(1);
    for url in [node.url(), node.url().replace("ws:", "http:")] {
        let client = ChainClient::connect(&url).await.unwrap();
        let found = client.block_hashes(&[1, 0xabc]).await.unwrap();
        assert_eq!(found[1].unwrap().to_string(), format!("0x{:0>64}", "abc"));
        assert!(matches!(
            client.block_hashes(&[0; 1001]).await,
            Err(NodeRpcError::TooManyItems { .. })
        ));
        assert_eq!(client.header(None).await.unwrap().unwrap().number.0, 0);
        assert!(!client.farmer_app_info().await.unwrap().syncing);
        assert!(client.segment_headers(&[0.into(), 1.into()]).await.unwrap()[1].is_none());
    }
    assert!(matches!(
        ChainClient::connect("ftp://node").await,
        Err(NodeRpcError::InvalidUrl { .. })
    ));
    assert!(matches!(
        ChainClient::connect("ws://127.0.0.1:1").await,
        Err(NodeRpcError::Connect { .. })
    ));
}
