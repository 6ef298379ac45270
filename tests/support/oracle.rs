//! What a sector has to be: made in this process by the protocol crates alone, from the pieces that the node has.
//!
//! Used by tests and by `crates/autonomys-farmer/examples/sector_oracle.rs`.

use anyhow::{Context, Result, bail, ensure};
use autonomys_farm::info::FarmInfo;
use autonomys_farm::metadata_file::MetadataFile;
use autonomys_farm::plot_file;
use autonomys_node_rpc::NodeClient;
use parity_scale_codec::Encode;
use rayon::ThreadPool;
use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::{SectorId, SectorIndex};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::plotting::{
    EncodedSector, SectorToEncode, encode_sector, sector_piece_indexes,
};
use subspace_farmer_components::sector::{SectorMetadataChecksummed, sector_size};
use subspace_proof_of_space::{ProofOfSpace, ProofOfSpaceKind, proof_of_space};

/// One sector as it stands in the files of a farm.
pub(crate) struct SectorOnDisk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) metadata: SectorMetadataChecksummed,
}

/// Reads a sector from the files of a farm, whoever uses them; `None` when its metadata has no valid record.
pub(crate) fn read_sector(directory: &Path, sector: SectorIndex) -> Result<Option<SectorOnDisk>> {
    let info = FarmInfo::load(directory)?.with_context(|| format!("{} is no farm", directory.display()))?;
    let file = MetadataFile::open(directory, 0, false)?;
    if sector >= file.header()?.plotted_sector_count {
        return Ok(None);
    }
    let Some(metadata) = file.record(sector)? else {
        return Ok(None);
    };
    let mut bytes = vec![0; sector_size(info.pieces_in_sector)];
    let path = directory.join(plot_file::FILE_NAME);
    File::open(&path)
        .and_then(|file| {
            file.read_exact_at(
                &mut bytes,
                u64::from(sector) * sector_size(info.pieces_in_sector) as u64,
            )
        })
        .with_context(|| format!("cannot read sector {sector} of {}", path.display()))?;
    Ok(Some(SectorOnDisk { bytes, metadata }))
}

/// Makes sectors anew.
pub(crate) struct Oracle {
    node: NodeClient,
    protocol_info: FarmerProtocolInfo,
    proof_of_space: Arc<dyn ProofOfSpace>,
    erasure_coding: ErasureCoding,
    pool: Arc<ThreadPool>,
    /// Pieces that were asked for so far.
    pieces: BTreeMap<PieceIndex, Piece>,
}

impl Oracle {
    /// Asks the node for the chain's parameters.
    pub(crate) async fn new(node: NodeClient) -> Result<Self> {
        let properties = node.properties().await?;
        let kind = match properties.get("proofOfSpace").and_then(|kind| kind.as_str()) {
            Some(kind) => kind.parse()?,
            None => ProofOfSpaceKind::Chia,
        };
        /// Base-two logarithm of the chunks of an extended record.
        const SCALE: NonZeroUsize = NonZeroUsize::new(16).expect("is not zero");
        Ok(Self {
            protocol_info: node.farmer_app_info().await?.protocol_info,
            node,
            proof_of_space: proof_of_space(kind),
            erasure_coding: ErasureCoding::new(SCALE).map_err(anyhow::Error::msg)?,
            pool: Arc::new(rayon::ThreadPoolBuilder::new().build()?),
            pieces: BTreeMap::new(),
        })
    }

    /// Makes the sector.
    pub(crate) async fn encode(
        &mut self,
        farm: &FarmInfo,
        sector_index: SectorIndex,
        history_size: HistorySize,
    ) -> Result<EncodedSector> {
        let public_key_hash = farm.public_key.hash();
        let sector_id = SectorId::new(&public_key_hash, sector_index, history_size);
        let indexes = sector_piece_indexes(
            &sector_id,
            history_size,
            farm.pieces_in_sector,
            &self.protocol_info,
        );
        for index in &indexes {
            if !self.pieces.contains_key(index) {
                let piece = self.node.piece(*index).await?;
                let piece = piece.with_context(|| format!("the node has no piece {index}"))?;
                self.pieces.insert(*index, piece);
            }
        }
        let sector = SectorToEncode {
            public_key_hash,
            sector_index,
            history_size,
            pieces: indexes.iter().map(|index| self.pieces[index].clone()).collect(),
        };
        let (space, erasure_coding, pool) = (
            Arc::clone(&self.proof_of_space),
            self.erasure_coding,
            Arc::clone(&self.pool),
        );
        tokio::task::spawn_blocking(move || {
            let concurrency = NonZeroUsize::new(pool.current_num_threads()).unwrap_or(NonZeroUsize::MIN);
            encode_sector(
                sector,
                &*space,
                &erasure_coding,
                &pool,
                concurrency,
                &|_records| {},
                &AtomicBool::new(false),
            )
        })
        .await?
        .map_err(Into::into)
    }

    /// Compares a plotted sector with one made here: every byte of it, and its metadata. Gives the BLAKE3 of the bytes.
    ///
    /// # Errors
    /// What differs, or why it could not be compared.
    pub(crate) async fn check(&mut self, directory: &Path, sector: SectorIndex) -> Result<blake3::Hash> {
        let farm =
            FarmInfo::load(directory)?.with_context(|| format!("{} is no farm", directory.display()))?;
        let Some(plotted) = read_sector(directory, sector)? else {
            bail!("sector {sector} of {} is not plotted", directory.display());
        };
        let made = self
            .encode(&farm, sector, plotted.metadata.0.history_size)
            .await?;
        ensure_same(&plotted, &made)
            .with_context(|| format!("sector {sector} of {}", directory.display()))?;
        Ok(blake3::hash(&plotted.bytes))
    }
}

/// Fails unless both have the same bytes and the same metadata.
fn ensure_same(plotted: &SectorOnDisk, made: &EncodedSector) -> Result<()> {
    if plotted.bytes != made.sector {
        let pairs = plotted.bytes.iter().zip(&made.sector);
        let differing: Vec<usize> = (0..)
            .zip(pairs)
            .filter(|(_, (a, b))| a != b)
            .map(|(at, _)| at)
            .collect();
        bail!(
            "{} of its {} bytes are not those of the sector that was made here, {} bytes long; the first is at {:?}",
            differing.len(),
            plotted.bytes.len(),
            made.sector.len(),
            differing.first()
        );
    }
    ensure!(
        plotted.metadata.encode() == made.metadata.encode(),
        "its metadata is not that of the sector that was made here"
    );
    Ok(())
}
