//! Pieces of the history of `archiving.json`: archived once, then taken from the build directory by every test binary.

use autonomys_test_support::{Node, label, section, xof};
use rayon::ThreadPool;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use subspace_archiving::Archiver;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash_list};
use subspace_core_primitives::objects::BlockObjectMapping;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::SectorId;
use subspace_core_primitives::segments::{HistorySize, NUM_PIECES_IN_SEGMENT};
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::plotting::sector_piece_indexes;
use subspace_kzg::Kzg;

/// Indexes of the pieces in the sectors of `sector.json` and `sector_sparse.json`.
pub(crate) fn indexes_of_sectors() -> BTreeSet<PieceIndex> {
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

/// Indexes of the pieces that `official_farm.json` speaks of: those of its sectors and those it caches.
pub(crate) fn indexes_of_official_farm() -> BTreeSet<PieceIndex> {
    let info = section("official_farm.json", "single_disk_farm_json");
    let info = info.root().str();
    let (_, public_key) = info.split_once(r#""publicKey":""#).unwrap();
    let public_key: [u8; 32] = hex::decode(&public_key[..64]).unwrap().try_into().unwrap();
    let public_key_hash = PublicKey::from(public_key).hash();

    let parameters = section("official_farm.json", "command_parameters");
    let protocol_info = official_protocol_info(&parameters.root());
    let sectors = section("official_farm.json", "sectors");
    let mut indexes: BTreeSet<_> = sectors
        .root()
        .items()
        .iter()
        .flat_map(|sector| {
            let history_size = HistorySize::from_segments(sector.get("history_size").u64()).unwrap();
            let sector_id = SectorId::new(&public_key_hash, sector.get("sector_index").u16(), history_size);
            sector_piece_indexes(
                &sector_id,
                history_size,
                sector.get("pieces_in_sector").u16(),
                &protocol_info,
            )
        })
        .collect();
    for cached in [
        section("official_farm.json", "piece_cache_elements"),
        section("official_farm.json", "pieces_in_unplotted_tail"),
    ] {
        let elements = cached.root().items();
        indexes.extend(
            elements
                .iter()
                .map(|element| PieceIndex::new(element.get("piece_index").u64())),
        );
    }
    indexes
}

/// Protocol parameters that the official farm was plotted with.
pub(crate) fn official_protocol_info(parameters: &Node<'_>) -> FarmerProtocolInfo {
    let history_size = |node: Node<'_>| HistorySize::from_segments(node.u64()).unwrap();
    let fraction = parameters.get("recent_history_fraction").items();
    let [numerator, denominator] = &fraction[..] else {
        panic!("a fraction has two numbers")
    };
    FarmerProtocolInfo {
        history_size: history_size(parameters.get("history_size_at_plotting")),
        max_pieces_in_sector: parameters.get("max_pieces_in_sector").u16(),
        recent_segments: history_size(parameters.get("recent_segments")),
        recent_history_fraction: (history_size(numerator.clone()), history_size(denominator.clone())),
        min_sector_lifetime: history_size(parameters.get("min_sector_lifetime")),
    }
}

/// The pieces `indexes` from an earlier run; when any of them is not there, all pieces that any test needs are made with what
/// `tools` gives, and kept.
pub(crate) fn archived_pieces<'a>(
    indexes: &BTreeSet<PieceIndex>,
    tools: impl FnOnce() -> (Kzg, ErasureCoding, &'a ThreadPool),
) -> BTreeMap<PieceIndex, Piece> {
    let segments = section("archiving.json", "segments");
    let segments = segments.root().items();
    let with_hash = |&index: &PieceIndex| {
        let segment = &segments[usize::from(index.segment_index())];
        let piece = &segment.get("pieces_blake3_commitment_witness").items()[index.position() as usize];
        (index, Blake3Hash::from(piece.items()[0].array()))
    };
    let wanted = indexes.iter().map(with_hash).collect();
    load(&wanted).unwrap_or_else(|| {
        let (kzg, erasure_coding, pool) = tools();
        let all = indexes_of_sectors()
            .union(&indexes_of_official_farm())
            .chain(indexes)
            .map(with_hash)
            .collect();
        archive(&segments, &all, Archiver::new(kzg, erasure_coding), pool);
        load(&wanted).expect("all of them have just been written")
    })
}

/// Writes the wanted pieces below the build directory.
fn archive(
    segments: &[Node<'_>],
    wanted: &BTreeMap<PieceIndex, Blake3Hash>,
    mut archiver: Archiver,
    pool: &ThreadPool,
) {
    let mut segment_index = 0;
    let blocks = section("archiving.json", "blocks");
    for block in blocks.root().items() {
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
                if let Some(hash) = wanted.get(&index) {
                    let file = file_of(hash);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    // Half a file would only cost the next run its archiving again.
                    std::fs::write(file, piece).unwrap();
                }
            }
            segment_index += 1;
        }
        if segment_index == segments.len() {
            break;
        }
    }
}

/// Pieces are named after their hash, and used only when they have it.
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
