//! Command line of a development node.

use crate::config::{DevNodeConfig, FollowConfig, RpcMethods, SlotPace};
use crate::error::DevNodeError;
use crate::faults::Fault;
use crate::parameters::ChainParameters;
use autonomys_node_rpc::url::websocket_url;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use subspace_core_primitives::solutions::pieces_to_solution_range;
use subspace_kzg::reference_string::ReferenceString;
use subspace_proof_of_space::ProofOfSpaceKind;

fn parse_ratio(text: &str) -> Result<(u64, u64), String> {
    let parse = || {
        let (numerator, denominator) = text.split_once('/')?;
        Some((numerator.trim().parse().ok()?, denominator.trim().parse().ok()?))
    };
    parse().ok_or_else(|| format!("{text:?} is not of the form NUMERATOR/DENOMINATOR"))
}

/// Options of a local development chain behind the node's JSON-RPC.
#[derive(Debug, Clone, clap::Args)]
pub struct DevNodeArgs {
    /// Directory of the chain; a chain that is there is continued
    #[arg(long, default_value = "dev-node")]
    pub base_path: PathBuf,
    /// Directory for archived segments that several chains can share [default: the user's cache directory]
    #[arg(long)]
    pub cache_path: Option<PathBuf>,
    /// Do not keep archived segments for later chains
    #[arg(long, conflicts_with = "cache_path")]
    pub no_cache: bool,
    /// Address of the JSON-RPC (HTTP and WebSocket); port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9944")]
    pub rpc_listen_on: SocketAddr,
    /// Which calls to allow; farming needs unsafe ones
    #[arg(long, value_enum, default_value = "auto")]
    pub rpc_methods: RpcMethods,
    /// Serve pieces only of the newest unacknowledged segment, as official nodes do, instead of all pieces
    #[arg(long)]
    pub official_pieces: bool,
    /// Text from which the genesis block is derived
    #[arg(long, default_value = "autonomys")]
    pub seed: String,
    /// Segments of history that the chain begins with: that of the genesis block, and those of blocks that the node makes itself
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub history_segments: u16,
    /// Pieces in a sector
    #[arg(long, default_value_t = 1000)]
    pub pieces_in_sector: u16,
    /// Segments that count as recent
    #[arg(long, default_value_t = 5)]
    pub recent_segments: u64,
    /// Fraction of a sector that is taken from recent segments
    #[arg(long, default_value = "1/10", value_parser = parse_ratio)]
    pub recent_history_fraction: (u64, u64),
    /// Segments that a sector lives at least
    #[arg(long, default_value_t = 4)]
    pub min_sector_lifetime: u64,
    /// Depth in blocks at which blocks are archived
    #[arg(long, default_value_t = 5)]
    pub confirmation_depth: u32,
    /// Blocks after which solution ranges adjust
    #[arg(long, default_value_t = 2016)]
    pub era_duration: u32,
    /// Probability that a slot has a block
    #[arg(long, default_value = "1/6", value_parser = parse_ratio)]
    pub slot_probability: (u64, u64),
    /// Solution range at genesis [default: that of one full sector]
    #[arg(long, conflicts_with = "initial_plotted_pieces")]
    pub initial_solution_range: Option<u64>,
    /// Pieces plotted at genesis, from which the solution range follows
    #[arg(long)]
    pub initial_plotted_pieces: Option<u64>,
    /// Block at which solution ranges begin to adjust and votes are taken
    #[arg(long)]
    pub adjust_from_block: Option<u32>,
    /// Blocks between injections of entropy into the proof of time
    #[arg(long, default_value_t = 50)]
    pub entropy_injection_interval: u32,
    /// Sequential encryptions of a slot's proof of time, a multiple of 16
    #[arg(long, default_value_t = 256)]
    pub pot_iterations: u32,
    /// Proof of space of the chain: chia or fast-test
    #[arg(long, default_value = "chia")]
    pub proof_of_space: ProofOfSpaceKind,
    /// Length of a slot in milliseconds
    #[arg(long, default_value_t = 1000)]
    pub slot_duration_ms: u64,
    /// Bytes of data in each block, at most 3932160; a segment takes about 130000000
    #[arg(long)]
    pub bytes_per_block: Option<usize>,
    /// File whose bytes go into the blocks before generated ones
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Fault to inject, as NAME[=VALUE][@FROM[..TO]] with slots FROM and TO; may repeat
    #[arg(long = "fault")]
    pub faults: Vec<Fault>,
    /// Be a second node of the chain of the development node at this address, which decides what is in it
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = [
            "seed", "history_segments", "pieces_in_sector", "recent_segments", "recent_history_fraction", "min_sector_lifetime",
            "confirmation_depth", "era_duration", "slot_probability", "initial_solution_range", "initial_plotted_pieces",
            "adjust_from_block", "entropy_injection_interval", "pot_iterations", "proof_of_space", "slot_duration_ms",
            "bytes_per_block", "data",
        ]
    )]
    pub follow: Option<String>,
    /// With --follow: be this many milliseconds behind that node, as on a slow network
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "follow", value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub follow_delay_ms: u64,
    /// Threads for archiving [default: all cores]
    #[arg(long)]
    pub archiving_threads: Option<usize>,
}

/// Bytes per block when a data file is given without a rate.
const DEFAULT_DATA_RATE: usize = 1024 * 1024;

impl DevNodeArgs {
    /// The configuration, with the given KZG parameters or the insecure development ones.
    ///
    /// # Errors
    /// When options contradict each other.
    pub fn into_config(
        self,
        reference_string: Option<ReferenceString>,
    ) -> Result<DevNodeConfig, DevNodeError> {
        let (numerator, denominator) = self.slot_probability;
        if numerator == 0 || denominator == 0 {
            return Err(DevNodeError::Configuration(
                "the slot probability must be above 0".to_string(),
            ));
        }
        let plotted_pieces = self
            .initial_plotted_pieces
            .unwrap_or(u64::from(self.pieces_in_sector));
        let initial_solution_range = self
            .initial_solution_range
            .unwrap_or_else(|| pieces_to_solution_range(plotted_pieces, self.slot_probability));
        let follow = match self.follow {
            Some(url) => Some(FollowConfig {
                url: websocket_url(&url).map_err(|error| DevNodeError::Configuration(error.to_string()))?,
                delay: Duration::from_millis(self.follow_delay_ms),
            }),
            None => None,
        };
        let cache_path = match self.cache_path {
            Some(path) => Some(path),
            None if self.no_cache => None,
            None => dirs::cache_dir().map(|directory| directory.join("autonomys-farmer").join("segments")),
        };
        let bytes_per_block =
            self.bytes_per_block
                .unwrap_or(if self.data.is_some() { DEFAULT_DATA_RATE } else { 0 });
        Ok(DevNodeConfig {
            base_path: self.base_path,
            cache_path,
            rpc_listen_on: self.rpc_listen_on,
            rpc_methods: self.rpc_methods,
            official_pieces: self.official_pieces,
            parameters: ChainParameters {
                seed: self.seed,
                history_segments: self.history_segments,
                max_pieces_in_sector: self.pieces_in_sector,
                recent_segments: self.recent_segments,
                recent_history_fraction: self.recent_history_fraction,
                min_sector_lifetime: self.min_sector_lifetime,
                confirmation_depth: self.confirmation_depth,
                era_duration: self.era_duration,
                slot_probability: self.slot_probability,
                initial_solution_range,
                adjustment_start: self.adjust_from_block,
                entropy_injection_interval: self.entropy_injection_interval,
                pot_iterations: self.pot_iterations,
                ..ChainParameters::default()
            },
            proof_of_space: self.proof_of_space,
            reference_string,
            slot_duration: Duration::from_millis(self.slot_duration_ms),
            slot_pace: SlotPace::Timer,
            bytes_per_block,
            data: self.data,
            faults: self.faults,
            threads: self.archiving_threads,
            follow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: DevNodeArgs,
    }

    fn parse(line: &str) -> Result<DevNodeConfig, String> {
        let words = std::iter::once("dev-node").chain(line.split_whitespace());
        let args = Command::try_parse_from(words)
            .map_err(|error| error.to_string())?
            .args;
        let config = args.into_config(None).map_err(|error| error.to_string())?;
        config.chain_parameters().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn defaults_are_those_of_the_public_chain() {
        let config = parse("").unwrap();
        assert_eq!(config.parameters, ChainParameters::default());
        assert!(config.unsafe_allowed() && config.cache_path.is_some());
        assert!(!parse("--rpc-listen-on 0.0.0.0:0").unwrap().unsafe_allowed());
        assert!(
            parse("--rpc-listen-on 0.0.0.0:0 --rpc-methods unsafe")
                .unwrap()
                .unsafe_allowed()
        );
        assert!(!parse("--rpc-methods safe").unwrap().unsafe_allowed());
    }

    #[test]
    fn switches_reach_the_configuration() {
        let config = parse(
            "--pieces-in-sector 10 --initial-plotted-pieces 20 --slot-probability 1/2 --proof-of-space fast-test \
             --data x --history-segments 3 --fault late-slots=5@3 --fault syncing --no-cache --slot-duration-ms 50",
        )
        .unwrap();
        assert_eq!(
            config.parameters.initial_solution_range,
            pieces_to_solution_range(20, (1, 2))
        );
        assert_eq!(config.parameters.history_segments, 3);
        assert_eq!(
            (config.faults.len(), config.bytes_per_block, config.cache_path),
            (2, DEFAULT_DATA_RATE, None)
        );
    }

    #[test]
    fn a_follower_takes_the_chain_from_its_leader() {
        let config =
            parse("--follow http://10.0.0.1:9944 --follow-delay-ms 300 --fault late-slots=5@3").unwrap();
        let follow = FollowConfig {
            url: "ws://10.0.0.1:9944".to_string(),
            delay: Duration::from_millis(300),
        };
        assert_eq!((config.follow, config.faults.len()), (Some(follow), 1));
        for (line, message) in [
            ("--follow ws://10.0.0.1:9944 --seed other", "--seed"),
            ("--follow ws://10.0.0.1:9944 --data x", "--data"),
            ("--follow 10.0.0.1:9944", "no scheme"),
            ("--follow-delay-ms 5", "--follow"),
            ("--follow ws://10.0.0.1:9944 --follow-delay-ms 60001", "60001"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn wrong_switches_say_what_is_wrong() {
        for (line, message) in [
            ("--fault nonsense", "is no fault"),
            ("--slot-probability 1", "NUMERATOR/DENOMINATOR"),
            ("--slot-probability 0/5", "above 0"),
            ("--slot-probability 3/4", "1/2"),
            ("--history-segments 0", "1..=32"),
            ("--pot-iterations 17", "multiple of 16"),
            ("--slot-duration-ms 0", "slot duration"),
            ("--proof-of-space other", "use \"chia\""),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(message), "{line}: {error}");
        }
    }
}
