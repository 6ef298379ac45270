//! The topology as this process may use it, whichever reader found it.

use crate::cpu_set::{CpuSet, CpuSetError};
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// Bytes in a GiB.
const GIB: f64 = (1_u64 << 30) as f64;

/// Processors, physical cores and NUMA nodes that the calling thread may use.
///
/// A thread inherits what it may use from the thread that starts it, so before anything is bound this is what the process may use. It
/// is a snapshot: processors may go offline and a container's set may change later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    processors: CpuSet,
    physical_cores: usize,
    numa_nodes: Vec<NumaNode>,
}

/// A NUMA node with at least one processor that this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumaNode {
    /// The system's number of the node.
    pub index: usize,
    /// The processors of the node that this process may use; never empty in a [`Topology`].
    pub processors: CpuSet,
    /// Memory of the node in bytes, whoever uses it; `None` where the system does not say or the node has none.
    pub memory: Option<u64>,
}

/// Why the topology cannot be found out. None of these is a reason to stop: a process runs without knowing.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// A file of the system cannot be read.
    #[error("cannot read {}; the process needs to see /sys and /proc", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the system holds something else than a list.
    #[error("{} does not hold a list of processors or nodes; report this with its content", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with the list.
        source: CpuSetError,
    },
    /// The system does not say which processors the process may use.
    #[error("cannot ask the system for the processors of this process; check the container's restrictions")]
    Affinity(#[source] std::io::Error),
    /// libhwloc failed.
    #[error("libhwloc cannot {action}; run lstopo to see what it finds, or build with --no-default-features")]
    Hwloc {
        /// What was tried.
        action: &'static str,
        /// What libhwloc said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing is left after all restrictions.
    #[error(
        "none of the machine's processors is allowed to this process; check taskset, numactl and cpusets"
    )]
    NoProcessors,
}

/// What a reader has found, before the rules that both share.
#[derive(Debug)]
pub(crate) struct Found {
    /// Processors that are online and allowed.
    pub(crate) processors: CpuSet,
    /// Processors of each physical core, allowed or not. One that is in none is a core by itself.
    pub(crate) cores: Vec<CpuSet>,
    /// NUMA nodes whose memory is allowed, with their processors, allowed or not.
    pub(crate) numa_nodes: Vec<NumaNode>,
}

impl Topology {
    /// Asks the system. Takes milliseconds of blocking work: not for an asynchronous task.
    ///
    /// # Errors
    ///
    /// [`TopologyError`] when the system does not say, which no caller should take as a reason to stop.
    pub fn detect() -> Result<Self, TopologyError> {
        #[cfg(feature = "hwloc")]
        let found = crate::hwloc::read()?;
        #[cfg(not(feature = "hwloc"))]
        let found = crate::plain::read()?;
        Self::assemble(found)
    }

    /// Applies what both readers have in common.
    pub(crate) fn assemble(found: Found) -> Result<Self, TopologyError> {
        let Found {
            processors,
            mut cores,
            mut numa_nodes,
        } = found;
        if processors.is_empty() {
            return Err(TopologyError::NoProcessors);
        }
        cores.retain(|core| !core.is_disjoint(&processors));
        let with_core: CpuSet = cores.iter().flat_map(CpuSet::iter).collect();
        let physical_cores = cores.len() + processors.difference(&with_core).len();

        // A node without processors (high-bandwidth memory, CXL, a GPU's) may be reported with its neighbour's; the neighbour's own
        // node has the lower number. Such a node is no place to run anything.
        numa_nodes.sort_by_key(|node| node.index);
        let mut remaining = processors.clone();
        for node in &mut numa_nodes {
            node.processors = node.processors.intersection(&remaining);
            remaining = remaining.difference(&node.processors);
        }
        numa_nodes.retain(|node| !node.processors.is_empty());
        Ok(Self {
            processors,
            physical_cores,
            numa_nodes,
        })
    }

    /// The processors (hardware threads) that this process may use; never empty.
    #[must_use]
    pub fn processors(&self) -> &CpuSet {
        &self.processors
    }

    /// How many physical cores these processors are on. With simultaneous multithreading there are fewer cores than processors.
    #[must_use]
    pub fn physical_cores(&self) -> usize {
        self.physical_cores
    }

    /// The NUMA nodes these processors are on, by ascending index. Each processor is on one of them, except those of a node whose memory
    /// is not allowed to this process, which are on none.
    #[must_use]
    pub fn numa_nodes(&self) -> &[NumaNode] {
        &self.numa_nodes
    }
}

/// One phrase, as in "2 processors (0-1) on 1 NUMA node".
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (processors, nodes) = (self.processors.len(), self.numa_nodes.len());
        write!(
            f,
            "{processors} processor{} ({}) on {nodes} NUMA node{}",
            plural(processors),
            self.processors,
            plural(nodes)
        )
    }
}

/// The node, its processors and its memory, as in "0 (0-15, 62.7 GiB)".
impl fmt::Display for NumaNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.index, self.processors)?;
        if let Some(memory) = self.memory {
            write!(f, ", {:.1} GiB", memory as f64 / GIB)?;
        }
        f.write_str(")")
    }
}
