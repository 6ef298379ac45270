//! A running node: opens or creates the chain, archives what is due, and starts clock, author and RPC.

use crate::archive::archiver::{ArchivingTools, ChainArchiver};
use crate::archive::cache::SegmentCache;
use crate::archive::segment_store::SegmentStore;
use crate::chain::digest::BlockDigest;
use crate::chain::genesis::genesis_block;
use crate::chain::justification::PotJustification;
use crate::config::{DevNodeConfig, SlotPace};
use crate::consensus::author::{Author, CLAIM_QUEUE, Workshop, archive_up_to, archived_bytes};
use crate::consensus::builder::DataSource;
use crate::consensus::clock::{Clock, Pace};
use crate::consensus::judge::Judge;
use crate::consensus::pot::PotChain;
use crate::consensus::runtime::RuntimeState;
use crate::consensus::votes::VotePool;
use crate::error::DevNodeError;
use crate::faults::FaultControl;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use crate::rpc::server;
use crate::shared::{BestBlock, RpcBehaviour, Shared};
use crate::store::block_log::BlockLog;
use crate::store::directory::Directory;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::NUM_PIECES_IN_SEGMENT;
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::Kzg;
use subspace_kzg::reference_string::ReferenceString;
use subspace_proof_of_space::proof_of_space;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Handles into a running node for a driver in the same process.
#[derive(Clone)]
pub struct Controls {
    /// Faults.
    pub faults: Arc<FaultControl>,
    steps: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Controls {
    /// Lets this many slots pass when slots are stepped by hand.
    pub fn step_slots(&self, slots: usize) {
        self.steps.add_permits(slots);
    }

    /// The last slot that was handled, to be watched.
    pub fn slot(&self) -> watch::Receiver<SlotNumber> {
        self.shared.slot.subscribe()
    }

    /// Closes all RPC sockets now.
    pub fn close_sockets(&self) {
        self.shared
            .socket_generation
            .send_modify(|generation| *generation += 1);
    }

    /// The best block, to be watched.
    pub fn best_block(&self) -> watch::Receiver<BestBlock> {
        self.shared.best.subscribe()
    }
}

/// A node that runs in the background.
pub struct DevNode {
    /// Address of the RPC, with the real port.
    pub rpc_address: SocketAddr,
    /// Hash of block 0.
    pub genesis_hash: Blake3Hash,
    /// Handles.
    pub controls: Controls,
    task: JoinHandle<Result<(), DevNodeError>>,
}

impl DevNode {
    /// Starts a node and returns once its RPC answers and segment 0 exists. It stops when `cancel` is cancelled.
    ///
    /// # Errors
    /// See [`DevNodeError`].
    pub async fn start(config: DevNodeConfig, cancel: CancellationToken) -> Result<Self, DevNodeError> {
        let listener = server::bind(config.rpc_listen_on)?;
        let rpc_address = listener.local_addr().map_err(|source| DevNodeError::Listen {
            address: config.rpc_listen_on,
            source,
        })?;
        let pace = config.slot_pace;
        let slot_duration = config.slot_duration;
        let opening = tokio::task::spawn_blocking(move || open(config));
        let opened = tokio::select! {
            opened = opening => opened.map_err(|_| DevNodeError::Aborted)??,
            () = cancel.cancelled() => return Err(DevNodeError::Aborted),
        };
        let Opened {
            shared,
            author,
            pot,
            directory,
            change,
            last_slot,
        } = opened;
        let steps = Arc::new(Semaphore::new(0));
        let controls = Controls {
            faults: Arc::clone(&shared.faults),
            steps: Arc::clone(&steps),
            shared: Arc::clone(&shared),
        };
        let (claims, waiting_claims) = mpsc::channel(CLAIM_QUEUE);
        let mut clock = Clock {
            shared: Arc::clone(&shared),
            directory: Arc::new(directory),
            pot,
            change,
            claims,
            pace: Pace::Manual(steps),
            held: Vec::new(),
        };
        tokio::select! {
            caught_up = clock.catch_up(last_slot) => caught_up?,
            () = cancel.cancelled() => return Err(DevNodeError::Aborted),
        }
        if pace == SlotPace::Timer {
            clock.pace = Pace::timer(slot_duration);
        }
        let genesis_hash = Blake3Hash(shared.genesis_hash);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => Ok(()),
                result = server::serve(listener, shared) => result,
                result = clock.run() => result,
                result = author.run(waiting_claims) => result,
            }
        });
        Ok(Self {
            rpc_address,
            genesis_hash,
            controls,
            task,
        })
    }

    /// Waits until the node stopped.
    ///
    /// # Errors
    /// Why it stopped, unless it was cancelled.
    pub async fn stopped(self) -> Result<(), DevNodeError> {
        self.task.await.map_err(|_| DevNodeError::Aborted)?
    }
}

/// Runs a node until `cancel` is cancelled, and says on the log where its RPC listens.
///
/// # Errors
/// See [`DevNodeError`].
pub async fn run(config: DevNodeConfig, cancel: CancellationToken) -> Result<(), DevNodeError> {
    let node = match DevNode::start(config, cancel.clone()).await {
        Ok(node) => node,
        // Stopping a node that is still starting is no failure.
        Err(DevNodeError::Aborted) if cancel.is_cancelled() => return Ok(()),
        Err(error) => return Err(error),
    };
    tracing::info!(
        rpc = %format!("ws://{}", node.rpc_address),
        genesis_hash = %node.genesis_hash,
        "the development node is ready"
    );
    node.stopped().await
}

struct Opened {
    shared: Arc<Shared>,
    author: Author,
    pot: Arc<Mutex<PotChain>>,
    directory: Directory,
    change: watch::Receiver<Option<subspace_proof_of_time::PotParametersChange>>,
    last_slot: SlotNumber,
}

/// Everything blocking of a start: replay, archiving of what is due (the genesis segment at first).
fn open(config: DevNodeConfig) -> Result<Opened, DevNodeError> {
    let parameters = Arc::new(config.chain_parameters()?);
    let data = DataSource::new(config.bytes_per_block, config.data.as_deref())?;
    let directory = Directory::open(&config.base_path, &parameters)?;
    let tools = archiving_tools(&config)?;
    let genesis = genesis_block(&parameters.seed);
    let genesis_hash = genesis.header.hash();

    let mut state = RuntimeState::genesis(Arc::clone(&parameters))?;
    let mut log = BlockLog::open(&directory.block_log(), |log, number| {
        replay(log, number, genesis_hash, &mut state)
    })?;
    if log.next_number() == 0 {
        log.append(&genesis, 0)?;
    }
    let number = state.number;
    let head = stored(log.header(number)?, number)?;
    let parent = match number {
        0 | 1 => None,
        _ => {
            let header = stored(log.header(number - 1)?, number - 1)?;
            Some((header.hash(), slot_of(&header.digest_items, number - 1)?))
        }
    };
    let data_progress = log.data_progress(number).unwrap_or(0);
    let pot = restore_pot(&log, &state, genesis_hash, &parameters)?;

    let segments = Arc::new(SegmentStore::open(&directory.segments())?);
    let archiver = ChainArchiver::open(tools.clone(), Arc::clone(&segments), |number| {
        archived_bytes(&log, number)
    })?;
    let state = Arc::new(state);
    let shared = Arc::new(Shared::new(
        log,
        Arc::clone(&segments),
        BestBlock {
            hash: head.hash(),
            state: Arc::clone(&state),
        },
        genesis_hash,
        Arc::new(FaultControl::new(config.faults.clone())),
        RpcBehaviour {
            unsafe_allowed: config.unsafe_allowed(),
            official_pieces: config.official_pieces,
            slot_duration: config.slot_duration,
        },
    ));
    let mut workshop = Workshop {
        judge: Judge {
            kzg: tools.kzg,
            proof_of_space: proof_of_space(config.proof_of_space),
            segments,
        },
        votes: VotePool::default(),
        data,
        archiver,
    };
    archive_up_to(&mut workshop.archiver, &shared, number)?;
    let (change_sender, change) = watch::channel(state.pot_change);
    let pot = Arc::new(Mutex::new(pot));
    let mut author = Author {
        shared: Arc::clone(&shared),
        pot: Arc::clone(&pot),
        change: change_sender,
        state,
        head,
        parent,
        data_progress,
        workshop: Some(workshop),
    };
    author.prepare_history()?;
    let last_slot = directory.read_slot();
    Ok(Opened {
        shared,
        author,
        pot,
        directory,
        change,
        last_slot,
    })
}

fn archiving_tools(config: &DevNodeConfig) -> Result<ArchivingTools, DevNodeError> {
    let threads = config.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("dev-node-{index}"))
        .build()
        .map_err(|error| DevNodeError::Archiving(error.to_string()))?;
    let reference_string = match &config.reference_string {
        Some(reference_string) => reference_string.clone(),
        None => ReferenceString::insecure_development(&pool),
    };
    let shards = NonZeroUsize::new(NUM_PIECES_IN_SEGMENT.ilog2() as usize).unwrap_or(NonZeroUsize::MIN);
    let erasure_coding =
        ErasureCoding::new(shards).map_err(|error| DevNodeError::Archiving(error.to_string()))?;
    let cache = config.cache_path.as_deref().map(SegmentCache::new).transpose()?;
    Ok(ArchivingTools {
        kzg: Kzg::new(reference_string),
        erasure_coding,
        pool: Arc::new(pool),
        cache,
        history_segments: config.parameters.history_segments,
    })
}

fn stored<T>(item: Option<T>, number: u32) -> Result<T, DevNodeError> {
    item.ok_or_else(|| DevNodeError::Inconsistent {
        number,
        reason: "it is not stored".to_string(),
    })
}

fn slot_of(digest_items: &[Vec<u8>], number: u32) -> Result<SlotNumber, DevNodeError> {
    let digest = BlockDigest::from_items(digest_items).ok_or_else(|| DevNodeError::Inconsistent {
        number,
        reason: "its digest cannot be decoded".to_string(),
    })?;
    Ok(digest.pre_digest.slot)
}

/// Executes one stored header.
fn replay(
    log: &BlockLog,
    number: u32,
    genesis_hash: [u8; 32],
    state: &mut RuntimeState,
) -> Result<(), DevNodeError> {
    let inconsistent = |reason: String| DevNodeError::Inconsistent { number, reason };
    let header = stored(log.header(number)?, number)?;
    if number == 0 {
        if header.hash() != genesis_hash {
            return Err(inconsistent(
                "it is the genesis block of another chain".to_string(),
            ));
        }
        return Ok(());
    }
    if header.number != number || Some(header.parent_hash) != log.hash(number - 1) {
        return Err(inconsistent(
            "it does not continue the block before it".to_string(),
        ));
    }
    let digest = BlockDigest::from_items(&header.digest_items)
        .ok_or_else(|| inconsistent("its digest cannot be decoded".to_string()))?;
    state.replay(&digest).map_err(inconsistent)
}

/// Proofs of time from the slot of the best block on, out of the justifications of the last blocks.
fn restore_pot(
    log: &BlockLog,
    state: &RuntimeState,
    genesis_hash: [u8; 32],
    parameters: &crate::parameters::ChainParameters,
) -> Result<PotChain, DevNodeError> {
    let mut pot = PotChain::genesis(&genesis_hash, b"", parameters.pot_iterations()?);
    let mut number = state.number;
    while number > 0 {
        let block = stored(log.block(number)?, number)?;
        let slot = slot_of(&block.header.digest_items, number)?;
        let justification =
            PotJustification::find(&block.justifications).ok_or_else(|| DevNodeError::Inconsistent {
                number,
                reason: "its justification cannot be decoded".to_string(),
            })?;
        let last = slot + BLOCK_AUTHORING_DELAY;
        pot.restore(&justification, last);
        if (last + 1).saturating_sub(justification.checkpoints().len() as u64) <= state.slot + 1 {
            break;
        }
        number -= 1;
    }
    pot.forget_up_to(state.slot);
    Ok(pot)
}
