//! Digest items of a header: pre-digest, consensus logs, seal.

use parity_scale_codec::{Compact, Decode, Encode};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::segments::{SegmentCommitment, SegmentIndex};
use subspace_core_primitives::solutions::{RewardSignature, Solution, SolutionRange};
use subspace_proof_of_time::PotParametersChange;

/// Engine id of all digest items.
pub const ENGINE_ID: [u8; 4] = *b"SUB_";
const CONSENSUS: u8 = 4;
const SEAL: u8 = 5;
const PRE_RUNTIME: u8 = 6;

/// What a block claims before it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreDigest {
    /// Slot of the block.
    pub slot: SlotNumber,
    /// The winning solution.
    pub solution: Solution,
    /// Proof of time of the slot.
    pub proof_of_time: PotOutput,
    /// Proof of time of the slot plus the authoring delay.
    pub future_proof_of_time: PotOutput,
}

impl Encode for PreDigest {
    fn encode(&self) -> Vec<u8> {
        let mut output = vec![0];
        self.slot.encode_to(&mut output);
        self.solution.encode_to(&mut output);
        output.push(0);
        self.proof_of_time.encode_to(&mut output);
        self.future_proof_of_time.encode_to(&mut output);
        output
    }
}

impl Decode for PreDigest {
    fn decode<I: parity_scale_codec::Input>(input: &mut I) -> Result<Self, parity_scale_codec::Error> {
        let version = |input: &mut I| match input.read_byte()? {
            0 => Ok(()),
            _ => Err(parity_scale_codec::Error::from("unknown version of a pre-digest")),
        };
        version(input)?;
        let slot = Decode::decode(input)?;
        let solution = Decode::decode(input)?;
        version(input)?;
        let proof_of_time = Decode::decode(input)?;
        let future_proof_of_time = Decode::decode(input)?;
        Ok(Self {
            slot,
            solution,
            proof_of_time,
            future_proof_of_time,
        })
    }
}

/// What the runtime logs while it executes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ConsensusLog {
    /// Proof-of-time iterations of a slot.
    #[codec(index = 0)]
    PotSlotIterations(u32),
    /// Solution range of this block.
    #[codec(index = 1)]
    SolutionRange(SolutionRange),
    /// Coming change of the proof of time.
    #[codec(index = 2)]
    PotParametersChange(PotParametersChange),
    /// Solution range from the next block on.
    #[codec(index = 3)]
    NextSolutionRange(SolutionRange),
    /// Commitment of a segment that entered the chain.
    #[codec(index = 4)]
    SegmentCommitment((SegmentIndex, SegmentCommitment)),
    /// Solution ranges adjust themselves from now on.
    #[codec(index = 5)]
    EnableSolutionRangeAdjustment(Option<SolutionRange>),
    /// The only key that may author blocks, `None` for everybody.
    #[codec(index = 6)]
    RootPlotPublicKey(Option<[u8; 32]>),
}

/// All digest items of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDigest {
    /// The claim.
    pub pre_digest: PreDigest,
    /// The runtime's logs in order.
    pub logs: Vec<ConsensusLog>,
    /// Signature over the header without this item.
    pub seal: Option<RewardSignature>,
}

fn item(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut output = vec![kind];
    output.extend_from_slice(&ENGINE_ID);
    Compact(payload.len() as u32).encode_to(&mut output);
    output.extend_from_slice(payload);
    output
}

/// The digest item that carries the signature of a block.
pub fn seal_item(signature: &RewardSignature) -> Vec<u8> {
    item(SEAL, &signature.encode())
}

impl BlockDigest {
    /// SCALE of each item, in the order of the chain.
    pub fn to_items(&self) -> Vec<Vec<u8>> {
        let mut items = vec![item(PRE_RUNTIME, &self.pre_digest.encode())];
        items.extend(self.logs.iter().map(|log| item(CONSENSUS, &log.encode())));
        items.extend(self.seal.iter().map(seal_item));
        items
    }

    /// Reverse of [`Self::to_items`]; `None` when an item is missing, malformed or of another engine.
    pub fn from_items(items: &[Vec<u8>]) -> Option<Self> {
        let mut pre_digest = None;
        let mut logs = Vec::new();
        let mut seal = None;
        for bytes in items {
            let input = &mut bytes.as_slice();
            let (kind, engine): (u8, [u8; 4]) = Decode::decode(input).ok()?;
            let Compact(length) = Compact::<u32>::decode(input).ok()?;
            if engine != ENGINE_ID || length as usize != input.len() {
                return None;
            }
            match kind {
                PRE_RUNTIME => pre_digest = Some(PreDigest::decode(input).ok()?),
                CONSENSUS => logs.push(ConsensusLog::decode(input).ok()?),
                SEAL => seal = Some(RewardSignature::decode(input).ok()?),
                _ => return None,
            }
            if !input.is_empty() {
                return None;
            }
        }
        Some(Self {
            pre_digest: pre_digest?,
            logs,
            seal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use subspace_core_primitives::PublicKey;
    use subspace_core_primitives::hashes::Blake3Hash;

    #[test]
    fn items_have_the_documented_bytes() {
        let range = item(
            CONSENSUS,
            &ConsensusLog::SolutionRange(6_148_914_691_236_495).encode(),
        );
        assert_eq!(hex::encode(range), "045355425f24018fe2ecc367d81500");
        let seal = seal_item(&RewardSignature([0x44; 64]));
        assert_eq!(hex::encode(&seal[..7]), "055355425f0101");
        assert_eq!(seal.len(), 71);
        let indexes = [
            ConsensusLog::PotSlotIterations(16),
            ConsensusLog::SolutionRange(1),
            ConsensusLog::PotParametersChange(PotParametersChange {
                slot: 3,
                slot_iterations: NonZeroU32::MIN,
                entropy: Blake3Hash::default(),
            }),
            ConsensusLog::NextSolutionRange(1),
            ConsensusLog::SegmentCommitment((SegmentIndex::ONE, SegmentCommitment::default())),
            ConsensusLog::EnableSolutionRangeAdjustment(None),
            ConsensusLog::RootPlotPublicKey(None),
        ];
        let lengths = [5, 9, 45, 9, 57, 2, 2];
        for (index, (log, length)) in indexes.iter().zip(lengths).enumerate() {
            let bytes = log.encode();
            assert_eq!((bytes[0], bytes.len()), (index as u8, length));
        }
    }

    #[test]
    fn a_digest_survives_its_items() {
        let solution = Solution::genesis_solution(PublicKey([1; 32]), PublicKey([2; 32]));
        let mut digest = BlockDigest {
            pre_digest: PreDigest {
                slot: 77,
                solution,
                proof_of_time: PotOutput([3; 16]),
                future_proof_of_time: PotOutput([4; 16]),
            },
            logs: vec![
                ConsensusLog::SolutionRange(u64::MAX),
                ConsensusLog::PotSlotIterations(32),
            ],
            seal: None,
        };
        let items = digest.to_items();
        assert_eq!(items[0].len(), 1 + 4 + 2 + 454);
        assert_eq!(BlockDigest::from_items(&items).as_ref(), Some(&digest));
        digest.seal = Some(RewardSignature([5; 64]));
        let mut items = digest.to_items();
        assert_eq!(BlockDigest::from_items(&items).as_ref(), Some(&digest));
        items[1].push(0);
        assert_eq!(BlockDigest::from_items(&items), None);
        assert_eq!(BlockDigest::from_items(&items[..0]), None);
    }
}
