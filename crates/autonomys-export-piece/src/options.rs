//! Options of the command line.

use autonomys_command::kzg::KzgArgs;
use clap::Args;
use std::path::PathBuf;

/// What to export, from where, to where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address of a synced full node with all blocks: http, https, ws or wss
    #[arg(long, env = "NODE_URL", value_name = "URL")]
    pub node_url: String,
    /// Directory for the pieces; what is in it already is not made again
    #[arg(long, value_name = "DIR", default_value = "full-cache-tmp")]
    pub output: PathBuf,
    /// First segment to export
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub from_segment: u64,
    /// Last segment to export [default: the newest]
    #[arg(long, value_name = "INDEX")]
    pub to_segment: Option<u64>,
    /// Segments in work at the same time; each takes up to 650 MiB of memory
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// Requests to the node at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: u16,
    /// Go on with new segments as the chain grows, until stopped
    #[arg(long)]
    pub follow: bool,
    /// Seconds between two looks for new segments
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub follow_interval: u32,
    /// Check every piece that is in the directory already, not just one of each segment
    #[arg(long)]
    pub verify: bool,
    /// Begin although the pieces do not fit the free disk space
    #[arg(long)]
    pub force_space: bool,
    /// Progress and result as JSON lines on standard output
    #[arg(long)]
    pub json: bool,
    /// Directory for the bytes of segments that turned out other than the chain says
    #[arg(long, value_name = "DIR")]
    pub keep_failed: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)] // Its help is on its own fields.
    pub kzg: KzgArgs,
}
