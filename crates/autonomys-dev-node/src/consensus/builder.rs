//! Builds blocks: inherents, votes and data within the size limits.

use super::runtime::RuntimeState;
use crate::chain::data::{CHUNK_OVERHEAD, DataItem, filler_bytes};
use crate::chain::digest::{BlockDigest, PreDigest, seal_item};
use crate::chain::extrinsics::{Extrinsic, MAX_NORMAL_LENGTH};
use crate::chain::genesis::{blake2b_256, extrinsics_root};
use crate::chain::justification::PotJustification;
use crate::error::DevNodeError;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_archiving::encoding::{BlockHeader, SignedBlock};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::SegmentHeader;
use subspace_core_primitives::solutions::RewardSignature;
use subspace_verification::SignedVote;

/// Votes in one block at most.
pub const MAX_VOTES: usize = 64;
/// Bytes of one data extrinsic, so that a reader does not need a whole block in one piece.
const MAX_CHUNK: usize = 512 * 1024;
/// Room for compact lengths, version and call in front of a remark.
const REMARK_OVERHEAD: usize = 16;
/// Bytes per block at least when a file goes into the chain: its start and some of its bytes fit the first block.
const MIN_BYTES_PER_BLOCK: usize = 4096;
/// Longest name of a data file that goes into the chain.
const MAX_NAME: usize = 255;

/// A file whose bytes go into blocks.
#[derive(Debug)]
struct DataFile {
    path: PathBuf,
    file: File,
    name: String,
    length: u64,
    hash: Blake3Hash,
}

/// Where the bytes of blocks come from: a file first, then generated filler.
#[derive(Debug)]
pub struct DataSource {
    file: Option<DataFile>,
    bytes_per_block: usize,
}

impl DataSource {
    /// Source for `bytes_per_block` bytes a block (0: none), beginning with the file at `path` if given. Reads the file once
    /// to hash it. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read or the numbers do not fit.
    pub fn new(bytes_per_block: usize, path: Option<&Path>) -> Result<Self, DevNodeError> {
        if bytes_per_block > MAX_NORMAL_LENGTH {
            return Err(DevNodeError::Configuration(format!(
                "{bytes_per_block} bytes of data do not fit a block, the limit is {MAX_NORMAL_LENGTH}"
            )));
        }
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                bytes_per_block,
            });
        };
        if bytes_per_block < MIN_BYTES_PER_BLOCK {
            return Err(DevNodeError::Configuration(format!(
                "a data file needs at least {MIN_BYTES_PER_BLOCK} bytes per block, {bytes_per_block} were asked for"
            )));
        }
        let io = |action| DevNodeError::io(action, path);
        let file = File::open(path).map_err(io("open"))?;
        let length = file.metadata().map_err(io("inspect"))?.len();
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file).map_err(io("read"))?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = name.chars().scan(0, |size, character| {
            *size += character.len_utf8();
            (*size <= MAX_NAME).then_some(character)
        });
        let hash = hasher.finalize().into();
        let file = DataFile {
            path: path.to_path_buf(),
            name: name.collect(),
            file,
            length,
            hash,
        };
        Ok(Self {
            file: Some(file),
            bytes_per_block,
        })
    }

    /// Remarks of the next block and the data progress after it; `progress` is that of the parent, `room` the bytes that fit.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_block(&self, mut progress: u64, room: usize) -> Result<(Vec<Extrinsic>, u64), DevNodeError> {
        let mut left = self.bytes_per_block.min(room);
        let mut remarks = Vec::new();
        let file_length = self.file.as_ref().map_or(0, |file| file.length);
        if let Some(file) = &self.file
            && progress == 0
        {
            let start = DataItem::Start {
                name: file.name.clone(),
                length: file.length,
                hash: file.hash,
            };
            let start = Extrinsic::Remark(start.encode());
            left = left.saturating_sub(start.encode().len());
            remarks.push(start);
        }
        while let Some(space) = left
            .checked_sub(REMARK_OVERHEAD + CHUNK_OVERHEAD)
            .filter(|space| *space > 0)
        {
            let size = space.min(MAX_CHUNK);
            let item = match &self.file {
                Some(file) if progress < file_length => {
                    let size = size.min(usize::try_from(file_length - progress).unwrap_or(usize::MAX));
                    let mut bytes = vec![0; size];
                    file.file
                        .read_exact_at(&mut bytes, progress)
                        .map_err(DevNodeError::io("read", &file.path))?;
                    DataItem::Chunk {
                        offset: progress,
                        bytes,
                    }
                }
                _ => {
                    let offset = progress - file_length;
                    DataItem::Filler {
                        offset,
                        bytes: filler_bytes(offset, size),
                    }
                }
            };
            let (DataItem::Chunk { bytes, .. } | DataItem::Filler { bytes, .. }) = &item else {
                break;
            };
            progress += bytes.len() as u64;
            left -= REMARK_OVERHEAD + CHUNK_OVERHEAD + bytes.len();
            remarks.push(Extrinsic::Remark(item.encode()));
        }
        Ok((remarks, progress))
    }
}

/// A block without its seal.
#[derive(Debug)]
pub struct UnsealedBlock {
    header: BlockHeader,
    extrinsics: Vec<Vec<u8>>,
    justification: PotJustification,
    /// State after the block.
    pub state: RuntimeState,
    /// Data progress after the block.
    pub data_progress: u64,
}

/// What goes into a block.
pub struct BlockParts<'a> {
    /// Header of the parent.
    pub parent: &'a BlockHeader,
    /// State after the parent.
    pub parent_state: &'a RuntimeState,
    /// Claim of the slot.
    pub pre_digest: PreDigest,
    /// Checkpoints since the parent.
    pub justification: PotJustification,
    /// Segment headers that are due.
    pub segment_headers: Vec<SegmentHeader>,
    /// Votes to include.
    pub votes: Vec<SignedVote>,
    /// Data progress after the parent.
    pub data_progress: u64,
    /// Time of the block since 1970.
    pub milliseconds: u64,
}

impl UnsealedBlock {
    /// Builds a block.
    ///
    /// # Errors
    /// When the data file cannot be read.
    pub fn build(parts: BlockParts<'_>, data: &DataSource) -> Result<Self, DevNodeError> {
        let mut extrinsics = vec![Extrinsic::Timestamp(parts.milliseconds).encode()];
        if !parts.segment_headers.is_empty() {
            extrinsics.push(Extrinsic::SegmentHeaders(parts.segment_headers.clone()).encode());
        }
        extrinsics.extend(
            parts
                .votes
                .into_iter()
                .map(|vote| Extrinsic::Vote(Box::new(vote)).encode()),
        );
        let (remarks, data_progress) = data.next_block(parts.data_progress, MAX_NORMAL_LENGTH)?;
        extrinsics.extend(remarks.iter().map(Extrinsic::encode));

        let mut state = parts.parent_state.clone();
        let commitments: Vec<_> = parts
            .segment_headers
            .iter()
            .map(|header| (header.segment_index(), header.segment_commitment()))
            .collect();
        let logs = state.execute(&parts.pre_digest, &commitments);
        let extrinsics_root = extrinsics_root(&extrinsics);
        let digest = BlockDigest {
            pre_digest: parts.pre_digest,
            logs,
            seal: None,
        };
        let header = BlockHeader {
            parent_hash: parts.parent.hash(),
            number: state.number,
            state_root: blake2b_256(&[
                &parts.parent.state_root,
                &extrinsics_root,
                &state.slot.to_le_bytes(),
            ]),
            extrinsics_root,
            digest_items: digest.to_items(),
        };
        Ok(Self {
            header,
            extrinsics,
            justification: parts.justification,
            state,
            data_progress,
        })
    }

    /// What the farmer signs: the hash of the header without seal.
    pub fn pre_hash(&self) -> [u8; 32] {
        self.header.hash()
    }

    /// Adds the seal.
    pub fn seal(self, signature: &RewardSignature) -> SignedBlock {
        let mut header = self.header;
        header.digest_items.push(seal_item(signature));
        SignedBlock {
            header,
            extrinsics: self.extrinsics,
            justifications: vec![self.justification.to_justification()],
        }
    }
}

#[cfg(test)]
mod tests;
