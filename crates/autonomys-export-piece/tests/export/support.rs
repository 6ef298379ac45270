//! One chain of three segments for all tests, with its node in this process, and the exporter as a process of its own.

use autonomys_dev_node::archive::segment_file::SegmentFile;
use autonomys_dev_node::{DevNode, DevNodeConfig, SlotPace};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::PIECE_SIZE;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentHeader};
use subspace_kzg::reference_string::ReferenceString;
use subspace_proof_of_space::ProofOfSpaceKind;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

/// Segments of the chain.
pub(crate) const SEGMENTS: u16 = 3;
/// Far more than anything takes, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// The node of a test. It costs no archiving once an earlier test has done it.
pub(crate) struct Chain {
    pub(crate) node: DevNode,
    pub(crate) directory: TempDir,
    _cancel: tokio_util::sync::DropGuard,
}

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

impl Chain {
    pub(crate) async fn start() -> Self {
        // One at a time, so that only the first archives.
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _starting = STARTING.lock().await;
        let directory = tempfile::tempdir_in(scratch()).unwrap();
        let mut config = DevNodeConfig::new(directory.path().join("node"));
        config.cache_path = Some(scratch().join("export-segments"));
        config.rpc_listen_on = ([127, 0, 0, 1], 0).into();
        config.parameters.history_segments = SEGMENTS;
        config.parameters.pot_iterations = 16;
        config.proof_of_space = ProofOfSpaceKind::FastTest;
        config.slot_pace = SlotPace::Manual;
        let cancel = CancellationToken::new();
        let node = DevNode::start(config, cancel.clone()).await.unwrap();
        Self {
            node,
            directory,
            _cancel: cancel.drop_guard(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.node.rpc_address)
    }

    pub(crate) fn fault(&self, fault: &str) {
        self.node.controls.faults.inject(fault.parse().unwrap());
    }

    pub(crate) fn heal(&self) {
        self.node.controls.faults.clear();
    }

    /// What the node itself has archived, block after block.
    pub(crate) fn archived(&self, segment: u16) -> SegmentFile {
        let name = format!("node/segments/{segment:08}.segment");
        SegmentFile::open(&self.directory.path().join(name)).unwrap()
    }

    pub(crate) fn header(&self, segment: u16) -> SegmentHeader {
        self.archived(segment).header()
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("output")
    }

    /// Path of a segment in the output directory.
    pub(crate) fn file(&self, segment: u16) -> PathBuf {
        self.output().join(format!("segment-{segment:010}.pieces"))
    }

    /// Compares a file of the output with what the node archived.
    pub(crate) fn assert_exported(&self, segment: u16) {
        let bytes = std::fs::read(self.file(segment)).unwrap();
        let archived = self.archived(segment);
        let mut rest = bytes.as_slice();
        for position in 0..NUM_PIECES_IN_SEGMENT as u32 {
            let piece = archived.piece(position).unwrap();
            let (found, behind) = rest.split_at(PIECE_SIZE);
            assert!(found == piece.as_ref(), "segment {segment}, piece {position}");
            rest = behind;
        }
    }

    /// The exporter, to be started, with the output directory of this chain.
    pub(crate) fn exporter(&self, arguments: &[&str]) -> Exporter {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autonomys-export-piece"));
        command
            .args(["--output", self.output().to_str().unwrap()])
            .args(arguments)
            .env("NODE_URL", self.url())
            // Tables of the KZG parameters are kept there for all tests.
            .env("XDG_CACHE_HOME", scratch().join("cache"))
            .env("RUST_LOG", "info,autonomys_export_piece=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let output = Arc::new(parking_lot::Mutex::new(String::new()));
        let lines = |stream: Box<dyn tokio::io::AsyncRead + Send + Unpin>| {
            let output = Arc::clone(&output);
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream).lines();
                while let Some(line) = lines.next_line().await.unwrap() {
                    let mut output = output.lock();
                    output.push_str(&line);
                    output.push('\n');
                }
            })
        };
        let readers = [
            lines(Box::new(child.stdout.take().unwrap())),
            lines(Box::new(child.stderr.take().unwrap())),
        ];
        Exporter {
            child,
            output,
            readers,
        }
    }
}

/// A running exporter.
pub(crate) struct Exporter {
    child: tokio::process::Child,
    output: Arc<parking_lot::Mutex<String>>,
    readers: [tokio::task::JoinHandle<()>; 2],
}

impl Exporter {
    /// Waits until it says something.
    pub(crate) async fn says(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.output.lock().contains(text) {
            let output = || self.output.lock().clone();
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "ended without {text:?}: {}",
                output()
            );
            assert!(Instant::now() < deadline, "never said {text:?}: {}", output());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// SIGKILL, and no exporter any more.
    pub(crate) async fn kill(mut self) -> String {
        self.child.kill().await.unwrap();
        self.rest().await.1
    }

    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// Waits for the end; gives the exit code and everything that was said.
    pub(crate) async fn end(self) -> (i32, String) {
        let (status, output) = self.rest().await;
        (status.code().unwrap(), output)
    }

    async fn rest(mut self) -> (ExitStatus, String) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("does not end: {}", self.output.lock()))
            .unwrap();
        for reader in self.readers {
            reader.await.unwrap();
        }
        let output = self.output.lock().clone();
        (status, output)
    }
}

/// KZG parameters are made by whoever needs them; this only says that the chain's are the development ones.
pub(crate) fn development_parameters(path: &Path) {
    let pool = rayon::ThreadPoolBuilder::new().build().unwrap();
    std::fs::write(path, ReferenceString::insecure_development(&pool).to_bytes()).unwrap();
}
