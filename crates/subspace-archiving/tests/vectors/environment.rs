//! What the tests share: KZG tables, a thread pool, the archived segments of `archiving.json`.

use autonomys_test_support::{Node, label, mainnet_kzg_params, report_skipped, section, xof};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use subspace_archiving::{Archiver, NewArchivedSegment, Segment, SegmentItem};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::objects::{BlockObject, BlockObjectMapping, GlobalObject};
use subspace_core_primitives::pieces::Piece;
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::{Kzg, ReferenceString};

/// Tools of every test that computes.
pub(crate) struct Tools {
    pub(crate) kzg: Kzg,
    pub(crate) erasure_coding: ErasureCoding,
    pub(crate) pool: ThreadPool,
}

/// The tools, or `None` (and a note about the skipped test) without the mainnet reference string.
pub(crate) fn tools(test_name: &str) -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        let params = mainnet_kzg_params()?;
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let reference_string = ReferenceString::mainnet_from_bytes_parallel(&params, &pool).unwrap();
        let kzg = Kzg::new(reference_string).with_precomputation(&pool);
        Some(Tools {
            kzg,
            erasure_coding: ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap(),
            pool,
        })
    });
    if tools.is_none() {
        report_skipped(test_name, "the mainnet KZG parameters are not on this machine");
    }
    tools.as_ref()
}

/// What one call of `add_block` returned.
pub(crate) struct AddedBlock {
    pub(crate) number: u64,
    pub(crate) segments: usize,
    pub(crate) global_objects: Vec<GlobalObject>,
}

/// The history of `archiving.json`.
pub(crate) struct History {
    pub(crate) blocks: Vec<AddedBlock>,
    /// Segments with the number of the block that completed each.
    pub(crate) segments: Vec<(u64, NewArchivedSegment)>,
}

/// Contents of block `number` of `archiving.json`.
pub(crate) fn block_bytes(number: u64, size: usize) -> Vec<u8> {
    xof(&label(&format!("archiving/block/{number}")), size)
}

/// Sizes of the blocks of `archiving.json` by number.
pub(crate) fn block_sizes() -> Vec<usize> {
    let blocks = section("archiving.json", "blocks");
    blocks
        .root()
        .items()
        .iter()
        .map(|block| block.get("size").usize())
        .collect()
}

/// `[hash, offset]` pairs of a block.
pub(crate) fn object_mapping(objects: &Node<'_>) -> BlockObjectMapping {
    let objects = objects.items().into_iter().map(|object| {
        let [hash, offset] = &object.items()[..] else {
            panic!("an object is a pair")
        };
        BlockObject {
            hash: Blake3Hash(hash.array()),
            offset: offset.u32(),
        }
    });
    BlockObjectMapping::V0 {
        objects: objects.collect(),
    }
}

/// Archives the blocks of `archiving.json`, once.
pub(crate) fn history(tools: &Tools) -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    HISTORY.get_or_init(|| {
        let section = section("archiving.json", "blocks");
        let mut archiver = Archiver::new(tools.kzg.clone(), tools.erasure_coding);
        let mut history = History {
            blocks: Vec::new(),
            segments: Vec::new(),
        };
        for block in section.root().items() {
            let number = block.get("number").u64();
            let bytes = block_bytes(number, block.get("size").usize());
            let objects = object_mapping(&block.get("objects"));
            let outcome = archiver.add_block(bytes, objects, &tools.pool).unwrap();
            history.blocks.push(AddedBlock {
                number,
                segments: outcome.archived_segments.len(),
                global_objects: outcome.global_objects,
            });
            history.segments.extend(
                outcome
                    .archived_segments
                    .into_iter()
                    .map(|segment| (number, segment)),
            );
        }
        history
    })
}

/// Hash of all pieces of a segment one behind another.
pub(crate) fn all_pieces_hash(pieces: &[Piece]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for piece in pieces {
        hasher.update(piece.as_ref());
    }
    hasher.finalize().into()
}

/// Kind and size of every item as the vector files write them, padding as one item.
pub(crate) fn described_items(segment: &Segment) -> Vec<(&'static str, usize, [u8; 32])> {
    let describe = |item: &SegmentItem| match item {
        SegmentItem::Padding(count) => ("Padding", *count, [0; 32]),
        SegmentItem::Block(bytes) => ("Block", bytes.len(), blake3::hash(bytes).into()),
        SegmentItem::BlockStart(bytes) => ("BlockStart", bytes.len(), blake3::hash(bytes).into()),
        SegmentItem::BlockContinuation(bytes) => {
            ("BlockContinuation", bytes.len(), blake3::hash(bytes).into())
        }
        SegmentItem::ParentSegmentHeader(header) => {
            ("ParentSegmentHeader", item.encoded_size() - 1, header.hash().0)
        }
    };
    segment.items.iter().map(describe).collect()
}
