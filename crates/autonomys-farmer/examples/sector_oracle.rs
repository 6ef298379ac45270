//! Compares the plotted sectors of a farm with sectors that are made here from the node's pieces by the protocol crates alone, byte for
//! byte: `cargo run --release --example sector_oracle -- --farm DIR --node-rpc-url URL`.
//!
//! Prints one JSON line a sector; the exit code is 1 when one differs, or when there is none. A sector of 1000 pieces takes 3.3 GB of
//! memory. The farm may be in use; a sector that is plotted again meanwhile differs.

#[path = "../../../tests/support/oracle.rs"]
mod oracle;

use anyhow::{Context, Result, bail};
use autonomys_farm::info::FarmInfo;
use autonomys_farm::metadata_file::MetadataFile;
use autonomys_node_rpc::{NodeClient, NodeClientConfig};
use clap::Parser;
use oracle::Oracle;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Compares plotted sectors with sectors made from the node's pieces.
#[derive(Debug, Parser)]
struct Args {
    /// Directory of the farm
    #[arg(long, value_name = "DIR")]
    farm: PathBuf,
    /// Node that has the pieces
    #[arg(long, value_name = "URL")]
    node_rpc_url: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let info = FarmInfo::load(&args.farm)?.with_context(|| format!("{} is no farm", args.farm.display()))?;
    let config = NodeClientConfig {
        // Only to ask: nobody is to wait for solutions from here.
        farming: false,
        ..NodeClientConfig::new([args.node_rpc_url])
    };
    let node = NodeClient::with_config(config, CancellationToken::new())?;
    let mut oracle = Oracle::new(node).await?;
    let metadata = MetadataFile::open(&args.farm, 0, false)?;
    let mut compared = 0;
    for sector in 0..metadata.header()?.plotted_sector_count {
        let Some(record) = metadata.record(sector)? else {
            continue;
        };
        let started = Instant::now();
        let hash = oracle.check(&args.farm, sector).await?;
        println!(
            "{}",
            serde_json::json!({
                "sector": sector,
                "history_size": record.0.history_size.get(),
                "pieces": info.pieces_in_sector,
                "blake3": hash.to_string(),
                "equal": true,
                "seconds": started.elapsed().as_secs_f64(),
            })
        );
        compared += 1;
    }
    if compared == 0 {
        bail!("the farm {} has no sector yet", args.farm.display());
    }
    Ok(())
}
