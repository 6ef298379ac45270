//! The reader that needs no library: `/sys`, `/proc` and the thread's affinity.
//!
//! Where a file is missing, as in some sandboxes and on systems other than Linux, the machine counts as the simplest one: every
//! processor a core, one NUMA node.

#[cfg(test)]
mod tests;

use crate::cpu_set::CpuSet;
use crate::topology::{Found, NumaNode, TopologyError};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// No file that is read here comes near this; one that is longer is cut and then malformed.
const FILE_LIMIT: u64 = 64 * 1024;

/// What the system says of this machine.
#[cfg(not(feature = "hwloc"))]
pub(crate) fn read() -> Result<Found, TopologyError> {
    read_from(Path::new("/"), affinity()?)
}

/// What the files below `root` say, for a thread with this affinity.
pub(crate) fn read_from(root: &Path, affinity: CpuSet) -> Result<Found, TopologyError> {
    let processors = match list(&root.join("sys/devices/system/cpu/online"))? {
        Some(online) => affinity.intersection(&online),
        None => affinity,
    };
    Ok(Found {
        cores: cores(root, &processors)?,
        numa_nodes: numa_nodes(root, &processors)?,
        processors,
    })
}

/// The processors that the calling thread may run on.
#[cfg(target_os = "linux")]
pub(crate) fn affinity() -> Result<CpuSet, TopologyError> {
    use nix::sched::{CpuSet as Mask, sched_getaffinity};
    use nix::unistd::Pid;
    // Zero is the calling thread.
    let mask = sched_getaffinity(Pid::from_raw(0)).map_err(|error| TopologyError::Affinity(error.into()))?;
    Ok((0..Mask::count())
        .filter(|&processor| mask.is_set(processor).unwrap_or(false))
        .collect())
}

/// As many processors as the standard library counts; other systems do not tell which.
#[cfg(not(target_os = "linux"))]
pub(crate) fn affinity() -> Result<CpuSet, TopologyError> {
    let count = std::thread::available_parallelism().map_err(TopologyError::Affinity)?;
    Ok((0..count.get()).collect())
}

/// The physical cores of these processors. A processor whose core is not known is left out.
fn cores(root: &Path, processors: &CpuSet) -> Result<Vec<CpuSet>, TopologyError> {
    let mut cores = Vec::new();
    let mut seen = CpuSet::new();
    for processor in processors.iter() {
        if seen.contains(processor) {
            continue;
        }
        let directory = root.join(format!("sys/devices/system/cpu/cpu{processor}/topology"));
        // The second is what kernels before 5.3 call the first.
        let core = match list(&directory.join("core_cpus_list"))? {
            Some(core) => Some(core),
            None => list(&directory.join("thread_siblings_list"))?,
        };
        if let Some(core) = core {
            seen.extend(core.iter());
            cores.push(core);
        }
    }
    Ok(cores)
}

/// The NUMA nodes whose memory the process may use; one with all processors where the system has no notion of nodes.
fn numa_nodes(root: &Path, processors: &CpuSet) -> Result<Vec<NumaNode>, TopologyError> {
    let directory = root.join("sys/devices/system/node");
    let online = list(&directory.join("online"))?.unwrap_or_default();
    if online.is_empty() {
        return Ok(vec![NumaNode {
            index: 0,
            processors: processors.clone(),
            memory: memory(&root.join("proc/meminfo"))?,
        }]);
    }
    let allowed = allowed_nodes(root)?;
    online
        .iter()
        .filter(|&index| allowed.as_ref().is_none_or(|allowed| allowed.contains(index)))
        .map(|index| {
            let directory = directory.join(format!("node{index}"));
            Ok(NumaNode {
                index,
                processors: list(&directory.join("cpulist"))?.unwrap_or_default(),
                memory: memory(&directory.join("meminfo"))?,
            })
        })
        .collect()
}

/// The nodes that the container's cpuset lets the process take memory from; `None` where the system does not say.
fn allowed_nodes(root: &Path) -> Result<Option<CpuSet>, TopologyError> {
    let path = root.join("proc/self/status");
    let Some(status) = text(&path)? else {
        return Ok(None);
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("Mems_allowed_list:"))
        .map(|nodes| parse(nodes, &path))
        .transpose()
}

/// The total of a `meminfo` file, in bytes; `None` when there is none or it is zero.
fn memory(path: &Path) -> Result<Option<u64>, TopologyError> {
    let Some(info) = text(path)? else { return Ok(None) };
    // "MemTotal:  24684084 kB", and "Node 0 MemTotal:  14641356 kB" in a node's.
    Ok(info
        .lines()
        .find_map(|line| line.split_once("MemTotal:"))
        .and_then(|(_, amount)| amount.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .and_then(|kibibytes| kibibytes.checked_mul(1024))
        .filter(|&bytes| bytes != 0))
}

/// The list in a file; `None` when there is no such file.
fn list(path: &Path) -> Result<Option<CpuSet>, TopologyError> {
    text(path)?.map(|list| parse(&list, path)).transpose()
}

fn parse(list: &str, path: &Path) -> Result<CpuSet, TopologyError> {
    list.parse().map_err(|source| TopologyError::Malformed {
        path: path.into(),
        source,
    })
}

/// The content of a file; `None` when there is no such file.
fn text(path: &Path) -> Result<Option<String>, TopologyError> {
    let read = || -> std::io::Result<String> {
        let mut content = Vec::new();
        File::open(path)?.take(FILE_LIMIT).read_to_end(&mut content)?;
        // A process may have any bytes as its name, and its status repeats them.
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    match read() {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(TopologyError::Read {
            path: path.into(),
            source,
        }),
    }
}
