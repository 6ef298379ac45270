//! A cluster of real processes: nats-server, development chain, and whatever roles a test starts.

use super::chain::{DevChain, follower_arguments};
use super::process::{Process, tail};
use autonomys_cluster::members::{MembersSnapshot, MembersView};
use autonomys_cluster::test_util::{NatsConfig, NatsServer};
use autonomys_cluster::{Cluster, Role};
use autonomys_node_rpc::NodeClient;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Name of the cluster unless a test gives another one.
pub(crate) const DEFAULT_CLUSTER: &str = "default";
/// The development chain archives its first segment when no earlier run has left it: most of a minute on two cores.
const NODE_READY_WITHIN: Duration = Duration::from_secs(240);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(50);

/// Everything of one test: directory, NATS, chain, and the processes started so far.
pub(crate) struct TestCluster {
    /// First, so that processes end before what they stand on.
    processes: Mutex<Vec<Process>>,
    pub(crate) nats: NatsServer,
    chain: Option<(Process, u16)>,
    node_client: Option<NodeClient>,
    _stop_node_client: DropGuard,
    directory: TempDir,
}

/// Role to start; see [`TestCluster::role`].
pub(crate) struct RoleStart<'a> {
    cluster: &'a TestCluster,
    name: String,
    before_role: Vec<OsString>,
    role: &'static str,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
}

impl TestCluster {
    /// NATS only.
    pub(crate) async fn without_chain(nats: NatsConfig) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("autonomys-test-")
            // Beside the cached segments, so that the chain links them instead of copying; never in memory.
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        Self {
            processes: Mutex::default(),
            nats: NatsServer::start_with(nats).await,
            chain: None,
            node_client: None,
            _stop_node_client: CancellationToken::new().drop_guard(),
            directory,
        }
    }

    /// NATS and a development chain that answers.
    pub(crate) async fn start(chain: DevChain) -> Self {
        let mut this = Self::without_chain(NatsConfig::default()).await;
        let port = free_port();
        let arguments = chain.arguments(port, &this.path("node"));
        let process = Process::start(&this.logs(), "dev-node", arguments, Vec::new());
        this.remember(&process);
        this.chain = Some((process, port));
        let stop = CancellationToken::new();
        let client = NodeClient::new([this.node_url()], stop.clone()).unwrap();
        this._stop_node_client = stop.drop_guard();
        this.node_client = Some(client.clone());
        this.wait_until("the development chain answers", NODE_READY_WITHIN, async || {
            client.farmer_app_info().await.ok()
        })
        .await;
        this
    }

    /// Stops the development chain and continues it with other switches, at the same address.
    pub(crate) async fn continue_chain(&mut self, chain: &DevChain) {
        let (process, port) = self.chain.take().unwrap();
        process.stop(NODE_READY_WITHIN).await;
        let arguments = chain.arguments(port, &self.path("node"));
        let process = Process::start(&self.logs(), "dev-node", arguments, Vec::new());
        self.remember(&process);
        self.chain = Some((process, port));
    }

    /// Starts a second node, which follows the development chain, with further switches; returns it with its address.
    pub(crate) fn start_follower(&self, extra: &[&str]) -> (Process, String) {
        let port = free_port();
        let arguments = follower_arguments(port, &self.path("follower"), &self.node_url(), extra);
        let process = Process::start(&self.logs(), "follower", arguments, Vec::new());
        self.remember(&process);
        (process, format!("ws://127.0.0.1:{port}"))
    }

    /// A path below the test's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Address of the development chain.
    pub(crate) fn node_url(&self) -> String {
        let (_, port) = self.chain.as_ref().unwrap();
        format!("ws://127.0.0.1:{port}")
    }

    /// The development chain's process.
    pub(crate) fn node_process(&self) -> &Process {
        &self.chain.as_ref().unwrap().0
    }

    /// A client of the development chain; see [`super::chain`] for what to ask it.
    pub(crate) fn node(&self) -> &NodeClient {
        self.node_client.as_ref().unwrap()
    }

    fn remember(&self, process: &Process) {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(process.clone());
    }

    /// A role named after itself: `cluster.role("proof-server").start()`.
    pub(crate) fn role(&self, role: &'static str) -> RoleStart<'_> {
        self.named_role(role, role)
    }

    /// A role whose log is `NAME.log`, for tests with several of a kind.
    pub(crate) fn named_role(&self, name: &str, role: &'static str) -> RoleStart<'_> {
        RoleStart {
            cluster: self,
            name: name.to_string(),
            before_role: Vec::new(),
            role,
            arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// The controller of the development chain.
    pub(crate) fn controller(&self) -> RoleStart<'_> {
        self.role("controller")
            .args(["--tmp", "--node-rpc-url"])
            .arg(self.node_url())
    }

    /// Looks at the cluster from outside, without being a member. Keep the handle as long as the view is used.
    pub(crate) async fn observe(&self) -> (Cluster, MembersView) {
        let cluster = self.nats.connect(DEFAULT_CLUSTER, Role::Controller).await;
        let members = MembersView::observe(&cluster).await.unwrap();
        (cluster, members)
    }

    /// Polls until `probe` gives a value. Panics with the ends of all logs after `timeout`, or at once when a process has ended that
    /// nobody asked to.
    pub(crate) async fn wait_until<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut probe: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + timeout;
        loop {
            // One look may hang as well, for example in a request that waits for a reconnect.
            if let Ok(Some(value)) = tokio::time::timeout_at(deadline.into(), probe()).await {
                return value;
            }
            self.check_processes(what);
            assert!(Instant::now() < deadline, "not after {timeout:?}: {what}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// As [`Self::wait_until`], for a condition on the members.
    pub(crate) async fn wait_for_members(
        &self,
        members: &MembersView,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut(&MembersSnapshot) -> bool,
    ) -> Arc<MembersSnapshot> {
        self.wait_until(what, timeout, async || {
            let snapshot = members.current();
            condition(&snapshot).then_some(snapshot)
        })
        .await
    }

    /// Panics when a process has ended that nobody asked to.
    pub(crate) fn check_processes(&self, what: &str) {
        let processes = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let ended: Vec<_> = processes.iter().filter_map(Process::unexpected_end).collect();
        assert!(
            ended.is_empty(),
            "while waiting until {what}: {}",
            ended.join(", ")
        );
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut logs: Vec<_> = fs::read_dir(self.logs())
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            logs.sort_by_key(fs::DirEntry::path);
            for log in logs {
                eprintln!("{}", tail(&log.path()));
            }
        }
    }
}

impl RoleStart<'_> {
    /// An argument of the role.
    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Arguments of the role.
    pub(crate) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(OsString::from));
        self
    }

    /// `path=DIRECTORY` with what follows it.
    pub(crate) fn path(self, directory: &Path, rest: &str) -> Self {
        let mut argument = OsString::from("path=");
        argument.push(directory);
        argument.push(rest);
        self.arg(argument)
    }

    /// An argument of `cluster`, in front of the role.
    pub(crate) fn cluster_arg(mut self, argument: &str) -> Self {
        self.before_role.push(argument.into());
        self
    }

    /// A variable of the process's environment.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_string(), value.into()));
        self
    }

    /// Starts the process; it ends with the cluster at the latest.
    pub(crate) fn start(self) -> Process {
        let mut arguments: Vec<OsString> = ["cluster", "--nats-server"].map(OsString::from).into();
        arguments.push(self.cluster.nats.url().into());
        arguments.extend(self.before_role);
        arguments.push(self.role.into());
        arguments.extend(self.arguments);
        let process = Process::start(&self.cluster.logs(), &self.name, arguments, self.variables);
        self.cluster.remember(&process);
        process
    }
}

/// A TCP port on loopback that nobody uses at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
