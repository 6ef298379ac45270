//! What the clock, the author and the RPC server share.

use crate::archive::acknowledgements::Acknowledgements;
use crate::archive::segment_store::SegmentStore;
use crate::chain::json::header_to_json;
use crate::consensus::author::Order;
use crate::consensus::mailbox::Mailboxes;
use crate::consensus::pot::PotChain;
use crate::consensus::received::ReceivedSolutions;
use crate::consensus::runtime::RuntimeState;
use crate::consensus::signing::SigningDesk;
use crate::error::DevNodeError;
use crate::faults::{FaultControl, FaultKind};
use crate::follow::{FollowReport, FollowState};
use crate::parameters::{BLOCK_AUTHORING_DELAY, ChainParameters};
use crate::store::block_log::BlockLog;
use autonomys_node_rpc::chain_types::RpcHeader;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pot::PotCheckpoints;
use subspace_core_primitives::rpc::{FarmerAppInfo, FarmerProtocolInfo, SlotInfo};
use subspace_core_primitives::segments::{HistorySize, SegmentIndex};
use subspace_core_primitives::{PublicKey, SlotNumber};
use tokio::sync::{broadcast, mpsc, watch};

/// Notifications buffered for one slow subscriber; what does not fit is lost to it, as with an official node.
const NOTIFICATION_BUFFER: usize = 64;
/// Segments behind the newest at whose last archived block the chain is final.
const FINALIZATION_DEPTH: u64 = 5;

/// The best block.
#[derive(Debug, Clone)]
pub struct BestBlock {
    /// Its hash.
    pub hash: [u8; 32],
    /// State after it.
    pub state: Arc<RuntimeState>,
}

/// Behaviour of the RPC that switches decide.
#[derive(Debug, Clone, Copy)]
pub struct RpcBehaviour {
    /// Whether unsafe methods are allowed.
    pub unsafe_allowed: bool,
    /// Whether pieces are answered as an official node does, instead of all.
    pub official_pieces: bool,
    /// Nominal length of a slot.
    pub slot_duration: Duration,
}

/// Shared by all parts of the node.
pub struct Shared {
    /// Parameters of the chain.
    pub parameters: Arc<ChainParameters>,
    /// Hash of block 0.
    pub genesis_hash: [u8; 32],
    /// Block from which this run began.
    pub starting_block: u32,
    /// All blocks.
    pub log: RwLock<BlockLog>,
    /// All segments.
    pub segments: Arc<SegmentStore>,
    /// The best block as others see it.
    pub best: watch::Sender<BestBlock>,
    /// Proofs of time.
    pub pot: Arc<Mutex<PotChain>>,
    /// New proofs for nodes that follow.
    pub proofs: broadcast::Sender<(SlotNumber, PotCheckpoints)>,
    /// To the author.
    pub orders: mpsc::Sender<Order>,
    /// Solutions that wait.
    pub mailboxes: Mutex<Mailboxes>,
    /// Solutions that were submitted.
    pub received: ReceivedSolutions,
    /// The last slot that was handled.
    pub slot: watch::Sender<SlotNumber>,
    /// Slots for subscribers.
    pub slots: broadcast::Sender<SlotInfo>,
    /// Headers of new best blocks.
    pub heads: broadcast::Sender<RpcHeader>,
    /// Headers of newly finalized blocks.
    pub finalized_heads: broadcast::Sender<RpcHeader>,
    /// Reward signing.
    pub signing: SigningDesk,
    /// Subscriptions to segment headers.
    pub acknowledgements: Arc<Acknowledgements>,
    /// Injected faults.
    pub faults: Arc<FaultControl>,
    /// Key of the last solution.
    pub last_key: Mutex<Option<PublicKey>>,
    /// Counts how often all sockets were to be closed.
    pub socket_generation: watch::Sender<u64>,
    /// Switches.
    pub behaviour: RpcBehaviour,
    /// How following another node goes, `None` for a node with a chain of its own.
    pub following: Option<watch::Sender<FollowState>>,
}

/// What [`Shared`] is put together from.
pub struct SharedParts {
    /// All blocks.
    pub log: BlockLog,
    /// All segments.
    pub segments: Arc<SegmentStore>,
    /// The best block.
    pub best: BestBlock,
    /// Hash of block 0.
    pub genesis_hash: [u8; 32],
    /// Proofs of time.
    pub pot: Arc<Mutex<PotChain>>,
    /// To the author.
    pub orders: mpsc::Sender<Order>,
    /// Injected faults.
    pub faults: Arc<FaultControl>,
    /// Switches.
    pub behaviour: RpcBehaviour,
    /// State of following at first.
    pub following: Option<FollowState>,
}

impl Shared {
    /// Puts the parts together.
    pub fn new(parts: SharedParts) -> Self {
        let SharedParts {
            log,
            segments,
            best,
            genesis_hash,
            pot,
            orders,
            faults,
            behaviour,
            following,
        } = parts;
        Self {
            parameters: Arc::new(best.state.parameters().clone()),
            genesis_hash,
            starting_block: best.state.number,
            log: RwLock::new(log),
            segments,
            best: watch::Sender::new(best),
            pot,
            proofs: broadcast::Sender::new(NOTIFICATION_BUFFER),
            orders,
            mailboxes: Mutex::default(),
            received: ReceivedSolutions::default(),
            slot: watch::Sender::new(0),
            slots: broadcast::Sender::new(NOTIFICATION_BUFFER),
            heads: broadcast::Sender::new(NOTIFICATION_BUFFER),
            finalized_heads: broadcast::Sender::new(NOTIFICATION_BUFFER),
            signing: SigningDesk::default(),
            acknowledgements: Arc::default(),
            faults,
            last_key: Mutex::new(None),
            socket_generation: watch::Sender::new(0),
            behaviour,
            following: following.map(watch::Sender::new),
        }
    }

    /// How following another node goes, `None` for a node with a chain of its own.
    pub fn follow_report(&self) -> Option<FollowReport> {
        let following = self.following.as_ref()?;
        Some(following.borrow().report())
    }

    /// Whether the node says that it is syncing: because a fault says so, or because it is not where the node is that it follows.
    pub fn is_syncing(&self) -> bool {
        let following = self.following.as_ref();
        self.faults.acts(&FaultKind::Syncing)
            || following.is_some_and(|following| !following.borrow().is_up_to_date())
    }

    /// Number of segments that the node has.
    pub fn history_size(&self) -> HistorySize {
        self.segments.history_size().unwrap_or(HistorySize::ONE)
    }

    /// What farmers ask for first.
    pub fn farmer_app_info(&self) -> FarmerAppInfo {
        let parameters = &self.parameters;
        let mut genesis_hash = self.genesis_hash;
        if self.faults.acts(&FaultKind::OtherGenesis) {
            genesis_hash[0] ^= 0xff;
        }
        FarmerAppInfo {
            genesis_hash: Blake3Hash(genesis_hash),
            dsn_bootstrap_nodes: Vec::new(),
            syncing: self.is_syncing(),
            farming_timeout: self.behaviour.slot_duration * BLOCK_AUTHORING_DELAY as u32,
            protocol_info: FarmerProtocolInfo {
                history_size: self.history_size(),
                max_pieces_in_sector: parameters.max_pieces_in_sector,
                recent_segments: parameters.recent_segments(),
                recent_history_fraction: parameters.recent_history_fraction(),
                min_sector_lifetime: parameters.min_sector_lifetime(),
            },
        }
    }

    /// Number of the finalized block: the last one archived in the segment five back.
    pub fn finalized_number(&self) -> u32 {
        let last = self.history_size().segment_index();
        last.checked_sub(SegmentIndex::new(FINALIZATION_DEPTH))
            .and_then(|segment_index| self.segments.header(segment_index))
            .map_or(0, |header| header.last_archived_block().number)
    }

    /// JSON form of a header by number.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn json_header(&self, number: u32) -> Result<Option<RpcHeader>, DevNodeError> {
        Ok(self.log.read().header(number)?.as_ref().map(header_to_json))
    }
}
