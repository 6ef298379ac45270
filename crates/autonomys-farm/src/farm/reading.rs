//! What is read of plotted sectors: audits, the input of proofs, pieces.

use super::{Farm, SectorState};
use crate::error::FarmError;
use rayon::ThreadPool;
use std::fs::File;
use std::sync::Arc;
use subspace_core_primitives::pieces::{Piece, PieceOffset};
use subspace_core_primitives::pos::PosSeed;
use subspace_core_primitives::sectors::{SectorId, SectorIndex};
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::{
    AuditChallenge, AuditResult, PlotAudit, SectorInPlot, audit_plot,
};
use subspace_farmer_components::proving::{
    ProofInput, ProvableCandidate, provable_candidates, read_proof_input,
};
use subspace_farmer_components::read_at::ReadAt;
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{LoadedSector, SectorContentsMap};
use subspace_proof_of_space::{ProofOfSpace, ProofOfSpaceKind};

/// A sector with at least one chunk that wins and can be proved.
#[derive(Debug)]
pub struct WinningSector {
    sector: Arc<LoadedSector>,
    contents_map: SectorContentsMap,
    /// Winning chunks, nearest first; never empty.
    pub candidates: Vec<ProvableCandidate>,
}

impl WinningSector {
    /// Index of the sector in its farm.
    pub fn sector_index(&self) -> SectorIndex {
        self.sector.sector_index
    }

    /// Seed of the proof of space of a candidate's record, known before anything of the record is read.
    pub fn evaluation_seed(&self, candidate: &ProvableCandidate) -> PosSeed {
        self.sector
            .sector_id
            .derive_evaluation_seed(candidate.piece_offset)
    }
}

impl Farm {
    /// Audits every plotted sector. Sectors being written are skipped; those that cannot be read are named in the result and do
    /// not affect the others. With a pool its threads keep as many reads in flight.
    pub fn audit(&self, challenge: &AuditChallenge, pool: Option<&ThreadPool>) -> PlotAudit {
        let sectors = self.plotted_sectors();
        let sectors: Vec<_> = sectors
            .iter()
            .map(|sector| SectorInPlot {
                sector,
                start: self.sector_start(sector.sector_index),
            })
            .collect();
        let skip = |sector_index| !self.is_plotted(sector_index);
        audit_plot(self.plot.whole(), &sectors, challenge, &skip, pool)
    }

    /// Finds out which of the audit's winning chunks can be proved; `None` when none can, or when the sector was plotted again
    /// meanwhile.
    pub fn provable(&self, audit: &AuditResult) -> Result<Option<WinningSector>, FarmError> {
        let Some(sector) = self.same_sector(audit.sector_index, &audit.sector_id) else {
            return Ok(None);
        };
        let contents = self.plot.sector(sector.sector_index)?;
        let contents_map = SectorReader::new(&contents, &sector, ReadMode::SingleReads, None)
            .read_contents_map()
            .map_err(|error| proving_error(&sector, &error))?;
        let candidates = provable_candidates(audit, &contents_map);
        Ok((!candidates.is_empty()).then_some(WinningSector {
            sector,
            contents_map,
            candidates,
        }))
    }

    /// Reads what the proof of one candidate needs: the record's 32 768 chunks and its metadata.
    pub fn read_proof_input(
        &self,
        winner: &WinningSector,
        candidate: &ProvableCandidate,
        proof_of_space: ProofOfSpaceKind,
        pool: Option<&ThreadPool>,
    ) -> Result<ProofInput, FarmError> {
        let contents = self.plot.sector(winner.sector_index())?;
        self.proof_input(
            &contents,
            ReadMode::SingleReads,
            pool,
            winner,
            candidate,
            proof_of_space,
        )
    }

    /// As [`Self::read_proof_input`], the sector read through `contents`.
    pub(crate) fn proof_input<S: ReadAt + ?Sized>(
        &self,
        contents: &S,
        mode: ReadMode,
        pool: Option<&ThreadPool>,
        winner: &WinningSector,
        candidate: &ProvableCandidate,
        proof_of_space: ProofOfSpaceKind,
    ) -> Result<ProofInput, FarmError> {
        let sector = &winner.sector;
        let reader = SectorReader::new(contents, sector, mode, pool);
        read_proof_input(&reader, &winner.contents_map, candidate, proof_of_space)
            .map_err(|error| proving_error(sector, &error))
    }

    /// The file with all sectors.
    pub fn plot_file(&self) -> &File {
        self.plot.whole()
    }

    /// First byte of a sector in the plot file.
    pub fn sector_start(&self, sector_index: SectorIndex) -> u64 {
        u64::from(sector_index) * self.plot.sector_size()
    }

    /// Whether the sector is to be audited.
    pub(crate) fn is_plotted(&self, sector_index: SectorIndex) -> bool {
        matches!(self.sector_state(sector_index), Ok(SectorState::Plotted(_)))
    }

    /// Reads a piece back out of a plotted sector and compares it with the checksum taken when it was plotted.
    pub fn read_piece(
        &self,
        sector_index: SectorIndex,
        piece_offset: PieceOffset,
        proof_of_space: &dyn ProofOfSpace,
        erasure_coding: &ErasureCoding,
        pool: Option<&ThreadPool>,
    ) -> Result<Piece, FarmError> {
        let SectorState::Plotted(sector) = self.sector_state(sector_index)? else {
            return Err(FarmError::NotPlotted { sector_index });
        };
        let contents = self.plot.sector(sector_index)?;
        SectorReader::new(&contents, &sector, ReadMode::SingleReads, pool)
            .read_piece(piece_offset, proof_of_space, erasure_coding)
            .map_err(|error| FarmError::ReadingPiece {
                reason: error.to_string(),
            })
    }

    fn same_sector(&self, sector_index: SectorIndex, sector_id: &SectorId) -> Option<Arc<LoadedSector>> {
        match self.sector_state(sector_index) {
            Ok(SectorState::Plotted(sector)) if sector.sector_id == *sector_id => Some(sector),
            _ => None,
        }
    }
}

fn proving_error(sector: &LoadedSector, error: &dyn std::fmt::Display) -> FarmError {
    FarmError::Proving {
        sector_index: sector.sector_index,
        reason: error.to_string(),
    }
}
