//! Where the cluster's NATS servers are, and which cluster on them is meant.

use clap::Args;

/// NATS options; `--nats-server` and `--nats-servers` mean the same.
#[derive(Debug, Clone, Args)]
pub(crate) struct NatsArgs {
    /// NATS server, as in nats://192.168.1.1:4222; repeat it for every server of the NATS cluster
    #[arg(
        long = "nats-server",
        alias = "nats-servers",
        value_name = "URL",
        required = true,
        value_delimiter = ',',
        env = "AUTONOMYS_NATS_SERVERS",
        // They may hold passwords, and help goes to logs and screens.
        hide_env_values = true
    )]
    pub(crate) servers: Vec<String>,
    /// Name of the cluster; several clusters may share one NATS
    #[arg(long = "cluster", value_name = "NAME", default_value = "default")]
    pub(crate) cluster: String,
    /// Seconds that a start waits for a NATS server before it gives up and says so; whoever supervises the process tries again
    #[arg(
        long = "nats-timeout-secs",
        value_name = "N",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) timeout_secs: u64,
}
