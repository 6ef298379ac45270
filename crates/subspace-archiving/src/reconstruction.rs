//! Pieces back to segments, missing pieces and blocks.
//!
//! Rules: `docs/protocol/archiving.md`, section "Reconstruction".

mod blocks;
mod pieces;
mod segment;

pub use blocks::{BlockReconstructionError, BlockReconstructor, ReconstructedBlocks};
pub use pieces::{PiecesReconstructionError, PiecesReconstructor};
pub use segment::{SegmentReconstructionError, reconstruct_raw_segment, reconstruct_segment};
