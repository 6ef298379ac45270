//! The sectors of the vectors, plotted once.

use crate::pieces::{Inputs, inputs};
use crate::proof_of_space::KeepingProofOfSpace;
use autonomys_test_support::{Node, section};
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::plotting::{
    EncodedSector, SectorToEncode, encode_sector, sector_piece_indexes,
};
use subspace_farmer_components::sector::LoadedSector;
use subspace_proof_of_space::{ProofOfSpace, ProofOfSpaceKind, proof_of_space};

/// The proof tables of sectors up to this size are kept for reading and proving; a limit for memory.
const KEEP_TABLES_UP_TO_PIECES: u64 = 8;
/// Minimum lifetime of all sectors of the vectors, in segments.
const MIN_SECTOR_LIFETIME: u64 = 4;

/// A sector of a vector file.
pub(crate) struct Plotted {
    pub(crate) name: String,
    pub(crate) public_key: PublicKey,
    pub(crate) protocol_info: FarmerProtocolInfo,
    pub(crate) piece_indexes: Vec<PieceIndex>,
    pub(crate) sector: LoadedSector,
    pub(crate) encoded: EncodedSector,
}

/// All sectors of `sector.json`.
pub(crate) struct AllPlotted {
    pub(crate) inputs: &'static Inputs,
    pub(crate) proof_of_space: KeepingProofOfSpace,
    pub(crate) sectors: Vec<Plotted>,
}

impl AllPlotted {
    pub(crate) fn sector(&self, name: &str) -> &Plotted {
        self.sectors
            .iter()
            .find(|sector| sector.name == name)
            .unwrap_or_else(|| panic!("no sector {name}"))
    }
}

/// The sectors, or `None` after reporting that `test` is skipped.
pub(crate) fn plotted(test: &str) -> Option<&'static AllPlotted> {
    static PLOTTED: OnceLock<AllPlotted> = OnceLock::new();
    let inputs = inputs(test)?;
    Some(PLOTTED.get_or_init(|| {
        let section = section("sector.json", "sectors");
        let keep = section
            .root()
            .items()
            .iter()
            .filter(|sector| sector.get("pieces_in_sector").u64() <= KEEP_TABLES_UP_TO_PIECES)
            .flat_map(|sector| sector.get("records").items())
            .map(|record| record.get("evaluation_seed").array())
            .collect();
        let proof_of_space = KeepingProofOfSpace::new(proof_of_space(ProofOfSpaceKind::Chia), keep);
        let sectors = section
            .root()
            .items()
            .iter()
            .map(|sector| plot(sector, inputs, &proof_of_space, 2))
            .collect();
        AllPlotted {
            inputs,
            proof_of_space,
            sectors,
        }
    }))
}

fn history_size(node: &Node<'_>) -> HistorySize {
    HistorySize::from_segments(node.u64()).unwrap()
}

/// Plots the sector from the inputs that its fields name.
pub(crate) fn plot(
    node: &Node<'_>,
    inputs: &Inputs,
    proof_of_space: &dyn ProofOfSpace,
    record_concurrency: usize,
) -> Plotted {
    let public_key = PublicKey::from(node.get("public_key").array());
    let fraction = node.get("recent_history_fraction").items();
    let protocol_info = FarmerProtocolInfo {
        history_size: history_size(&node.get("history_size")),
        max_pieces_in_sector: node.get("max_pieces_in_sector").u16(),
        recent_segments: history_size(&node.get("recent_segments")),
        recent_history_fraction: (history_size(&fraction[0]), history_size(&fraction[1])),
        min_sector_lifetime: HistorySize::from_segments(MIN_SECTOR_LIFETIME).unwrap(),
    };
    let sector_index = node.get("sector_index").u16();
    let pieces_in_sector = node.get("pieces_in_sector").u16();
    let public_key_hash = public_key.hash();
    let sector_id = subspace_core_primitives::sectors::SectorId::new(
        &public_key_hash,
        sector_index,
        protocol_info.history_size,
    );
    let piece_indexes = sector_piece_indexes(
        &sector_id,
        protocol_info.history_size,
        pieces_in_sector,
        &protocol_info,
    );
    let to_encode = SectorToEncode {
        public_key_hash,
        sector_index,
        history_size: protocol_info.history_size,
        pieces: piece_indexes
            .iter()
            .map(|index| inputs.pieces[index].clone())
            .collect(),
    };
    let done = AtomicU16::new(0);
    let encoded = encode_sector(
        to_encode,
        proof_of_space,
        &inputs.erasure_coding,
        &inputs.pool,
        NonZeroUsize::new(record_concurrency).unwrap(),
        &|records| {
            done.fetch_max(records, Ordering::Relaxed);
        },
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(done.into_inner(), pieces_in_sector);
    let sector = LoadedSector::new(&public_key_hash, encoded.metadata.0.clone());
    Plotted {
        name: node.get("name").str().to_string(),
        public_key,
        protocol_info,
        piece_indexes,
        sector,
        encoded,
    }
}
