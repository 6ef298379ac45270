//! The bytes of a block as they enter the archive: header, extrinsics and filtered justifications.
//!
//! Rules: `docs/protocol/archiving.md`, section "Encoding of a block".

mod genesis;
mod justifications;

#[cfg(test)]
mod tests;

pub use genesis::encode_genesis_block;
pub use justifications::{
    Justification, SUBSPACE_ENGINE_ID, archived_justification, is_subspace_justification,
};

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use parity_scale_codec::{Compact, Decode, Encode};
use subspace_core_primitives::BlockNumber;
use thiserror::Error;

/// Digest item kinds that carry a four-byte engine id and a byte vector: consensus, seal, pre-runtime.
const ENGINE_DIGEST_KINDS: [u8; 3] = [4, 5, 6];
/// Digest item kind with a byte vector only.
const OTHER_DIGEST_KIND: u8 = 0;
/// Digest item kind without contents.
const RUNTIME_UPDATED_DIGEST_KIND: u8 = 8;

/// Why the beginning of some bytes is not a signed block.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BlockDecodeError {
    /// The bytes end in the middle of a field or a length is out of range.
    #[error("the bytes are no signed block: {field} is cut off or malformed; fetch the block again")]
    Malformed {
        /// Which field.
        field: &'static str,
    },
    /// A digest item of a kind this chain does not have.
    #[error("the bytes are no signed block: digest item kind {kind} is unknown")]
    UnknownDigestItem {
        /// First byte of the item.
        kind: u8,
    },
}

/// Header of a block: everything that its hash covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// Hash of the parent's header.
    pub parent_hash: [u8; 32],
    /// Block number; a compact integer in the encoding.
    pub number: BlockNumber,
    /// Root of the state after the block.
    pub state_root: [u8; 32],
    /// Root of the extrinsics.
    pub extrinsics_root: [u8; 32],
    /// Digest items, each one already in its SCALE form (the seal included).
    pub digest_items: Vec<Vec<u8>>,
}

/// A block with what the node stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBlock {
    /// The sealed header.
    pub header: BlockHeader,
    /// Extrinsics, each one with its own compact length in front, exactly as the node's JSON-RPC shows it.
    pub extrinsics: Vec<Vec<u8>>,
    /// Justifications in the node's order; an empty list and a missing one mean the same.
    pub justifications: Vec<Justification>,
}

impl BlockHeader {
    /// SCALE bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut output = Vec::new();
        self.encode_to(&mut output);
        output
    }

    /// Block hash: BLAKE2b with 32 bytes of output over the SCALE bytes.
    pub fn hash(&self) -> [u8; 32] {
        Blake2b::<U32>::digest(self.encode()).into()
    }

    fn encode_to(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.parent_hash);
        Compact(self.number).encode_to(output);
        output.extend_from_slice(&self.state_root);
        output.extend_from_slice(&self.extrinsics_root);
        encode_list(&self.digest_items, output);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, BlockDecodeError> {
        let parent_hash = take_array(input, "the parent hash")?;
        let number = take_compact(input, "the block number")?;
        let state_root = take_array(input, "the state root")?;
        let extrinsics_root = take_array(input, "the extrinsics root")?;
        let count = take_compact(input, "the number of digest items")?;
        // Not reserved in advance: `count` is a claim of the input, every item takes at least one byte of it.
        let mut digest_items = Vec::new();
        for _ in 0..count {
            digest_items.push(take_digest_item(input)?);
        }
        Ok(Self {
            parent_hash,
            number,
            state_root,
            extrinsics_root,
            digest_items,
        })
    }
}

impl SignedBlock {
    /// The archived bytes of any block except genesis: justifications that the archive does not keep are left out.
    pub fn encode_for_archiving(&self) -> Vec<u8> {
        self.encode_with(archived_justification(&self.justifications))
    }

    /// The signed block with all its justifications.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(&self.justifications)
    }

    /// Whether the archive keeps a justification of this block. Consensus demands one for every block above genesis, so
    /// its absence means that the node does not have it and the block must not be archived.
    pub fn has_archived_justification(&self) -> bool {
        archived_justification(&self.justifications).is_some()
    }

    fn encode_with<'a>(&self, justifications: impl IntoIterator<Item = &'a Justification>) -> Vec<u8> {
        let mut output = Vec::new();
        self.header.encode_to(&mut output);
        encode_list(&self.extrinsics, &mut output);
        let kept: Vec<_> = justifications.into_iter().collect();
        if kept.is_empty() {
            output.push(0);
        } else {
            output.push(1);
            encode_compact_length(kept.len(), &mut output);
            for justification in kept {
                output.extend_from_slice(&justification.engine_id);
                encode_compact_length(justification.payload.len(), &mut output);
                output.extend_from_slice(&justification.payload);
            }
        }
        output
    }

    /// Reads a signed block from the front of `bytes` and returns it with the number of bytes it takes. What follows is
    /// not looked at: the archived genesis block has a random tail.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), BlockDecodeError> {
        let input = &mut &*bytes;
        let header = BlockHeader::decode_from(input)?;
        let count = take_compact(input, "the number of extrinsics")?;
        let mut extrinsics = Vec::new();
        for _ in 0..count {
            let start = *input;
            let length = take_compact(input, "the length of an extrinsic")?;
            take_slice(input, length as usize, "an extrinsic")?;
            extrinsics.push(start[..start.len() - input.len()].to_vec());
        }
        let mut justifications = Vec::new();
        match take_slice(input, 1, "the presence of justifications")? {
            [0] => {}
            [1] => {
                let count = take_compact(input, "the number of justifications")?;
                for _ in 0..count {
                    let engine_id = take_array(input, "the engine of a justification")?;
                    let length = take_compact(input, "the length of a justification")?;
                    let payload = take_slice(input, length as usize, "a justification")?.to_vec();
                    justifications.push(Justification { engine_id, payload });
                }
            }
            _ => {
                return Err(BlockDecodeError::Malformed {
                    field: "the presence of justifications",
                });
            }
        }
        Ok((
            Self {
                header,
                extrinsics,
                justifications,
            },
            bytes.len() - input.len(),
        ))
    }
}

/// Compact count, then the items as they are.
fn encode_list(items: &[Vec<u8>], output: &mut Vec<u8>) {
    encode_compact_length(items.len(), output);
    for item in items {
        output.extend_from_slice(item);
    }
}

fn encode_compact_length(length: usize, output: &mut Vec<u8>) {
    Compact(length as u64).encode_to(output);
}

fn take_slice<'a>(
    input: &mut &'a [u8],
    length: usize,
    field: &'static str,
) -> Result<&'a [u8], BlockDecodeError> {
    let (taken, rest) = input
        .split_at_checked(length)
        .ok_or(BlockDecodeError::Malformed { field })?;
    *input = rest;
    Ok(taken)
}

fn take_array<const N: usize>(input: &mut &[u8], field: &'static str) -> Result<[u8; N], BlockDecodeError> {
    take_slice(input, N, field).map(|slice| slice.try_into().expect("the slice has the requested length"))
}

fn take_compact(input: &mut &[u8], field: &'static str) -> Result<u32, BlockDecodeError> {
    Compact::<u32>::decode(input)
        .map(|Compact(value)| value)
        .map_err(|_| BlockDecodeError::Malformed { field })
}

fn take_digest_item(input: &mut &[u8]) -> Result<Vec<u8>, BlockDecodeError> {
    const FIELD: &str = "a digest item";
    let start = *input;
    let kind = take_slice(input, 1, FIELD)?[0];
    if ENGINE_DIGEST_KINDS.contains(&kind) {
        take_slice(input, 4, FIELD)?;
    } else if kind != OTHER_DIGEST_KIND && kind != RUNTIME_UPDATED_DIGEST_KIND {
        return Err(BlockDecodeError::UnknownDigestItem { kind });
    }
    if kind != RUNTIME_UPDATED_DIGEST_KIND {
        let length = take_compact(input, FIELD)?;
        take_slice(input, length as usize, FIELD)?;
    }
    Ok(start[..start.len() - input.len()].to_vec())
}
