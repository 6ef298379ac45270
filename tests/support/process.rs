//! Processes of a test: started with a log of their own, ended with the test whatever happens to it.

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_autonomys-farmer");
/// How often a process is looked at while its end is waited for.
const EXIT_POLL: Duration = Duration::from_millis(10);
/// Lines of a log that are shown when something went wrong.
const TAIL_LINES: usize = 40;

/// A process and its log. Dropping the last clone kills it.
#[derive(Clone)]
pub(crate) struct Process(Arc<Inner>);

struct Inner {
    name: String,
    log: PathBuf,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    child: Child,
    /// The test has asked for the end of this process, or expects it.
    may_end: bool,
}

impl Process {
    /// Starts the binary under test with `arguments` and `variables`; all its output goes to `logs/NAME.log`.
    pub(crate) fn start(
        logs: &Path,
        name: &str,
        arguments: Vec<OsString>,
        variables: Vec<(String, OsString)>,
    ) -> Self {
        let log = logs.join(format!("{name}.log"));
        let path = log.clone();
        let command = Box::new(move || {
            let output = File::options().create(true).append(true).open(&path).unwrap();
            let mut command = Command::new(BINARY);
            command
                .args(&arguments)
                .envs(variables.iter().cloned())
                .stdin(Stdio::null())
                .stdout(output.try_clone().unwrap())
                .stderr(output);
            command
        });
        let child = spawn(command());
        Self(Arc::new(Inner {
            name: name.to_string(),
            log,
            command,
            state: Mutex::new(State {
                child,
                may_end: false,
            }),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn id(&self) -> u32 {
        self.state().child.id()
    }

    /// Everything the process has written, over all its runs.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.0.log).unwrap()).into_owned()
    }

    /// The last lines of the log, under a heading.
    pub(crate) fn tail(&self) -> String {
        tail(&self.0.log)
    }

    /// The exit status, once the process has ended.
    pub(crate) fn exited(&self) -> Option<ExitStatus> {
        self.state().child.try_wait().unwrap()
    }

    /// From now on the process may end without failing the test.
    pub(crate) fn may_end(&self) {
        self.state().may_end = true;
    }

    /// Says so when the process has ended and nobody asked for it.
    pub(crate) fn unexpected_end(&self) -> Option<String> {
        let mut state = self.state();
        if state.may_end {
            return None;
        }
        let status = state.child.try_wait().unwrap()?;
        Some(format!("{} ended with {status}", self.0.name))
    }

    fn signal(&self, signal: Signal) {
        let mut state = self.state();
        state.may_end = true;
        // The id of a child that was waited for may belong to somebody else by now.
        if state.child.try_wait().unwrap().is_none() {
            let id = i32::try_from(state.child.id()).unwrap();
            kill(Pid::from_raw(id), signal).unwrap();
        }
    }

    /// SIGTERM: the process drains and leaves.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGSTOP: the process hangs, as on a machine that swaps or loses its network.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        self.state().may_end = false;
    }

    /// SIGCONT after [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
        self.state().may_end = false;
    }

    /// SIGKILL, as a power failure does; returns when the process is gone.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.state().child.wait().unwrap();
    }

    /// Runs the same command line again after the process has ended.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        assert!(
            state.child.try_wait().unwrap().is_some(),
            "{} still runs",
            self.0.name
        );
        state.child = spawn((self.0.command)());
        state.may_end = false;
    }

    /// Waits for the end of the process.
    ///
    /// Panics with the end of its log when it takes longer than `timeout`.
    pub(crate) fn wait_exit(&self, timeout: Duration) -> ExitStatus {
        self.may_end();
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} still runs after {timeout:?}\n{}",
                self.0.name,
                self.tail()
            );
            std::thread::sleep(EXIT_POLL);
        }
    }

    /// As [`Self::wait_exit`], for tests whose runtime has work of its own meanwhile.
    pub(crate) async fn exit(&self, timeout: Duration) -> ExitStatus {
        let process = self.clone();
        tokio::task::spawn_blocking(move || process.wait_exit(timeout))
            .await
            .unwrap()
    }

    /// A process that was started a moment ago cannot drain yet: it would just end.
    async fn listens_to_signals(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.exited().is_none() && !catches(self.id(), Signal::SIGTERM) {
            assert!(Instant::now() < deadline, "{} ignores signals", self.0.name);
            tokio::time::sleep(EXIT_POLL).await;
        }
    }

    /// Drains the process and expects it to leave with exit code 0.
    pub(crate) async fn stop(&self, timeout: Duration) {
        self.listens_to_signals(timeout).await;
        self.terminate();
        let status = self.exit(timeout).await;
        assert!(
            status.success(),
            "{} ended with {status}\n{}",
            self.0.name,
            self.tail()
        );
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = state.child.kill();
        let _ = state.child.wait();
    }
}

/// Whether the process has a handler for the signal, as `proc(5)` tells it.
fn catches(process: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (signal as u32 - 1)) != 0)
}

/// The last lines of a log, under a heading.
pub(crate) fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("---- {} ----\n{}\n", log.display(), shown.join("\n"))
}

type Request = (Command, mpsc::SyncSender<std::io::Result<Child>>);

/// Children die with the thread that started them (`PR_SET_PDEATHSIG`), and threads of tests and runtimes come and go: one thread that
/// lasts as long as the test binary starts them all.
static STARTER: LazyLock<mpsc::SyncSender<Request>> = LazyLock::new(|| {
    let (requests, receiver) = mpsc::sync_channel::<Request>(0);
    std::thread::spawn(move || {
        while let Ok((mut command, reply)) = receiver.recv() {
            let _ = reply.send(command.spawn());
        }
    });
    requests
});

fn spawn(mut command: Command) -> Child {
    let parent = Pid::this();
    // SAFETY: between fork and exec the closure makes two system calls (prctl, getppid) and allocates nothing, which is
    // async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The test may have died before the promise was in place.
            if getppid() != parent {
                return Err(std::io::Error::from_raw_os_error(nix::libc::ESRCH));
            }
            Ok(())
        });
    }
    let (reply, answer) = mpsc::sync_channel(1);
    STARTER.send((command, reply)).unwrap();
    answer
        .recv()
        .unwrap()
        .unwrap_or_else(|error| panic!("cannot start {BINARY}: {error}"))
}
