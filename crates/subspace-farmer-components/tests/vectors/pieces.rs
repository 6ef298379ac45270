//! The pieces that the sectors are made of, and the arithmetic of the network.

#[path = "../../../../tests/support/archived_pieces.rs"]
mod archived_pieces;

use archived_pieces::{archived_pieces, indexes_of_sectors};
use autonomys_test_support::{mainnet_kzg_params, report_skipped, section};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::SegmentCommitment;
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
    let segment_commitments = segments
        .root()
        .items()
        .iter()
        .map(|segment| SegmentCommitment::from(segment.get("header").get("segment_commitment").array()))
        .collect();
    let pieces = archived_pieces(&indexes_of_sectors(), || (kzg.clone(), erasure_coding, &pool));
    Some(Inputs {
        kzg,
        erasure_coding,
        pool,
        pieces,
        segment_commitments,
    })
}
