//! Segment headers arrive in order and without gaps, whatever the node announces.

use crate::scripted::{Node, chain, within};
use autonomys_node_rpc::{ArchivedSegment, HeaderOrigin, NodeClient, NodeRpcError, names};
use futures::{Stream, StreamExt};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio_util::sync::CancellationToken;

async fn next(
    headers: &mut (impl Stream<Item = Result<ArchivedSegment, NodeRpcError>> + Unpin),
) -> (u64, HeaderOrigin) {
    let item = within(headers.next()).await.unwrap().unwrap();
    assert_eq!(item.must_acknowledge(), item.origin != HeaderOrigin::Read);
    (item.header.segment_index().get(), item.origin)
}

/// Waits until the header subscription is open `count` times.
async fn subscribed(node: &Node, count: usize) {
    within(async {
        while node.calls(names::ARCHIVED_SEGMENT_HEADER.subscribe) < count
            || node.calls(names::SEGMENT_HEADERS) < count
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn gaps_are_filled() {
    let mut node = Node::new();
    let all = chain(2010, 1);
    node.script.lock().headers = all[..2003].to_vec();
    let client = NodeClient::new([node.url()], CancellationToken::new()).unwrap();
    assert_eq!(
        within(client.all_segment_headers(SegmentIndex::ZERO, None))
            .await
            .unwrap(),
        all[..2003]
    );
    let calls = node.calls(names::SEGMENT_HEADERS);
    let mut headers = client.archived_segment_headers(SegmentIndex::new(2001), Some(&all[2000]));
    for index in 2001..2003 {
        assert_eq!(next(&mut headers).await, (index, HeaderOrigin::Read));
    }
    subscribed(&node, 1).await;
    assert!(node.calls(names::SEGMENT_HEADERS) > calls);
    node.archive(all[2003]);
    assert_eq!(next(&mut headers).await, (2003, HeaderOrigin::Announced));
    client
        .acknowledge_archived_segment_header(SegmentIndex::new(2003))
        .await
        .unwrap();
    // Announced twice: to be acknowledged twice.
    node.segments.send(serde_json::json!(all[2003])).unwrap();
    assert_eq!(next(&mut headers).await, (2003, HeaderOrigin::AnnouncedAgain));
    // Not announced at all.
    node.script.lock().headers.push(all[2004]);
    node.archive(all[2005]);
    assert_eq!(next(&mut headers).await, (2004, HeaderOrigin::Read));
    assert_eq!(next(&mut headers).await, (2005, HeaderOrigin::Announced));
    // Archived while there was no connection.
    node.stop().await;
    node.script.lock().headers.push(all[2006]);
    node.start();
    assert_eq!(next(&mut headers).await, (2006, HeaderOrigin::Read));
    subscribed(&node, 2).await;
    node.archive(all[2007]);
    assert_eq!(next(&mut headers).await, (2007, HeaderOrigin::Announced));
}

#[tokio::test]
async fn headers_of_another_chain_are_refused() {
    let node = Node::new();
    let mine: Vec<SegmentHeader> = chain(3, 1);
    let others: Vec<SegmentHeader> = chain(3, 2);
    node.script.lock().headers = vec![mine[0], others[1]];
    let client = NodeClient::new([node.url()], CancellationToken::new()).unwrap();
    let mut headers = client.archived_segment_headers(SegmentIndex::ZERO, None);
    assert_eq!(next(&mut headers).await, (0, HeaderOrigin::Read));
    let error = within(headers.next()).await.unwrap().unwrap_err();
    assert!(
        matches!(error, NodeRpcError::HeaderChain { segment_index: 1, .. }),
        "{error}"
    );
    assert!(within(headers.next()).await.is_none());
    let error = client
        .all_segment_headers(SegmentIndex::ONE, Some(&mine[0]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, NodeRpcError::HeaderChain { segment_index: 1, .. }),
        "{error}"
    );
    // Headers under other indexes than those asked for.
    node.script.lock().headers = vec![mine[1]];
    let error = client.segment_headers(&[SegmentIndex::ZERO]).await.unwrap_err();
    assert!(matches!(error, NodeRpcError::InvalidResponse { .. }), "{error}");
}
