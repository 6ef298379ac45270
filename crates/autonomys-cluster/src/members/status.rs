//! What each role reports about its work.

use crate::ids::Role;
use parity_scale_codec::{Decode, Encode};
use subspace_core_primitives::segments::SegmentIndex;

/// Work of an instance at the moment. One variant a role.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum RoleStatus {
    /// Of a controller.
    #[codec(index = 0)]
    Controller(ControllerStatus),
    /// Of a sharded cache.
    #[codec(index = 1)]
    ShardedCache(CacheStatus),
    /// Of a full-piece cache.
    #[codec(index = 2)]
    FullPieceShardedCache(FullPieceStatus),
    /// Of a proof-server.
    #[codec(index = 3)]
    ProofServer(ProofServerStatus),
    /// Of a plot-server.
    #[codec(index = 4)]
    PlotServer(PlotServerStatus),
    /// Of a plot-client.
    #[codec(index = 5)]
    PlotClient(PlotClientStatus),
}

impl RoleStatus {
    /// Status of an instance that has just started.
    pub fn initial(role: Role) -> Self {
        match role {
            Role::Controller => Self::Controller(ControllerStatus::default()),
            Role::ShardedCache => Self::ShardedCache(CacheStatus::default()),
            Role::FullPieceShardedCache => Self::FullPieceShardedCache(FullPieceStatus::default()),
            Role::ProofServer => Self::ProofServer(ProofServerStatus::default()),
            Role::PlotServer => Self::PlotServer(PlotServerStatus::default()),
            Role::PlotClient => Self::PlotClient(PlotClientStatus::default()),
        }
    }
}

/// A controller and its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct ControllerStatus {
    /// Nodes configured.
    pub nodes: u16,
    /// Nodes that answer.
    pub healthy_nodes: u16,
    /// The node in use is catching up with the chain.
    pub syncing: bool,
    /// Last slot announced.
    pub last_slot: u64,
    /// Segments known.
    pub segments: u64,
    /// Holds the leader's lease.
    pub leader: bool,
}

/// A sharded cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct CacheStatus {
    /// Items held.
    pub items: u64,
    /// Items its shards should hold by the current shard map.
    pub wanted_items: u64,
    /// Of these, how many are not here yet.
    pub missing_items: u64,
    /// Segments, counted from the first, whose items it has looked through: all of its share is here, or cannot be had yet.
    pub synced_segments: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Item type that the store is laid out for, and that the capacity is counted in; empty before the store is open.
    pub item_type: String,
    /// Cache epoch that it works in.
    pub epoch: u64,
    /// Newest version of the shard map whose share is here, as far as it can be had.
    pub shard_map_version: u64,
    /// Index rebuilt, and all of the share in this epoch by the newest shard map is here.
    pub ready: bool,
}

/// Consecutive segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SegmentRange {
    /// First segment.
    pub first: SegmentIndex,
    /// How many.
    pub count: u64,
}

impl SegmentRange {
    /// Whether the segment is in it.
    pub fn contains(&self, segment: SegmentIndex) -> bool {
        segment
            .get()
            .checked_sub(self.first.get())
            .is_some_and(|offset| offset < self.count)
    }
}

/// A full-piece cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct FullPieceStatus {
    /// Segments held, ascending.
    pub segments: Vec<SegmentRange>,
    /// Segments that it means to hold, ascending; of these it fetches what it lacks.
    pub assigned: Vec<SegmentRange>,
    /// Damaged pieces that have been found and not been repaired yet.
    pub damaged_pieces: u64,
    /// Cache epoch whose work is done.
    pub epoch: u64,
    /// Scanned and serving.
    pub ready: bool,
}

impl FullPieceStatus {
    /// Whether it holds the segment.
    pub fn holds(&self, segment: SegmentIndex) -> bool {
        self.segments.iter().any(|range| range.contains(segment))
    }
}

/// A proof-server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct ProofServerStatus {
    /// Proofs it makes at once.
    pub slots: u32,
    /// Proofs in the making.
    pub busy: u32,
    /// Proofs made since the start.
    pub proofs: u64,
}

/// A plot-server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct PlotServerStatus {
    /// Jobs it works on at once.
    pub slots: u32,
    /// Jobs in work.
    pub busy: u32,
    /// Finished sectors waiting to be fetched.
    pub spooled: u32,
    /// Bytes that they take on disk.
    pub spooled_bytes: u64,
    /// Sectors finished since the start.
    pub sectors: u64,
    /// Attempts that made no progress and were begun again, since the start.
    pub restarts: u64,
    /// Why no job is taken at the moment; empty when one would be.
    pub holds_back: String,
    /// What happens to the sectors in hand, the furthest first.
    pub stages: Vec<StageStatus>,
}

/// One sector on its way through a plot-server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct StageStatus {
    /// `fetch`, `encode`, `spool` or `deliver`.
    pub stage: String,
    /// The sector: beginning of its farm's public key, and its index.
    pub sector: String,
    /// How far the stage is, in pieces, records or bytes.
    pub done: u64,
    /// Where it ends.
    pub total: u64,
    /// What it waits for; empty while it works.
    pub waits_for: String,
    /// Milliseconds since it last came further.
    pub idle_ms: u64,
    /// Attempts of this job that were begun again.
    pub restarts: u32,
}

/// A plot-client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct PlotClientStatus {
    /// Farms that farm.
    pub farms: u32,
    /// Farms set aside because of errors.
    pub failed_farms: u32,
    /// Sectors on disk.
    pub sectors: u64,
    /// Sectors there should be.
    pub target_sectors: u64,
    /// Jobs it has open.
    pub jobs: u32,
    /// Jobs that were given up and wait for the operator.
    pub parked_jobs: u32,
    /// Slots audited since the start.
    pub audited_slots: u64,
    /// Solutions that a node took since the start.
    pub solutions: u64,
}

#[cfg(test)]
mod tests {
    //! Status fits its role.

    use super::*;

    #[test]
    fn holds_looks_into_ranges() {
        let range = |first: u64, count| SegmentRange {
            first: first.into(),
            count,
        };
        let status = FullPieceStatus {
            segments: vec![range(0, 3), range(10, 1)],
            ..Default::default()
        };
        let held: Vec<u64> = (0..20).filter(|&segment| status.holds(segment.into())).collect();
        assert_eq!(held, [0, 1, 2, 10]);
        let whole = FullPieceStatus {
            segments: vec![range(1, u64::MAX)],
            ..Default::default()
        };
        assert!(!whole.holds(0.into()) && whole.holds(u64::MAX.into()));
    }
}
