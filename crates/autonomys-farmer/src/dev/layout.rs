//! Which processes a development cluster has, where their files are, and their command lines.

use super::DevArgs;
use super::processes::{ProcessPlan, free_port};
use crate::args::reward_address::to_ss58;
use anyhow::{Context, Result};
use autonomys_node_rpc::ChainClient;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the NATS process.
pub(super) const NATS: &str = "nats-server";
/// Name of the development chain's process.
pub(super) const NODE: &str = "dev-node";

/// Places and ports of one cluster.
#[derive(Debug)]
pub(super) struct Layout {
    base: PathBuf,
    program: PathBuf,
    args: DevArgs,
    nats_port: u16,
    node_port: u16,
    plot_server_port: u16,
}

impl Layout {
    /// Processes that the roles stand on.
    pub(super) const FOUNDATIONS: usize = 2;

    pub(super) fn new(args: &DevArgs, base: PathBuf) -> Result<Self> {
        Ok(Self {
            base,
            program: std::env::current_exe().context("cannot find this program's own file")?,
            args: args.clone(),
            nats_port: free_port()?,
            node_port: free_port()?,
            plot_server_port: free_port()?,
        })
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.base.join("logs")
    }

    /// The farm's directory.
    pub(super) fn farm(&self) -> PathBuf {
        self.base.join("farm")
    }

    pub(super) fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.nats_port)
    }

    pub(super) fn node_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.node_port)
    }

    /// Whether NATS accepts connections, or the node answers a question.
    pub(super) async fn answers(&self, name: &str) -> bool {
        /// A node that archives accepts connections but does not answer.
        const PATIENCE: Duration = Duration::from_secs(2);
        if name == NATS {
            return tokio::net::TcpStream::connect(("127.0.0.1", self.nats_port))
                .await
                .is_ok();
        }
        let url = format!("http://127.0.0.1:{}", self.node_port);
        let ask = async { ChainClient::connect(&url).await?.farmer_app_info().await };
        matches!(tokio::time::timeout(PATIENCE, ask).await, Ok(Ok(_)))
    }

    /// Account of the rewards: made from a label, nobody has its key, nothing of value ever goes there.
    pub(super) fn reward_account() -> [u8; 32] {
        *blake3::hash(b"autonomys-farmer development rewards").as_bytes()
    }

    /// Makes directories and the NATS configuration.
    pub(super) fn prepare(&self) -> Result<()> {
        let configuration = format!(
            "# Written by `autonomys-farmer dev` at each start.\n\
             server_name: autonomys-dev\nlisten: 127.0.0.1:{}\nmax_payload: 3MB\njetstream {{ store_dir: \"{}\" }}\n",
            self.nats_port,
            self.base.join("nats").display()
        );
        let path = self.nats_configuration();
        fs::write(&path, configuration).with_context(|| format!("cannot write {}", path.display()))
    }

    fn nats_configuration(&self) -> PathBuf {
        self.base.join("nats-server.conf")
    }

    fn plan(&self, name: &'static str, program: PathBuf, arguments: Vec<String>) -> ProcessPlan {
        ProcessPlan {
            name,
            program,
            arguments,
            log: self.logs().join(format!("{name}.log")),
        }
    }

    /// NATS and the chain, in start order.
    pub(super) fn foundations(&self) -> [ProcessPlan; Self::FOUNDATIONS] {
        let nats = vec!["-c".to_string(), self.nats_configuration().display().to_string()];
        let args = &self.args;
        let mut node = strings([
            "dev-node",
            "--base-path",
            &self.base.join("node").display().to_string(),
            "--rpc-listen-on",
            &format!("127.0.0.1:{}", self.node_port),
            "--pieces-in-sector",
            &args.pieces_in_sector().to_string(),
            "--initial-plotted-pieces",
            &(u32::from(args.pieces_in_sector()) * u32::from(args.sectors)).to_string(),
            "--slot-duration-ms",
            &args.slot_duration_ms.to_string(),
            "--bytes-per-block",
            &args.bytes_per_block.to_string(),
            "--proof-of-space",
            &args.proof_of_space.to_string(),
        ]);
        if let Some(data) = &args.data {
            node.extend(strings(["--data", &data.display().to_string()]));
        }
        [
            self.plan(NATS, args.nats_server_program.clone(), nats),
            self.plan(NODE, self.program.clone(), node),
        ]
    }

    /// One process a role.
    pub(super) fn roles(&self) -> Vec<ProcessPlan> {
        let path = |name: &str| self.base.join(name).display().to_string();
        let roles: [(&'static str, Vec<String>); 6] = [
            (
                "controller",
                strings([
                    "--base-path",
                    &path("controller"),
                    "--node-rpc-url",
                    &self.node_url(),
                ]),
            ),
            (
                "sharded-cache",
                strings([&format!("path={},size=600MiB", path("sharded-cache"))]),
            ),
            (
                "full-piece-sharded-cache",
                strings([&format!("path={}", path("full-piece-sharded-cache"))]),
            ),
            ("proof-server", Vec::new()),
            (
                "plot-server",
                strings([
                    "--listen-port",
                    &self.plot_server_port.to_string(),
                    &path("plot-server"),
                ]),
            ),
            (
                "plot-client",
                strings([
                    "--reward-address",
                    &to_ss58(&Self::reward_account()),
                    &format!("path={},sectors={}", self.farm().display(), self.args.sectors),
                ]),
            ),
        ];
        roles
            .into_iter()
            .map(|(name, own)| {
                let mut arguments = strings(["cluster", "--nats-server", &self.nats_url(), name]);
                arguments.extend(own);
                self.plan(name, self.program.clone(), arguments)
            })
            .collect()
    }
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_string).to_vec()
}
