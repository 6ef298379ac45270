//! The pieces that the sectors are made of: archived from the blocks of `archiving.json`, or taken from an earlier run.

use autonomys_test_support::{Node, label, mainnet_kzg_params, report_skipped, section, xof};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use subspace_archiving::Archiver;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash_list};
use subspace_core_primitives::objects::BlockObjectMapping;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentCommitment};
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::{Kzg, ReferenceString};

/// What needs the mainnet reference string.
pub(crate) struct Inputs {
    pub(crate) kzg: Kzg,
    pub(crate) erasure_coding: ErasureCoding,
    pub(crate) pool: ThreadPool,
    /// Those that occur in a sector.
    pub(crate) pieces: BTreeMap<PieceIndex, Piece>,
    /// By segment index.
    pub(crate) segment_commitments: Vec<SegmentCommitment>,
}

/// The inputs, or `None` after reporting that `test` is skipped.
pub(crate) fn inputs(test: &str) -> Option<&'static Inputs> {
    static INPUTS: OnceLock<Option<Inputs>> = OnceLock::new();
    let inputs = INPUTS.get_or_init(make_inputs).as_ref();
    if inputs.is_none() {
        report_skipped(
            test,
            "the mainnet reference string is not there, see AUTONOMYS_KZG_PARAMS",
        );
    }
    inputs
}

fn make_inputs() -> Option<Inputs> {
    let parameters = mainnet_kzg_params()?;
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let kzg = Kzg::new(ReferenceString::mainnet_from_bytes_parallel(&parameters, &pool).unwrap())
        .with_precomputation(&pool);
    let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap();

    let segments = section("archiving.json", "segments");
    let segments = segments.root().items();
    let segment_commitments = segments
        .iter()
        .map(|segment| SegmentCommitment::from(segment.get("header").get("segment_commitment").array()))
        .collect();
    let wanted: BTreeMap<_, _> = wanted_indexes()
        .into_iter()
        .map(|index| {
            let segment = &segments[usize::from(index.segment_index())];
            let piece = &segment.get("pieces_blake3_commitment_witness").items()[index.position() as usize];
            (index, Blake3Hash::from(piece.items()[0].array()))
        })
        .collect();
    let pieces = load(&wanted).unwrap_or_else(|| {
        let pieces = archive(&segments, &wanted, &kzg, &erasure_coding, &pool);
        save(&pieces);
        pieces
    });
    Some(Inputs {
        kzg,
        erasure_coding,
        pool,
        pieces,
        segment_commitments,
    })
}

fn wanted_indexes() -> Vec<PieceIndex> {
    let sectors = section("sector.json", "sectors");
    let sparse = section("sector_sparse.json", "sector");
    let mut sectors = sectors.root().items();
    sectors.push(sparse.root());
    let indexes_of = |sector: &Node<'_>| -> Vec<_> {
        let records = sector.get("records").items();
        records
            .iter()
            .map(|record| PieceIndex::new(record.get("piece_index").u64()))
            .collect()
    };
    sectors.iter().flat_map(indexes_of).collect()
}

fn archive(
    segments: &[Node<'_>],
    wanted: &BTreeMap<PieceIndex, Blake3Hash>,
    kzg: &Kzg,
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
) -> BTreeMap<PieceIndex, Piece> {
    let mut archiver = Archiver::new(kzg.clone(), *erasure_coding);
    let mut pieces = BTreeMap::new();
    let mut segment_index = 0;
    let blocks = section("archiving.json", "blocks");
    for block in blocks.root().items() {
        if pieces.len() == wanted.len() {
            break;
        }
        let number = block.get("number").u64();
        let bytes = xof(
            &label(&format!("archiving/block/{number}")),
            block.get("size").usize(),
        );
        let outcome = archiver
            .add_block(bytes, BlockObjectMapping::V0 { objects: Vec::new() }, pool)
            .unwrap();
        for segment in outcome.archived_segments {
            let parts: Vec<&[u8]> = segment.pieces.iter().map(AsRef::as_ref).collect();
            let expected: [u8; 32] = segments[segment_index].get("all_pieces_blake3").array();
            assert_eq!(
                *blake3_hash_list(&parts),
                expected,
                "pieces of segment {segment_index}"
            );
            let first = segment_index * NUM_PIECES_IN_SEGMENT;
            for (index, piece) in (first as u64..).map(PieceIndex::new).zip(segment.pieces) {
                if wanted.contains_key(&index) {
                    // A copy, not a part of the whole segment.
                    pieces.insert(index, Piece::try_from(piece.as_ref()).unwrap());
                }
            }
            segment_index += 1;
        }
    }
    assert!(
        pieces.keys().eq(wanted.keys()),
        "the blocks do not give all pieces"
    );
    pieces
}

/// Pieces of earlier runs are named after their hash, and used only when they have it.
fn file_of(hash: &Blake3Hash) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("pieces")
        .join(hash.to_string())
}

fn load(wanted: &BTreeMap<PieceIndex, Blake3Hash>) -> Option<BTreeMap<PieceIndex, Piece>> {
    wanted
        .iter()
        .map(|(&index, hash)| {
            let piece = Piece::try_from(std::fs::read(file_of(hash)).ok()?).ok()?;
            (piece.hash() == *hash).then_some((index, piece))
        })
        .collect()
}

fn save(pieces: &BTreeMap<PieceIndex, Piece>) {
    for piece in pieces.values() {
        let file = file_of(&piece.hash());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // Half a file would only cost the next run its archiving again.
        std::fs::write(file, piece).unwrap();
    }
}
