//! Reads the blocks of a segment: hashes in lists, blocks in batches, several requests in flight, blocks checked as they come.

use crate::block::BlockLink;
use crate::error::SegmentError;
use crate::node::{HASHES_PER_REQUEST, Node};
use crate::progress::Meter;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use subspace_core_primitives::BlockNumber;
use tokio_util::task::AbortOnDropHandle;

/// Requests for lists of hashes that are in flight for one segment; each answer is 70 KB.
const HASH_REQUESTS: usize = 4;
/// How often a block that is not what it should be is read: the second answer may come from another node behind the address.
const ATTEMPTS: usize = 2;

/// Number, hash and parent of each of these blocks; hashes take 32 bytes a block, 5 MB for a segment of empty blocks.
///
/// # Errors
/// When the node does not have one of them.
pub async fn links(
    node: &Node,
    numbers: RangeInclusive<BlockNumber>,
) -> Result<Vec<BlockLink>, SegmentError> {
    let (first, last) = (*numbers.start(), *numbers.end());
    // The parent of the first one as well.
    let from = first.saturating_sub(1);
    let starts = (from..=last).step_by(HASHES_PER_REQUEST);
    let lists: Vec<_> = stream::iter(starts)
        .map(|start| async move {
            let end = last.min(start.saturating_add(HASHES_PER_REQUEST as u32 - 1));
            let numbers: Vec<_> = (start..=end).collect();
            let hashes = node.block_hashes(&numbers).await?;
            let found = numbers.into_iter().zip(hashes);
            found
                .map(|(number, hash)| Ok((number, hash.ok_or(SegmentError::NoBlock(number))?)))
                .collect::<Result<Vec<_>, SegmentError>>()
        })
        .buffered(HASH_REQUESTS)
        .try_collect()
        .await?;
    let mut parent = None;
    let mut links = Vec::new();
    for (number, hash) in lists.into_iter().flatten() {
        if number >= first {
            links.push(BlockLink { number, hash, parent });
        }
        parent = Some(hash);
    }
    Ok(links)
}

/// The archived bytes of blocks, in order and checked. At most [`Node::connections`] requests are in flight or answered and not taken
/// yet: 15 MB of text each.
pub fn blocks(
    node: &Arc<Node>,
    meter: &Arc<Meter>,
    links: Vec<BlockLink>,
) -> impl Stream<Item = Result<Vec<Bytes>, SegmentError>> + use<> {
    let (node, meter) = (Arc::clone(node), Arc::clone(meter));
    let connections = node.connections();
    stream::unfold(
        (links.into_iter(), Arc::clone(&node)),
        |(mut links, node)| async {
            // Decided as late as possible, with what was learnt from the answers so far.
            let batch: Vec<_> = links.by_ref().take(node.batch_size()).collect();
            (!batch.is_empty()).then_some((batch, (links, node)))
        },
    )
    .map(move |batch| {
        // A task for each, so that text is decoded on several threads.
        let work = tokio::spawn(read_batch(Arc::clone(&node), Arc::clone(&meter), batch));
        let work = AbortOnDropHandle::new(work);
        async move { work.await? }
    })
    .buffered(connections)
}

async fn read_batch(
    node: Arc<Node>,
    meter: Arc<Meter>,
    batch: Vec<BlockLink>,
) -> Result<Vec<Bytes>, SegmentError> {
    let hashes: Vec<_> = batch.iter().map(|link| link.hash).collect();
    let mut attempt = 1;
    loop {
        let blocks = node.blocks(&hashes).await?;
        let links = batch.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let pairs = links.iter().zip(blocks);
            pairs
                .map(|(link, block)| link.archived_bytes(block.ok_or(SegmentError::NoBlock(link.number))?))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
        match checked {
            Ok(blocks) => {
                // Genesis is a few bytes on the wire and a whole segment here.
                let bytes = blocks.iter().zip(&batch).filter(|(_, link)| link.number > 0);
                meter.fetched(blocks.len(), bytes.map(|(block, _)| block.len()).sum());
                return Ok(blocks);
            }
            Err(error @ SegmentError::WrongBlock { .. }) if attempt < ATTEMPTS => {
                tracing::warn!("reading blocks again: {error}");
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
