//! Nodes with habits, and nodes that lie: what is fetched is right, or is refused by name. Without commitments, which are the dear part.

use crate::support::{Chain, SEGMENTS};
use autonomys_export_piece::assemble::Assembly;
use autonomys_export_piece::headers::HeaderChain;
use autonomys_export_piece::node::Node;
use autonomys_export_piece::plan::SegmentPlan;
use autonomys_export_piece::progress::Meter;
use autonomys_export_piece::{SegmentError, fetch};
use futures::TryStreamExt;
use std::sync::Arc;
use subspace_archiving::reconstruct_segment;
use subspace_core_primitives::segments::{HistorySize, NUM_PIECES_IN_SEGMENT, SegmentIndex};
use subspace_erasure_coding::ErasureCoding;

async fn raw_segment(node: &Arc<Node>, plan: SegmentPlan) -> Result<Vec<u8>, SegmentError> {
    let meter = Arc::new(Meter::default());
    let links = fetch::links(node, plan.blocks()).await?;
    let mut assembly = Assembly::new(plan)?;
    let batches: Vec<_> = fetch::blocks(node, &meter, links).try_collect().await?;
    batches
        .into_iter()
        .flatten()
        .try_for_each(|block| assembly.push(block))?;
    Ok(assembly.finish()?.ok_or(SegmentError::NotFull)?.bytes)
}

async fn connect(url: &str) -> Arc<Node> {
    Arc::new(Node::connect(url, 4).await.unwrap().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_come_out_the_same_from_every_kind_of_node() {
    let chain = Chain::start().await;
    let node = connect(&chain.url()).await;
    let mut headers = HeaderChain::default();
    let history_size = HistorySize::from_segments(u64::from(SEGMENTS)).unwrap();
    headers.extend(&node, history_size).await.unwrap();
    let plan = |segment: u16| SegmentPlan::of(&headers, SegmentIndex::new(u64::from(segment))).unwrap();

    // Each by itself, against what the node archived block after block.
    let pool = rayon::ThreadPoolBuilder::new().build().unwrap();
    let erasure_coding = ErasureCoding::new(8.try_into().unwrap()).unwrap();
    let mut sound = Vec::new();
    for segment in 0..SEGMENTS {
        let archived = chain.archived(segment);
        let pieces: Vec<_> = (0..NUM_PIECES_IN_SEGMENT as u32)
            .map(|position| Some(archived.piece(position).unwrap()))
            .collect();
        let raw = raw_segment(&node, plan(segment)).await.unwrap();
        assert!(
            raw == reconstruct_segment(&pieces, &erasure_coding, &pool)
                .unwrap()
                .encode(),
            "segment {segment}"
        );
        sound.push(raw);
    }

    // Habits: nothing changes in what comes out.
    for (url, fault) in [
        (chain.url(), Some("no-batches")),
        // A full block is eight megabytes of text.
        (chain.url(), Some("reply-limit=9000000")),
        (chain.url().replace("http:", "ws:"), None),
    ] {
        chain.heal();
        if let Some(fault) = fault {
            chain.fault(fault);
        }
        let node = connect(&url).await;
        assert!(
            raw_segment(&node, plan(2)).await.unwrap() == sound[2],
            "{url} {fault:?}"
        );
    }
    chain.heal();
    // Sockets that break on the way.
    for url in [chain.url(), chain.url().replace("http:", "ws:")] {
        let node = connect(&url).await;
        let (raw, ()) = tokio::join!(raw_segment(&node, plan(1)), async {
            tokio::task::yield_now().await;
            chain.node.controls.close_sockets();
        });
        assert!(raw.unwrap() == sound[1], "{url}");
    }

    // Lies and losses.
    let inside = *plan(2).blocks().end() - 3;
    for (fault, reason) in [
        (
            format!("wrong-parent={inside}"),
            "does not have the hash of the block",
        ),
        (
            format!("lost-justification={inside}"),
            "no proof-of-time justification",
        ),
        (format!("pruned-blocks={inside}-{inside}"), "does not have block"),
    ] {
        chain.heal();
        chain.fault(&fault);
        let error = raw_segment(&node, plan(2)).await.unwrap_err().to_string();
        assert!(
            error.contains(reason) && error.contains(&inside.to_string()),
            "{fault}: {error}"
        );
    }
    chain.heal();
    chain.fault("reply-limit=5000000");
    let error = raw_segment(&node, plan(2)).await.unwrap_err().to_string();
    assert!(error.contains("-32008"), "{error}");
    chain.heal();
    // A header that lies breaks the chain of headers, wherever it is not the last.
    chain.fault("corrupt-header=1");
    let error = HeaderChain::default()
        .extend(&node, history_size)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("header of segment 2 does not continue"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_other_than_its_header_says_is_never_written() {
    let chain = Chain::start().await;
    chain.fault("corrupt-header=2");
    let kept = chain.directory.path().join("kept");
    let (code, output) = chain
        .exporter(&["--from-segment", "2", "--keep-failed", kept.to_str().unwrap()])
        .end()
        .await;
    assert!(
        code == 1
            && output.contains("segment 2 failed: the blocks of the node make another segment")
            && output.contains("the same blocks came twice"),
        "{code} {output}"
    );
    assert!(!chain.file(2).exists());
    assert_eq!(
        std::fs::metadata(kept.join("segment-0000000002.raw"))
            .unwrap()
            .len(),
        130_023_424
    );
}
