//! What the journal keeps of a solution and of a win that became none.

use crate::codec::{Message, cut};
use crate::ids::{ControllerId, InstanceId};
use crate::messages::NodeReply;
use parity_scale_codec::{Decode, Encode};
use std::fmt;
use std::str::FromStr;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::{PublicKey, SlotNumber};
use thiserror::Error;

/// Which solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct SolutionKey {
    /// Farm.
    pub public_key: PublicKey,
    /// Slot.
    pub slot: SlotNumber,
    /// Sector.
    pub sector_index: SectorIndex,
    /// Piece in the sector.
    pub piece_offset: PieceOffset,
}

impl fmt::Display for SolutionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = hex::encode(self.public_key);
        write!(
            f,
            "{key}.{}.{}.{}",
            self.slot,
            self.sector_index,
            self.piece_offset.get()
        )
    }
}

/// Not the key of a solution.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
#[error("this is no key of a solution")]
pub struct SolutionKeyError;

impl FromStr for SolutionKey {
    type Err = SolutionKeyError;

    fn from_str(text: &str) -> Result<Self, SolutionKeyError> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(SolutionKeyError);
        let mut public_key = [0; 32];
        hex::decode_to_slice(part()?, &mut public_key).map_err(|_| SolutionKeyError)?;
        let slot = part()?.parse().map_err(|_| SolutionKeyError)?;
        let sector_index = part()?.parse().map_err(|_| SolutionKeyError)?;
        let piece_offset: u16 = part()?.parse().map_err(|_| SolutionKeyError)?;
        if parts.next().is_some() {
            return Err(SolutionKeyError);
        }
        Ok(Self {
            public_key: public_key.into(),
            slot,
            sector_index,
            piece_offset: piece_offset.into(),
        })
    }
}

/// What became of a solution.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SolutionOutcome {
    /// Recorded, and not known to have ended: it may have reached the node.
    #[codec(index = 0)]
    Pending,
    /// The node took it.
    #[codec(index = 1)]
    Accepted,
    /// The node answered with an error.
    #[codec(index = 2)]
    Refused {
        /// JSON-RPC error code.
        code: i32,
        /// The node's words.
        message: String,
    },
    /// Certainly not received by any node: nobody served the request, or the controller had no node.
    #[codec(index = 3)]
    NotReceived,
    /// No answer: it may have reached the node. Final.
    #[codec(index = 4)]
    Unknown,
}

impl From<NodeReply> for SolutionOutcome {
    fn from(reply: NodeReply) -> Self {
        match reply {
            NodeReply::Accepted => Self::Accepted,
            NodeReply::Refused { code, message } => Self::Refused {
                code,
                message: cut(&message, NodeReply::MAX_MESSAGE),
            },
            NodeReply::NodeUnreachable => Self::NotReceived,
        }
    }
}

/// Who made the proof of a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ProvedBy {
    /// The plot-client itself.
    #[codec(index = 0)]
    PlotClient,
    /// This proof-server.
    #[codec(index = 1)]
    ProofServer(InstanceId),
}

/// How a solution came about. Times are milliseconds since the announcement of the slot reached the plot-client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SolutionCourse {
    /// When the announcement came, in milliseconds of Unix time on the plot-client's clock.
    pub announced_at: u64,
    /// All farms were audited.
    pub audited_ms: u32,
    /// The record's chunks were read.
    pub read_ms: u32,
    /// The proof was there.
    pub proved_ms: u32,
    /// It was about to be recorded and sent.
    pub submitted_ms: u32,
    /// Who made the proof.
    pub proved_by: ProvedBy,
}

/// A solution in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JournalRecord {
    /// Who got it.
    pub controller: ControllerId,
    /// Random number of the attempt, which tells one attempt from another one for the same controller.
    pub(super) attempt: u64,
    /// How it came about.
    pub course: SolutionCourse,
    /// Milliseconds from the announcement to the answer; none without an answer.
    pub answered_ms: Option<u32>,
    /// What became of it.
    pub outcome: SolutionOutcome,
}

impl Message for JournalRecord {
    const NAME: &'static str = "solution record";
    /// 2: with the course.
    const VERSION: u8 = 2;
    const MAX_SIZE: usize = 4 * 1024;
}

/// Why a win became no solution.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MissReason {
    /// The audit of the farm did not end in time; whether there was a win is unknown.
    #[codec(index = 0)]
    AuditTooSlow,
    /// The audit of an earlier slot was not over; whether there was a win is unknown.
    #[codec(index = 1)]
    EarlierAuditRuns,
    /// Too many earlier slots were still being farmed; whether there was a win is unknown.
    #[codec(index = 2)]
    TooManySlots,
    /// Nearer winners of the slot took all the time.
    #[codec(index = 3)]
    NoTimeLeft,
    /// The sector could not be read.
    #[codec(index = 4)]
    Unreadable(String),
    /// Nobody made the proof in time.
    #[codec(index = 5)]
    ProofTooLate,
    /// The proof cannot be made.
    #[codec(index = 6)]
    ProofFailed(String),
    /// The node did not take an earlier solution of the slot, so it takes no further one.
    #[codec(index = 7)]
    SlotClosed,
    /// It could not be recorded, so it was not sent.
    #[codec(index = 8)]
    NotRecorded(String),
}

impl MissReason {
    /// Longest explanation that is kept, in bytes.
    pub const MAX_TEXT: usize = 512;

    /// The sector could not be read, for this reason.
    pub fn unreadable(error: impl fmt::Display) -> Self {
        Self::Unreadable(cut(&error.to_string(), Self::MAX_TEXT))
    }

    /// The proof cannot be made, for this reason.
    pub fn proof_failed(error: impl fmt::Display) -> Self {
        Self::ProofFailed(cut(&error.to_string(), Self::MAX_TEXT))
    }

    /// It could not be recorded, for this reason.
    pub fn not_recorded(error: impl fmt::Display) -> Self {
        Self::NotRecorded(cut(&error.to_string(), Self::MAX_TEXT))
    }
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuditTooSlow => f.write_str("audit too slow"),
            Self::EarlierAuditRuns => f.write_str("skipped: the audit of an earlier slot was not over"),
            Self::TooManySlots => f.write_str("skipped: too many earlier slots were still being farmed"),
            Self::NoTimeLeft => f.write_str("dropped: nearer winners took all the time"),
            Self::Unreadable(error) => write!(f, "not read: {error}"),
            Self::ProofTooLate => f.write_str("proof too late"),
            Self::ProofFailed(error) => write!(f, "not proved: {error}"),
            Self::SlotClosed => f.write_str("dropped: the node had closed the slot"),
            Self::NotRecorded(error) => write!(f, "not sent: {error}"),
        }
    }
}

/// A win that became no solution, or slots that were not audited so that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MissedWin {
    /// Farm.
    pub public_key: PublicKey,
    /// Slot; the last one when this stands for several.
    pub slot: SlotNumber,
    /// Sector and piece; none when the farm was not audited.
    pub winner: Option<(SectorIndex, PieceOffset)>,
    /// How many this stands for: slots or wins of one farm that are missed for the same reason are told together, the nearest win
    /// first.
    pub count: u32,
    /// When the announcement came, in milliseconds of Unix time on the plot-client's clock.
    pub announced_at: u64,
    /// Milliseconds from the announcement to the miss.
    pub after_ms: u32,
    /// Why.
    pub reason: MissReason,
}

impl MissedWin {
    /// Key in the bucket.
    pub(super) fn key(&self) -> String {
        let farm = hex::encode(self.public_key);
        match self.winner {
            Some((sector, piece)) => format!("{farm}.{}.{sector}.{}", self.slot, piece.get()),
            None => format!("{farm}.{}", self.slot),
        }
    }
}

impl Message for MissedWin {
    const NAME: &'static str = "missed win";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 1024;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = SolutionKey {
            public_key: [0xab; 32].into(),
            slot: u64::MAX,
            sector_index: 65_534,
            piece_offset: 999.into(),
        };
        assert_eq!(key.to_string().parse(), Ok(key));
        let written = key.to_string();
        for wrong in [
            "",
            "00",
            &format!("{written}.1"),
            &written[2..],
            &written.replace("999", "70000"),
        ] {
            assert_eq!(wrong.parse::<SolutionKey>(), Err(SolutionKeyError), "{wrong}");
        }
    }

    #[test]
    fn the_longest_explanation_fits() {
        let missed = MissedWin {
            public_key: [1; 32].into(),
            slot: u64::MAX,
            winner: Some((1, 2.into())),
            count: 1,
            announced_at: u64::MAX,
            after_ms: u32::MAX,
            reason: MissReason::unreadable("é".repeat(5000)),
        };
        assert_eq!(decode::<MissedWin>(&encode(&missed).unwrap()).unwrap(), missed);
    }
}
