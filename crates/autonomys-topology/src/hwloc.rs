//! The reader that asks libhwloc.

#[cfg(test)]
mod tests;

use crate::cpu_set::CpuSet;
use crate::topology::{Found, NumaNode, TopologyError};
use hwlocality::Topology;
use hwlocality::cpu::binding::CpuBindingFlags;
use hwlocality::cpu::cpuset::CpuSet as HwlocCpuSet;
use hwlocality::object::TopologyObject;
use hwlocality::object::attributes::ObjectAttributes;
use hwlocality::object::types::ObjectType;
use hwlocality::topology::builder::{BuildFlags, TopologyBuilder};
use hwlocality::topology::support::{CpuBindingSupport, FeatureSupport};
use std::num::NonZeroU64;

/// What libhwloc says of this machine, or of the one that its environment variables describe (`HWLOC_SYNTHETIC`, `HWLOC_XMLFILE`).
pub(crate) fn read() -> Result<Found, TopologyError> {
    read_from(Topology::builder())
}

/// What libhwloc says of the machine that the builder describes.
pub(crate) fn read_from(builder: TopologyBuilder) -> Result<Found, TopologyError> {
    let topology = builder
        // One of its ways to look binds the calling thread to each processor in turn, and other threads run already.
        .with_flags(BuildFlags::DONT_CHANGE_BINDING)
        .map_err(|error| failed("be configured", error))?
        .build()
        .map_err(|error| failed("examine this machine", error))?;
    Ok(Found {
        processors: allowed(&topology)?,
        cores: topology
            .objects_with_type(ObjectType::Core)
            .map(processors)
            .collect(),
        numa_nodes: topology
            .objects_with_type(ObjectType::NUMANode)
            .map(numa_node)
            .collect(),
    })
}

/// The processors that are online, in the container's set, and in the thread's affinity.
fn allowed(topology: &Topology) -> Result<CpuSet, TopologyError> {
    let machine = topology.cpuset();
    // A machine that is only described has no affinity, and some systems know none.
    if !topology.supports(FeatureSupport::cpu_binding, CpuBindingSupport::get_current_thread) {
        return Ok(convert(&machine));
    }
    // Not the whole process: that fails as soon as two of its threads are bound to different processors.
    let bound = topology
        .cpu_binding(CpuBindingFlags::THREAD)
        .map_err(|error| failed("tell the processors of this process", error))?;
    // The machine's set is finite, which a binding need not be.
    Ok(convert(&(machine & bound)))
}

fn processors(object: &TopologyObject) -> CpuSet {
    object.cpuset().map(|set| convert(&set)).unwrap_or_default()
}

fn numa_node(object: &TopologyObject) -> NumaNode {
    let memory = match object.attributes() {
        Some(ObjectAttributes::NUMANode(node)) => node.local_memory().map(NonZeroU64::get),
        _ => None,
    };
    NumaNode {
        index: object.os_index().unwrap_or_else(|| object.logical_index()),
        processors: processors(object),
        memory,
    }
}

fn convert(set: &HwlocCpuSet) -> CpuSet {
    set.iter_set().map(usize::from).collect()
}

fn failed(action: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> TopologyError {
    TopologyError::Hwloc {
        action,
        source: Box::new(source),
    }
}
