//! How a development node is set up.

use crate::error::DevNodeError;
use crate::faults::Fault;
use crate::parameters::ChainParameters;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use subspace_kzg::reference_string::ReferenceString;
use subspace_proof_of_space::ProofOfSpaceKind;

/// Which calls the RPC allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum RpcMethods {
    /// Unsafe methods when listening on loopback only
    #[default]
    Auto,
    /// No unsafe methods
    Safe,
    /// All methods
    Unsafe,
}

/// When slots come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotPace {
    /// Every slot duration.
    Timer,
    /// When a driver in the same process steps them.
    Manual,
}

/// A development node.
#[derive(Debug, Clone)]
pub struct DevNodeConfig {
    /// Directory of the chain.
    pub base_path: PathBuf,
    /// Directory of cached segments, `None` for no cache.
    pub cache_path: Option<PathBuf>,
    /// Address of the RPC; port 0 takes a free one.
    pub rpc_listen_on: SocketAddr,
    /// Which calls the RPC allows.
    pub rpc_methods: RpcMethods,
    /// Whether `subspace_piece` answers as an official node does, instead of every index.
    pub official_pieces: bool,
    /// Consensus parameters.
    pub parameters: ChainParameters,
    /// Proof of space; becomes part of the parameters.
    pub proof_of_space: ProofOfSpaceKind,
    /// KZG parameters, `None` for the insecure development ones; their kind becomes part of the consensus parameters.
    pub reference_string: Option<ReferenceString>,
    /// Length of a slot.
    pub slot_duration: Duration,
    /// When slots come.
    pub slot_pace: SlotPace,
    /// Bytes of data in each block.
    pub bytes_per_block: usize,
    /// File whose bytes go into the blocks first.
    pub data: Option<PathBuf>,
    /// Faults from the start.
    pub faults: Vec<Fault>,
    /// Threads for archiving, `None` for all cores.
    pub threads: Option<usize>,
    /// Node to follow instead of having a chain of one's own; consensus parameters, proof of space and length of a slot are then those of
    /// its chain, and blocks get no data here.
    pub follow: Option<FollowConfig>,
}

/// How another node is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowConfig {
    /// Its address.
    pub url: String,
    /// How much later than that node this one is.
    pub delay: Duration,
}

impl DevNodeConfig {
    /// Everything as on the public chain where it can be, in this directory.
    pub fn new(base_path: impl Into<PathBuf>) -> Self {
        Self {
            base_path: base_path.into(),
            cache_path: None,
            rpc_listen_on: SocketAddr::from(([127, 0, 0, 1], 9944)),
            rpc_methods: RpcMethods::Auto,
            official_pieces: false,
            parameters: ChainParameters::default(),
            proof_of_space: ProofOfSpaceKind::Chia,
            reference_string: None,
            slot_duration: Duration::from_secs(1),
            slot_pace: SlotPace::Timer,
            bytes_per_block: 0,
            data: None,
            faults: Vec::new(),
            threads: None,
            follow: None,
        }
    }

    /// Checks and completes the consensus parameters.
    pub(crate) fn chain_parameters(&self) -> Result<ChainParameters, DevNodeError> {
        let kzg = match &self.reference_string {
            Some(reference_string) => reference_string.kind().to_string(),
            None => subspace_kzg::reference_string::ReferenceStringKind::InsecureDevelopment.to_string(),
        };
        let parameters = ChainParameters {
            proof_of_space: self.proof_of_space.to_string(),
            kzg,
            ..self.parameters.clone()
        };
        parameters.check()?;
        if self.slot_duration.is_zero() && self.slot_pace == SlotPace::Timer {
            return Err(DevNodeError::Configuration(
                "the slot duration must be above 0".to_string(),
            ));
        }
        Ok(parameters)
    }

    pub(crate) fn unsafe_allowed(&self) -> bool {
        match self.rpc_methods {
            RpcMethods::Auto => self.rpc_listen_on.ip().is_loopback(),
            RpcMethods::Safe => false,
            RpcMethods::Unsafe => true,
        }
    }
}
