//! The development chain of a test, and what blocks say about rewards.

use autonomys_node_rpc::NodeClient;
use autonomys_node_rpc::chain_types::RpcHeader;
use parity_scale_codec::{Compact, Decode};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::solutions::Solution;

/// Digest item of a block's author: pre-runtime, engine `SUB_`.
const PRE_DIGEST_PREFIX: [u8; 5] = [6, b'S', b'U', b'B', b'_'];

/// Parameters of a development chain. The defaults are fast: trivial proofs of space, sectors of a few megabytes, short slots.
#[derive(Debug, Clone)]
pub(crate) struct DevChain {
    pub(crate) pieces_in_sector: u16,
    /// Pieces whose farmers would win one slot in two: the ranges follow from it.
    pub(crate) plotted_pieces: u64,
    pub(crate) slot_duration_ms: u64,
    /// Segments that there are from the beginning.
    pub(crate) segments: u16,
    pub(crate) proof_of_space: &'static str,
    /// Further switches of `dev-node`, such as `--fault` with its value.
    pub(crate) extra: Vec<String>,
}

impl Default for DevChain {
    fn default() -> Self {
        Self {
            pieces_in_sector: 4,
            plotted_pieces: 8,
            slot_duration_ms: 250,
            segments: 1,
            proof_of_space: "fast-test",
            extra: Vec::new(),
        }
    }
}

/// What `XDG_CACHE_HOME` is for processes of tests: archived segments are kept below it, for all tests and later runs.
pub(crate) fn cache_home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

impl DevChain {
    pub(super) fn arguments(&self, port: u16, base_path: &Path) -> Vec<OsString> {
        let cache = cache_home().join("autonomys-farmer").join("segments");
        let mut arguments: Vec<OsString> = vec![
            "dev-node".into(),
            "--base-path".into(),
            base_path.into(),
            "--cache-path".into(),
            cache.into(),
        ];
        for (switch, value) in [
            ("--rpc-listen-on", format!("127.0.0.1:{port}")),
            ("--pieces-in-sector", self.pieces_in_sector.to_string()),
            ("--initial-plotted-pieces", self.plotted_pieces.to_string()),
            ("--slot-duration-ms", self.slot_duration_ms.to_string()),
            ("--history-segments", self.segments.to_string()),
            ("--slot-probability", "1/2".to_string()),
            ("--proof-of-space", self.proof_of_space.to_string()),
        ] {
            arguments.push(switch.into());
            arguments.push(value.into());
        }
        arguments.extend(self.extra.iter().map(OsString::from));
        arguments
    }
}

/// Arguments of a node that follows the one at `leader_url`.
pub(super) fn follower_arguments(
    port: u16,
    base_path: &Path,
    leader_url: &str,
    extra: &[&str],
) -> Vec<OsString> {
    let cache = cache_home().join("autonomys-farmer").join("segments");
    let mut arguments: Vec<OsString> = vec![
        "dev-node".into(),
        "--base-path".into(),
        base_path.into(),
        "--cache-path".into(),
        cache.into(),
    ];
    for (switch, value) in [
        ("--rpc-listen-on", format!("127.0.0.1:{port}")),
        ("--follow", leader_url.to_string()),
    ] {
        arguments.push(switch.into());
        arguments.push(value.into());
    }
    arguments.extend(extra.iter().map(OsString::from));
    arguments
}

/// Number of the best block.
pub(crate) async fn best_number(node: &NodeClient) -> u32 {
    let header = node.header(None).await.unwrap();
    header.map_or(0, |header| header.number.0)
}

/// Numbers of the blocks above `after` whose reward goes to `account`.
pub(crate) async fn blocks_rewarding(node: &NodeClient, account: &[u8; 32], after: u32) -> Vec<u32> {
    let mut rewarding = Vec::new();
    for number in after + 1..=best_number(node).await {
        let Some(hash) = node.block_hash(number).await.unwrap() else {
            break;
        };
        let Some(header) = node.header(Some(hash)).await.unwrap() else {
            break;
        };
        if solution_of(&header).is_some_and(|solution| *solution.reward_address == *account) {
            rewarding.push(number);
        }
    }
    rewarding
}

/// The solution that a block was made with.
pub(crate) fn solution_of(header: &RpcHeader) -> Option<Solution> {
    let item = header
        .digest
        .logs
        .iter()
        .find(|log| log.0.starts_with(&PRE_DIGEST_PREFIX))?;
    let mut rest = &item.0[PRE_DIGEST_PREFIX.len()..];
    let Compact(_length) = Compact::<u32>::decode(&mut rest).ok()?;
    let version = u8::decode(&mut rest).ok()?;
    let _slot = SlotNumber::decode(&mut rest).ok()?;
    (version == 0).then(|| Solution::decode(&mut rest).ok()).flatten()
}
