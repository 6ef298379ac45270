//! Extrinsics of the development chain; the archive treats them as bytes, only this node looks into them.
//!
//! Each is a compact length, then the byte `04` (version 4, no signer), pallet, call, and arguments:
//!
//! | pallet, call | arguments |
//! |---|---|
//! | `03 00` | timestamp: compact milliseconds |
//! | `06 00` | segment headers: SCALE vector |
//! | `06 01` | vote: signed vote, 553 bytes |
//! | `00 00` | remark: SCALE byte vector, see [`super::data`] |

use parity_scale_codec::{Compact, Decode, Encode};
use subspace_core_primitives::segments::SegmentHeader;
use subspace_verification::SignedVote;

const VERSION: u8 = 4;
const REMARK: [u8; 2] = [0, 0];
const TIMESTAMP: [u8; 2] = [3, 0];
const SEGMENT_HEADERS: [u8; 2] = [6, 0];
const VOTE: [u8; 2] = [6, 1];

/// Largest number of bytes of all extrinsics of a block.
pub const MAX_BLOCK_LENGTH: usize = 5 * 1024 * 1024;
/// The part of it that normal calls (here: remarks) may take.
pub const MAX_NORMAL_LENGTH: usize = MAX_BLOCK_LENGTH / 4 * 3;

/// One extrinsic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extrinsic {
    /// Wall-clock time of the block in milliseconds.
    Timestamp(u64),
    /// Headers of segments that enter the chain.
    SegmentHeaders(Vec<SegmentHeader>),
    /// A vote.
    Vote(Box<SignedVote>),
    /// Arbitrary bytes.
    Remark(Vec<u8>),
}

impl Extrinsic {
    /// SCALE with the compact length in front.
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = vec![VERSION];
        match self {
            Self::Timestamp(milliseconds) => {
                inner.extend_from_slice(&TIMESTAMP);
                Compact(*milliseconds).encode_to(&mut inner);
            }
            Self::SegmentHeaders(headers) => {
                inner.extend_from_slice(&SEGMENT_HEADERS);
                headers.encode_to(&mut inner);
            }
            Self::Vote(vote) => {
                inner.extend_from_slice(&VOTE);
                vote.encode_to(&mut inner);
            }
            Self::Remark(bytes) => {
                inner.extend_from_slice(&REMARK);
                bytes.encode_to(&mut inner);
            }
        }
        inner.encode()
    }

    /// Reverse of [`Self::encode`]; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let input = &mut &*bytes;
        let Compact(length) = Compact::<u32>::decode(input).ok()?;
        if length as usize != input.len() || u8::decode(input).ok()? != VERSION {
            return None;
        }
        let extrinsic = match <[u8; 2]>::decode(input).ok()? {
            REMARK => Self::Remark(Decode::decode(input).ok()?),
            TIMESTAMP => Self::Timestamp(Compact::<u64>::decode(input).ok()?.0),
            SEGMENT_HEADERS => Self::SegmentHeaders(Decode::decode(input).ok()?),
            VOTE => Self::Vote(Box::new(Decode::decode(input).ok()?)),
            _ => return None,
        };
        input.is_empty().then_some(extrinsic)
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::{DataItem, extract_data, filler_bytes};
    use super::super::genesis::genesis_block;
    use super::*;
    use proptest::prelude::*;
    use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};

    #[test]
    fn every_kind_survives() {
        for extrinsic in [
            Extrinsic::Timestamp(1_700_000_000_123),
            Extrinsic::SegmentHeaders(Vec::new()),
            Extrinsic::Remark(vec![7; 1000]),
        ] {
            let bytes = extrinsic.encode();
            assert_eq!(Extrinsic::decode(&bytes), Some(extrinsic));
            assert_eq!(Extrinsic::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Extrinsic::decode(&[]), None);
        assert_eq!(Extrinsic::decode(&[8, 4, 9]), None);
    }

    #[test]
    fn a_file_is_found_again() {
        let contents = filler_bytes(5, 10_000);
        assert_eq!(filler_bytes(9, 1), contents[4..5]);
        let start = DataItem::Start {
            name: "x.bin".into(),
            length: 10_000,
            hash: blake3_hash(&contents),
        };
        let chunk = |from: usize, to: usize| DataItem::Chunk {
            offset: from as u64,
            bytes: contents[from..to].to_vec(),
        };
        let block = |items: &[DataItem]| {
            let mut block = genesis_block("data");
            block.extrinsics.push(Extrinsic::Timestamp(1).encode());
            block
                .extrinsics
                .extend(items.iter().map(|item| Extrinsic::Remark(item.encode()).encode()));
            block.encode()
        };
        let filler = DataItem::Filler {
            offset: 0,
            bytes: vec![1],
        };
        let blocks = [
            block(&[]),
            block(&[start.clone(), chunk(0, 4000)]),
            block(&[chunk(4000, 10_000), filler]),
        ];
        assert_eq!(extract_data(blocks.iter().map(Vec::as_slice)).unwrap(), contents);
        let error = extract_data(blocks[..2].iter().map(Vec::as_slice)).unwrap_err();
        assert!(
            error.to_string().contains("4000 of 10000 bytes of \"x.bin\""),
            "{error}"
        );
        let error = extract_data([blocks[0].as_slice()]).unwrap_err();
        assert!(error.to_string().contains("beginning"), "{error}");
        let outside = DataItem::Chunk {
            offset: u64::MAX,
            bytes: vec![1],
        };
        let outside = block(&[start, outside]);
        assert!(
            extract_data([outside.as_slice()])
                .unwrap_err()
                .to_string()
                .contains("outside")
        );
    }

    proptest! {
        #[test]
        fn data_items_survive(name in ".{0,20}", number in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let items = [
                DataItem::Start { name, length: number, hash: Blake3Hash([9; 32]) },
                DataItem::Chunk { offset: number, bytes: bytes.clone() },
                DataItem::Filler { offset: number, bytes: bytes.clone() },
            ];
            for item in items {
                prop_assert_eq!(DataItem::decode(&item.encode()), Some(item));
            }
            let _ = DataItem::decode(&bytes);
            let _ = Extrinsic::decode(&bytes);
        }
    }
}
