//! The chain of segment headers, read from the node and checked link by link.

use crate::error::ExportError;
use crate::node::Node;
use autonomys_node_rpc::limits::MAX_SEGMENT_HEADERS_PER_REQUEST;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, HistorySize, LastArchivedBlock, SegmentHeader, SegmentIndex,
};

/// Headers from segment 0 on, each the successor of the one before. A few hundred bytes each.
#[derive(Debug, Default)]
pub struct HeaderChain(Vec<SegmentHeader>);

impl HeaderChain {
    /// All headers so far.
    pub fn as_slice(&self) -> &[SegmentHeader] {
        &self.0
    }

    /// Number of headers.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what the node has beyond the headers known.
    ///
    /// # Errors
    /// When the node does not answer, or its headers are no chain.
    pub async fn extend(&mut self, node: &Node, history_size: HistorySize) -> Result<(), ExportError> {
        while self.len() < history_size.get() {
            let end = history_size
                .get()
                .min(self.len() + MAX_SEGMENT_HEADERS_PER_REQUEST as u64);
            let indexes: Vec<_> = (self.len()..end).map(SegmentIndex::new).collect();
            let headers = node.segment_headers(&indexes).await?;
            if headers.len() != indexes.len() {
                return Err(ExportError::Unsuitable(format!(
                    "it answered with {} segment headers when asked for {}",
                    headers.len(),
                    indexes.len()
                )));
            }
            for (index, header) in indexes.into_iter().zip(headers) {
                let Some(header) = header else {
                    // The last one may be on its way.
                    if index.get() + 1 == history_size.get() && !self.is_empty() {
                        return Ok(());
                    }
                    return Err(ExportError::Unsuitable(format!(
                        "it has no header of segment {index}"
                    )));
                };
                self.push(index, header)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, index: SegmentIndex, header: SegmentHeader) -> Result<(), ExportError> {
        let broken = |reason: &str| {
            ExportError::Unsuitable(format!(
                "its header of segment {index} does not continue the chain of headers: {reason}"
            ))
        };
        if header.segment_index() != index {
            return Err(broken("it is that of another segment"));
        }
        let before = self.0.last();
        if header.prev_segment_header_hash() != before.map_or(Blake3Hash::default(), SegmentHeader::hash) {
            return Err(broken("it names another header before it"));
        }
        if before.is_some_and(|before| !advances(before.last_archived_block(), header.last_archived_block()))
        {
            return Err(broken("it ends before the one before it"));
        }
        self.0.push(header);
        Ok(())
    }
}

/// Whether a segment that ends at `next` may follow one that ends at `last`.
fn advances(last: LastArchivedBlock, next: LastArchivedBlock) -> bool {
    if last.number != next.number {
        return last.number < next.number;
    }
    match (last.archived_progress, next.archived_progress) {
        (ArchivedBlockProgress::Partial(last), ArchivedBlockProgress::Partial(next)) => last < next,
        (ArchivedBlockProgress::Partial(_), ArchivedBlockProgress::Complete) => true,
        (ArchivedBlockProgress::Complete, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::segments::SegmentCommitment;

    fn header(
        index: u64,
        before: Option<&SegmentHeader>,
        last_archived_block: LastArchivedBlock,
    ) -> SegmentHeader {
        SegmentHeader::V0 {
            segment_index: SegmentIndex::new(index),
            segment_commitment: SegmentCommitment::default(),
            prev_segment_header_hash: before.map(SegmentHeader::hash).unwrap_or_default(),
            last_archived_block,
        }
    }

    fn partial(number: u32, bytes: u32) -> LastArchivedBlock {
        LastArchivedBlock {
            number,
            archived_progress: ArchivedBlockProgress::Partial(bytes),
        }
    }

    fn complete(number: u32) -> LastArchivedBlock {
        LastArchivedBlock {
            number,
            archived_progress: ArchivedBlockProgress::Complete,
        }
    }

    #[test]
    fn only_a_chain_is_taken() {
        let first = header(0, None, partial(0, 9));
        let mut chain = HeaderChain::default();
        chain.push(SegmentIndex::ZERO, first).unwrap();
        let good = header(1, Some(&first), partial(0, 10));
        for (wrong, reason) in [
            (header(2, Some(&first), complete(4)), "another segment"),
            (header(1, None, complete(4)), "another header before it"),
            (header(1, Some(&good), complete(4)), "another header before it"),
            (header(1, Some(&first), partial(0, 9)), "ends before"),
        ] {
            let error = chain.push(SegmentIndex::ONE, wrong).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        chain.push(SegmentIndex::ONE, good).unwrap();
        assert_eq!(chain.len(), 2);
        assert!(advances(partial(0, 10), complete(0)) && !advances(complete(1), partial(1, 5)));
    }
}
