//! What processors and NUMA nodes this process may use.
//!
//! * [`Topology`]: processors, physical cores and NUMA nodes, after everything that narrows them: `numactl`, `taskset`, cpusets of
//!   containers, processors that are offline.
//! * [`CpuSet`]: a set of processors in the system's list form, `0-3,8`.
//! * [`Affinity`]: which of them a process and its compute threads are bound to.
//!
//! Feature `hwloc` (on by default) asks libhwloc; without it, the files below `/sys` and `/proc` are read directly. Both give the same
//! answers (docs/decisions/0005-topology.md).

mod affinity;
mod cpu_set;
mod topology;

#[cfg(feature = "hwloc")]
mod hwloc;
// With hwloc it serves the tests alone: the two readers are held against each other.
#[cfg(any(test, not(feature = "hwloc")))]
mod plain;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tree;

pub use affinity::{Affinity, CpuAffinity, CpuAffinityError, NotAllowed};
pub use cpu_set::{CpuSet, CpuSetError};
pub use topology::{NumaNode, Topology, TopologyError};
