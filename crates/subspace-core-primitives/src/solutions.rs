//! Solutions, their distance from a challenge, and solution ranges.

mod params;

pub use params::{PieceCheckParams, VerifySolutionParams};

use crate::chain::{BlockForkWeight, BlockNumber, PublicKey, SlotNumber};
use crate::hashes::{Blake3Hash, blake3_hash_with_key};
use crate::pieces::{
    ChunkWitness, NUM_CHUNKS, NUM_S_BUCKETS, PieceOffset, RecordCommitment, RecordWitness, ScalarBytes,
};
use crate::pos::PosProof;
use crate::sectors::{SectorId, SectorIndex, SectorSlotChallenge};
use crate::segments::HistorySize;
use parity_scale_codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Width of the range in which solutions win; exceeds 53 bits, so it must never pass through a double.
pub type SolutionRange = u64;

/// Signing context of reward signatures (blocks and votes).
pub const REWARD_SIGNING_CONTEXT: &[u8] = b"subspace_reward";

byte_array!(
    /// sr25519 signature of a block or vote hash in the context [`REWARD_SIGNING_CONTEXT`].
    RewardSignature,
    64
);
byte_array_hex_serde!(RewardSignature);

/// Proof that a farmer stores a chunk close enough to the challenge of a slot.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Solution {
    /// Public key of the farmer.
    pub public_key: PublicKey,
    /// Account that receives the reward.
    pub reward_address: PublicKey,
    /// Index of the sector.
    pub sector_index: SectorIndex,
    /// Size of the history when the sector was made.
    pub history_size: HistorySize,
    /// Offset in the sector of the piece that contains the chunk.
    pub piece_offset: PieceOffset,
    /// Commitment of the record.
    pub record_commitment: RecordCommitment,
    /// Witness that the record belongs to its segment.
    pub record_witness: RecordWitness,
    /// The chunk, decoded (without the mask of the proof of space).
    pub chunk: ScalarBytes,
    /// Witness that the chunk belongs to the record.
    pub chunk_witness: ChunkWitness,
    /// Proof of space that masks the chunk.
    pub proof_of_space: PosProof,
}

impl Solution {
    /// Size in SCALE, in bytes.
    pub const ENCODED_SIZE: usize = 412;

    /// The solution of the genesis block, which proves nothing.
    pub fn genesis_solution(public_key: PublicKey, reward_address: PublicKey) -> Self {
        Self {
            public_key,
            reward_address,
            sector_index: 0,
            history_size: HistorySize::ONE,
            piece_offset: PieceOffset::ZERO,
            record_commitment: RecordCommitment::default(),
            record_witness: RecordWitness::default(),
            chunk: ScalarBytes::default(),
            chunk_witness: ChunkWitness::default(),
            proof_of_space: PosProof::default(),
        }
    }

    /// Identity of the sector that the solution is from.
    pub fn sector_id(&self) -> SectorId {
        SectorId::new(&self.public_key.hash(), self.sector_index, self.history_size)
    }

    /// The chunk as it is stored in the sector: XOR the hash of the proof of space.
    pub fn masked_chunk(&self) -> [u8; 32] {
        let mut chunk = self.chunk.0;
        for (byte, mask) in chunk.iter_mut().zip(*self.proof_of_space.hash()) {
            *byte ^= mask;
        }
        chunk
    }
}

/// Solution range in which `pieces` pieces find one block in `1 / slot_probability` slots on average. All divisions truncate
/// and happen left to right; zeroes are taken as one and products saturate.
pub const fn pieces_to_solution_range(pieces: u64, slot_probability: (u64, u64)) -> SolutionRange {
    one_piece_range(slot_probability) / at_least_one(pieces)
}

/// Number of pieces for which a solution range fits, the reverse of [`pieces_to_solution_range`].
pub const fn solution_range_to_pieces(solution_range: SolutionRange, slot_probability: (u64, u64)) -> u64 {
    one_piece_range(slot_probability) / at_least_one(solution_range)
}

const fn one_piece_range(slot_probability: (u64, u64)) -> u64 {
    let range = (SolutionRange::MAX / at_least_one(slot_probability.1)).saturating_mul(slot_probability.0);
    (range / NUM_CHUNKS as u64).saturating_mul(NUM_S_BUCKETS as u64)
}

const fn at_least_one(number: u64) -> u64 {
    if number == 0 { 1 } else { number }
}

/// Distance of two numbers on the circle of 64-bit numbers, at most 2^63.
pub const fn bidirectional_distance(a: u64, b: u64) -> u64 {
    let forward = a.wrapping_sub(b);
    let backward = b.wrapping_sub(a);
    if forward < backward { forward } else { backward }
}

/// Distance of a chunk from the challenge of the slot. `chunk` is what is stored in the sector, that is masked.
pub fn solution_distance(
    global_challenge: &Blake3Hash,
    chunk: &[u8; 32],
    sector_slot_challenge: &SectorSlotChallenge,
) -> SolutionRange {
    let audit = blake3_hash_with_key(sector_slot_challenge, chunk);
    bidirectional_distance(first_u64(global_challenge), first_u64(&audit))
}

fn first_u64(bytes: &[u8; 32]) -> u64 {
    u64::from_le_bytes(bytes.as_chunks().0[0])
}

/// Whether a distance wins in a range: at most half of it, rounded down.
pub const fn is_within_solution_range(distance: SolutionRange, solution_range: SolutionRange) -> bool {
    distance <= solution_range / 2
}

/// Solution range of the next era, from the number of slots that the era of `era_duration` blocks took. Changes by a factor
/// of four at most.
pub fn next_solution_range(
    start_slot: SlotNumber,
    current_slot: SlotNumber,
    slot_probability: (u64, u64),
    current_solution_range: SolutionRange,
    era_duration: BlockNumber,
) -> SolutionRange {
    let era_slots = current_slot.saturating_sub(start_slot);
    // The order of these operations is a rule of consensus.
    let range = u128::from(current_solution_range)
        .saturating_mul(u128::from(era_slots))
        .saturating_mul(u128::from(slot_probability.0))
        / u128::from(era_duration.max(1))
        / u128::from(at_least_one(slot_probability.1));
    u64::try_from(range).unwrap_or(u64::MAX).clamp(
        current_solution_range / 4,
        current_solution_range.saturating_mul(4),
    )
}

/// What a block adds to the weight of its fork.
pub const fn block_fork_weight(solution_range: SolutionRange) -> BlockForkWeight {
    (SolutionRange::MAX - solution_range) as BlockForkWeight
}
