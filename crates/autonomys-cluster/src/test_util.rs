//! A real nats-server for tests: on a free port, with its own store, killed when it is dropped, and by the kernel when the thread that
//! started it ends, as it does when the whole test is killed.

use crate::cluster::Cluster;
use crate::connection::NatsOptions;
use crate::ids::{ClusterName, InstanceId, Role};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Names a nats-server binary to test with.
pub const BINARY_VARIABLE: &str = "AUTONOMYS_NATS_SERVER";
/// Ready within milliseconds; a loaded machine may take a while.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Another process may take the free port first.
const START_ATTEMPTS: usize = 5;
/// As the shipped nats-server.conf has it.
const MAX_PAYLOAD: usize = 3 * 1024 * 1024;

/// How the server is started.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// The binary; `None` looks for one.
    pub binary: Option<PathBuf>,
    /// Largest message in bytes.
    pub max_payload: usize,
    /// Whether JetStream is on.
    pub jetstream: bool,
    /// Further lines of the configuration file.
    pub extra: String,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            binary: None,
            max_payload: MAX_PAYLOAD,
            jetstream: true,
            extra: String::new(),
        }
    }
}

/// A nats-server that dies with this value. Its store lives as long as this value, through restarts.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    directory: TempDir,
    port: u16,
    config: NatsConfig,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server with JetStream.
    ///
    /// # Panics
    /// When there is no nats-server or it does not start; the message says what to do.
    pub async fn start() -> Self {
        Self::start_with(NatsConfig::default()).await
    }

    /// Starts a server.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with(config: NatsConfig) -> Self {
        let binary = config.binary.clone().or_else(default_binary).unwrap_or_else(|| {
            panic!("no nats-server found: run scripts/install-tools, or name one in {BINARY_VARIABLE}")
        });
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let mut server = Self {
            binary,
            directory,
            port: 0,
            config,
            child: None,
        };
        let mut last = String::new();
        for _ in 0..START_ATTEMPTS {
            server.port = free_port().unwrap_or_else(|error| panic!("no free port: {error}"));
            match server.spawn().await {
                Ok(()) => return server,
                Err(error) => last = error,
            }
        }
        panic!("nats-server did not start: {last}");
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Id of its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// `kill -9`; the store stays.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails only when the process is gone already.
            let _ = child.kill().await;
        }
    }

    /// Removes the store of a killed server, as a lost disk does.
    ///
    /// # Panics
    /// When the store cannot be removed.
    pub fn lose_store(&self) {
        assert!(self.child.is_none(), "kill the server first");
        let store = self.directory.path().join("store");
        std::fs::remove_dir_all(&store).unwrap_or_else(|error| panic!("store {}: {error}", store.display()));
    }

    /// Starts it again on the same port and store, after [`Self::kill`].
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill().await;
        let mut last = String::new();
        for _ in 0..START_ATTEMPTS {
            match self.spawn().await {
                Ok(()) => return,
                Err(error) => last = error,
            }
        }
        panic!("nats-server did not start again: {last}");
    }

    /// Options of an instance of `cluster` with this role and a fresh id.
    ///
    /// # Panics
    /// When the name is not one of a cluster.
    pub fn options(&self, cluster: &str, role: Role) -> NatsOptions {
        let name: ClusterName = cluster.parse().unwrap_or_else(|error| panic!("{error}"));
        NatsOptions {
            start_timeout: Some(START_TIMEOUT),
            ..NatsOptions::new(vec![self.url()], name, InstanceId::generate(role))
        }
    }

    /// Connects a fresh instance of `cluster` with this role.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn connect(&self, cluster: &str, role: Role) -> Cluster {
        Cluster::connect(self.options(cluster, role))
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn spawn(&mut self) -> Result<(), String> {
        let path = self.directory.path();
        let jetstream = if self.config.jetstream {
            format!(
                "jetstream {{ store_dir: {:?}, max_file_store: 8G }}",
                path.join("store")
            )
        } else {
            String::new()
        };
        let text = format!(
            "listen: \"{}\"\nmax_payload: {}\n{jetstream}\n{}\n",
            self.address(),
            self.config.max_payload,
            self.config.extra
        );
        let file = path.join("nats-server.conf");
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let log = std::fs::File::create(path.join("log")).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        // SAFETY: between fork and exec the closure makes one system call (prctl) and allocates nothing, which is
        // async-signal-safe.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let mut child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !greets(self.address()).await {
            let exited = child.try_wait().map_err(|error| error.to_string())?;
            if exited.is_some() || Instant::now() >= deadline {
                return Err(std::fs::read_to_string(path.join("log")).unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.child = Some(child);
        Ok(())
    }
}

/// Whether a server there sends its greeting: listening alone comes before JetStream is recovered.
async fn greets(address: SocketAddr) -> bool {
    let greeting = async {
        let stream = TcpStream::connect(address).await?;
        let mut buffer = [0; 5];
        stream.readable().await?;
        stream.peek(&mut buffer).await?;
        io::Result::Ok(&buffer == b"INFO ")
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(1), greeting).await,
        Ok(Ok(true))
    )
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The binary of a version that `scripts/install-tools` has installed, looked for from here upwards.
pub fn installed_binary(version: &str) -> Option<PathBuf> {
    find_upwards(
        &Path::new(".tools")
            .join(format!("nats-{version}"))
            .join("nats-server"),
    )
}

/// The binary that tests use unless they name one: what [`BINARY_VARIABLE`] says, else an installed one, else one of the search path.
pub fn default_binary() -> Option<PathBuf> {
    if let Some(named) = env::var_os(BINARY_VARIABLE) {
        return Some(named.into());
    }
    find_upwards(Path::new(".tools/bin/nats-server")).or_else(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(AsRef::<OsStr>::as_ref(&path))
            .map(|directory| directory.join("nats-server"))
            .find(|candidate| candidate.is_file())
    })
}

fn find_upwards(relative: &Path) -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors()
        .map(|directory| directory.join(relative))
        .find(|candidate| candidate.is_file())
}
