//! Child processes that cannot outlive this one.
//!
//! A child is told by the kernel when its parent dies (`PR_SET_PDEATHSIG`), so nothing stays behind even after `kill -9` of this
//! process. The kernel ties that promise to the *thread* that started the child, hence one thread starts them all and lives as long
//! as the process.

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What to start: a name for people, the command, and the log that takes its output.
#[derive(Debug, Clone)]
pub(crate) struct ProcessPlan {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) log: PathBuf,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    plan: ProcessPlan,
    child: Child,
    started: Instant,
}

/// How often a dying child is looked at while it is waited for.
const EXIT_POLL: Duration = Duration::from_millis(20);

type Reply = mpsc::SyncSender<std::io::Result<Child>>;

/// The thread that starts all children.
#[derive(Debug, Clone)]
pub(crate) struct Starter {
    requests: mpsc::SyncSender<(ProcessPlan, Reply)>,
}

impl Starter {
    /// Starts the thread.
    pub(crate) fn new() -> Result<Self> {
        // A rendezvous is enough: callers wait for their reply anyway.
        let (requests, receiver) = mpsc::sync_channel::<(ProcessPlan, Reply)>(0);
        std::thread::Builder::new()
            .name("process-starter".to_string())
            .spawn(move || {
                while let Ok((plan, reply)) = receiver.recv() {
                    // The caller gave up if this fails; the child then ends with us like every other.
                    let _ = reply.send(spawn(&plan));
                }
                // Never leave: the kernel would take this thread's end for the parent's death.
                loop {
                    std::thread::park();
                }
            })?;
        Ok(Self { requests })
    }

    /// Starts `plan`, appending its output to its log.
    pub(crate) fn start(&self, plan: ProcessPlan) -> Result<Process> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.requests
            .send((plan.clone(), reply))
            .map_err(|_| anyhow::anyhow!("the thread that starts processes is gone"))?;
        let child = answer
            .recv()
            .context("the thread that starts processes is gone")?
            .with_context(|| format!("cannot start {} ({})", plan.name, plan.program.display()))?;
        Ok(Process {
            plan,
            child,
            started: Instant::now(),
        })
    }
}

fn spawn(plan: &ProcessPlan) -> std::io::Result<Child> {
    if let Some(directory) = plan.log.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let log = File::options().create(true).append(true).open(&plan.log)?;
    let parent = Pid::this();
    let mut command = Command::new(&plan.program);
    command
        .args(&plan.arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A group of its own: Ctrl-C on the terminal reaches this process only, which then stops the children in order.
        .process_group(0);
    // SAFETY: between fork and exec the closure makes two system calls (prctl, getppid) and allocates nothing, which is
    // async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the promise was in place.
            if getppid() != parent {
                return Err(std::io::Error::from_raw_os_error(nix::libc::ESRCH));
            }
            Ok(())
        });
    }
    command.spawn()
}

impl Process {
    pub(crate) fn name(&self) -> &'static str {
        self.plan.name
    }

    pub(crate) fn plan(&self) -> &ProcessPlan {
        &self.plan
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn running_for(&self) -> Duration {
        self.started.elapsed()
    }

    /// The exit status if the child has ended.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // The child may have just ended.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Asks the child to drain and leave.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits for the child until `deadline`, then kills it; `true` when it left by itself.
    pub(crate) fn wait_or_kill(&mut self, deadline: Instant) -> Result<bool> {
        while Instant::now() < deadline {
            if self.exited()?.is_some() {
                return Ok(true);
            }
            std::thread::sleep(EXIT_POLL);
        }
        self.signal(Signal::SIGKILL);
        self.child.wait()?;
        Ok(false)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Last line of a log that is not empty, for messages about a child that ended.
pub(crate) fn last_line(log: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    /// The end of a log is enough to find its last line.
    const TAIL: u64 = 4096;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("(its log is empty)")
        .to_string()
}

/// A TCP port on loopback that nobody uses at this moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no free TCP port on 127.0.0.1")?;
    let port = listener.local_addr()?.port();
    if port == 0 {
        bail!("the system gave no TCP port");
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(directory: &Path, script: &str) -> ProcessPlan {
        ProcessPlan {
            name: "test",
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            log: directory.join("logs/test.log"),
        }
    }

    #[test]
    fn a_child_has_the_promise_set_writes_its_log_and_stops() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let starter = Starter::new().expect("thread");
        // The child keeps running until it is told to stop, whatever the thread that asked for it does.
        let script = "trap 'echo drained; exit 0' TERM; echo started; while :; do sleep 0.05; done";
        let plan = plan(directory.path(), script);
        let log = plan.log.clone();
        let asked = starter.clone();
        let mut process = std::thread::spawn(move || asked.start(plan).expect("starts"))
            .join()
            .expect("joins");
        let deadline = Instant::now() + Duration::from_secs(10);
        while last_line(&log) != "started" {
            assert!(Instant::now() < deadline, "the child never started");
            std::thread::sleep(EXIT_POLL);
        }
        assert!(process.exited().expect("readable").is_none());
        process.terminate();
        assert!(process.wait_or_kill(deadline).expect("waits"));
        assert_eq!(last_line(&log), "drained");
    }

    #[test]
    fn a_child_that_ignores_the_request_is_killed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let starter = Starter::new().expect("thread");
        let script = "trap '' TERM; echo deaf; while :; do sleep 0.05; done";
        let plan = plan(directory.path(), script);
        let log = plan.log.clone();
        let mut process = starter.start(plan).expect("starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while last_line(&log) != "deaf" {
            assert!(Instant::now() < deadline, "the child never started");
            std::thread::sleep(EXIT_POLL);
        }
        process.terminate();
        assert!(
            !process
                .wait_or_kill(Instant::now() + Duration::from_millis(100))
                .expect("waits")
        );
    }
}
