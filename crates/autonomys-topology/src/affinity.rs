//! Which processors a process and its compute threads are to run on, and binding them there.
//!
//! A compute thread is bound to a NUMA node, not to a processor: the system still evens out the load within the node, and memory
//! that a thread touches first is taken from its node, so what it works on is near it.

#[cfg(test)]
mod tests;

use crate::cpu_set::{CpuSet, CpuSetError};
use crate::topology::Topology;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What the operator wants of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CpuAffinity {
    /// Compute threads are shared out over the NUMA nodes and each is bound to its own; nothing where there is one node.
    #[default]
    Auto,
    /// Nothing is bound.
    None,
    /// The whole process runs on these processors, compute threads as with [`Self::Auto`] among them.
    List(CpuSet),
}

/// Why a text is no [`CpuAffinity`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CpuAffinityError {
    /// Neither of the words, nor a list.
    #[error("{text:?} is neither auto nor none nor a list of processors such as 0-15,32-47: {source}")]
    List {
        /// What was given.
        text: String,
        /// What is wrong with it as a list.
        source: CpuSetError,
    },
    /// An empty list.
    #[error("the list of processors is empty; write auto, none, or a list such as 0-15,32-47")]
    Empty,
}

impl FromStr for CpuAffinity {
    type Err = CpuAffinityError;

    fn from_str(text: &str) -> Result<Self, CpuAffinityError> {
        match text.trim() {
            "" => Err(CpuAffinityError::Empty),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            list => list
                .parse()
                .map(Self::List)
                .map_err(|source| CpuAffinityError::List {
                    text: text.to_string(),
                    source,
                }),
        }
    }
}

/// A list that cannot be followed on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "this process may not use processor{} {missing} of the list {list}; it may use {allowed}",
    if missing.len() == 1 { "" } else { "s" }
)]
pub struct NotAllowed {
    /// The list.
    pub list: CpuSet,
    /// Its processors that are offline, or that a cpuset, `numactl` or `taskset` keeps from this process.
    pub missing: CpuSet,
    /// What may be used.
    pub allowed: CpuSet,
}

/// Where a process and its compute threads run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// The whole process, if it is to be bound.
    process: Option<CpuSet>,
    /// The nodes that compute threads are bound to: number and processors. Empty: they are not bound.
    nodes: Vec<(usize, CpuSet)>,
    reason: String,
}

impl Affinity {
    /// Nothing is bound.
    pub fn unbound(reason: impl Into<String>) -> Self {
        Self {
            process: None,
            nodes: Vec::new(),
            reason: reason.into(),
        }
    }

    /// Decides for this machine.
    ///
    /// # Errors
    /// [`NotAllowed`] when a list names processors that this process may not use.
    pub fn plan(topology: &Topology, wanted: &CpuAffinity) -> Result<Self, NotAllowed> {
        let list = match wanted {
            CpuAffinity::None => return Ok(Self::unbound("not wanted")),
            CpuAffinity::Auto => None,
            CpuAffinity::List(list) => {
                let missing = list.difference(topology.processors());
                if !missing.is_empty() {
                    return Err(NotAllowed {
                        list: list.clone(),
                        missing,
                        allowed: topology.processors().clone(),
                    });
                }
                Some(list)
            }
        };
        let nodes: Vec<_> = topology
            .numa_nodes()
            .iter()
            .map(|node| {
                let processors = list.map_or_else(
                    || node.processors.clone(),
                    |list| node.processors.intersection(list),
                );
                (node.index, processors)
            })
            .filter(|(_, processors)| !processors.is_empty())
            .collect();
        if nodes.len() < 2 {
            return Ok(Self {
                process: list.cloned(),
                ..Self::unbound("all processors are on one NUMA node")
            });
        }
        Ok(Self {
            process: list.cloned(),
            nodes,
            reason: String::new(),
        })
    }

    /// The processors that the whole process is bound to, if it is.
    #[must_use]
    pub fn process(&self) -> Option<&CpuSet> {
        self.process.as_ref()
    }

    /// The processors of compute thread `number` of `threads`: each node gets threads by its share of the processors. `None`:
    /// the thread is not bound.
    #[must_use]
    pub fn thread(&self, number: usize, threads: usize) -> Option<&CpuSet> {
        let processors: usize = self.nodes.iter().map(|(_, node)| node.len()).sum();
        // The thread's place on a line of all processors; the middle, so that few threads are spread evenly as well.
        let place = (2 * number + 1).checked_mul(processors)? / (2 * threads.max(1));
        let mut end = 0;
        self.nodes.iter().find_map(|(_, node)| {
            end += node.len();
            (place < end).then_some(node)
        })
    }

    /// Binds the calling thread, and with it all threads that it starts later, to the set of the process.
    ///
    /// # Errors
    /// What the system says, for instance when a container forbids it.
    pub fn bind_process(&self) -> std::io::Result<()> {
        self.process.as_ref().map_or(Ok(()), bind_this_thread)
    }

    /// Binds the calling thread as compute thread `number` of `threads`.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind_thread(&self, number: usize, threads: usize) -> std::io::Result<()> {
        self.thread(number, threads).map_or(Ok(()), bind_this_thread)
    }
}

/// One phrase, as in "compute threads are bound to NUMA nodes 0 (0-15) and 1 (16-31)".
impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = &self.process {
            write!(f, "the process is bound to processors {process}; ")?;
        }
        if self.nodes.is_empty() {
            return write!(f, "compute threads are not bound: {}", self.reason);
        }
        f.write_str("compute threads are bound to NUMA nodes ")?;
        for (number, (index, processors)) in self.nodes.iter().enumerate() {
            let separator = match number {
                0 => "",
                _ if number + 1 == self.nodes.len() => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{index} ({processors})")?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn bind_this_thread(processors: &CpuSet) -> std::io::Result<()> {
    use nix::sched::{CpuSet as Mask, sched_setaffinity};
    use nix::unistd::Pid;
    let mut mask = Mask::new();
    for processor in processors.iter() {
        // Fails for numbers that no mask holds.
        mask.set(processor)?;
    }
    // Zero is the calling thread.
    Ok(sched_setaffinity(Pid::from_raw(0), &mask)?)
}

/// Other systems let nobody choose.
#[cfg(not(target_os = "linux"))]
fn bind_this_thread(_processors: &CpuSet) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
