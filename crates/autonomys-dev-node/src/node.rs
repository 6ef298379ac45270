//! A running node: opens or creates the chain, archives what is due, and starts clock, author and RPC.

mod replay;

use crate::archive::archiver::{ArchivingTools, ChainArchiver};
use crate::archive::cache::SegmentCache;
use crate::archive::segment_store::SegmentStore;
use crate::chain::genesis::genesis_block;
use crate::config::{DevNodeConfig, FollowConfig, SlotPace};
use crate::consensus::author::{Author, ORDER_QUEUE, Order, Workshop, archive_up_to, archived_bytes};
use crate::consensus::builder::DataSource;
use crate::consensus::clock::{Clock, Pace};
use crate::consensus::judge::Judge;
use crate::consensus::runtime::RuntimeState;
use crate::consensus::votes::VotePool;
use crate::error::DevNodeError;
use crate::faults::FaultControl;
use crate::follow::{FollowState, Follower, find_leader};
use crate::parameters::ChainParameters;
use crate::rpc::server;
use crate::shared::{BestBlock, RpcBehaviour, Shared, SharedParts};
use crate::store::block_log::BlockLog;
use crate::store::directory::Directory;
use futures::FutureExt;
use parking_lot::Mutex;
use replay::{replay, restore_pot, slot_of, stored};
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
        let follow = config.follow.clone();
        let leader = match &follow {
            Some(FollowConfig { url, .. }) => tokio::select! {
                leader = find_leader(url, config.rpc_listen_on) => Some(leader?),
                () = cancel.cancelled() => return Err(DevNodeError::Aborted),
            },
            None => None,
        };
        let config = match (&follow, &leader) {
            (Some(follow), Some(leader)) => leader.adopt(&follow.url, config)?,
            _ => config,
        };
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
            mut author,
            orders,
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
        let mut clock = Clock {
            shared: Arc::clone(&shared),
            directory: Arc::new(directory),
            pot: Arc::clone(&shared.pot),
            change,
            orders: shared.orders.clone(),
            pace: Pace::Manual(steps),
            held: Vec::new(),
        };
        if follow.is_none() {
            tokio::select! {
                caught_up = clock.catch_up(last_slot) => caught_up?,
                () = cancel.cancelled() => return Err(DevNodeError::Aborted),
            }
        }
        // Until the next slot comes.
        shared.slot.send_replace(last_slot);
        if pace == SlotPace::Timer {
            clock.pace = Pace::timer(slot_duration);
        }
        let genesis_hash = Blake3Hash(shared.genesis_hash);
        let slots = match (follow, leader) {
            (Some(FollowConfig { url, delay }), Some(leader)) => {
                let (outlet, link) = Follower::outlet();
                author.outlet = Some(outlet);
                Follower::new(url, delay, clock, link).run(leader).boxed()
            }
            _ => clock.run().boxed(),
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => Ok(()),
                result = server::serve(listener, shared) => result,
                result = slots => result,
                result = author.run(orders) => result,
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
    orders: mpsc::Receiver<Order>,
    directory: Directory,
    change: watch::Receiver<Option<subspace_proof_of_time::PotParametersChange>>,
    last_slot: SlotNumber,
}

/// Everything blocking of a start: replay, archiving of what is due (the genesis segment at first).
fn open(config: DevNodeConfig) -> Result<Opened, DevNodeError> {
    let parameters = Arc::new(config.chain_parameters()?);
    let data = DataSource::new(config.bytes_per_block, config.data.as_deref())?;
    let directory = open_directory(&config, &parameters)?;
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
    let parent_slot = parent.map_or(0, |(_, slot)| slot);
    let pot = restore_pot(&log, &state, parent_slot, genesis_hash, &parameters)?;

    let segments = Arc::new(SegmentStore::open(&directory.segments())?);
    let archiver = ChainArchiver::open(tools.clone(), Arc::clone(&segments), |number| {
        archived_bytes(&log, number)
    })?;
    let state = Arc::new(state);
    let pot = Arc::new(Mutex::new(pot));
    let (order_sender, orders) = mpsc::channel(ORDER_QUEUE);
    let shared = Arc::new(Shared::new(SharedParts {
        log,
        segments: Arc::clone(&segments),
        best: BestBlock {
            hash: head.hash(),
            state: Arc::clone(&state),
        },
        genesis_hash,
        pot: Arc::clone(&pot),
        orders: order_sender,
        faults: Arc::new(FaultControl::new(config.faults.clone())),
        behaviour: RpcBehaviour {
            unsafe_allowed: config.unsafe_allowed(),
            official_pieces: config.official_pieces,
            slot_duration: config.slot_duration,
        },
        following: config.follow.map(|follow| FollowState::new(follow.url)),
    }));
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
    let mut author = Author {
        shared: Arc::clone(&shared),
        pot,
        change: change_sender,
        state,
        head,
        parent,
        data_progress,
        workshop: Some(workshop),
        outlet: None,
    };
    author.prepare_history()?;
    let last_slot = directory.read_slot();
    Ok(Opened {
        shared,
        author,
        orders,
        directory,
        change,
        last_slot,
    })
}

/// Opens the directory for a chain with these parameters, and says whose they are when it holds another chain.
fn open_directory(config: &DevNodeConfig, parameters: &ChainParameters) -> Result<Directory, DevNodeError> {
    let opened = Directory::open(&config.base_path, parameters);
    opened.map_err(|error| match (error, &config.follow) {
        (
            DevNodeError::OtherChain {
                path,
                name,
                stored,
                given,
            },
            Some(FollowConfig { url, .. }),
        ) => DevNodeError::Follow {
            url: url.clone(),
            reason: format!(
                "its chain has {name} {given}, but {} holds a chain with {stored}; give another --base-path, or the address of a \
                 node of that chain",
                path.display()
            ),
        },
        (error, _) => error,
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
