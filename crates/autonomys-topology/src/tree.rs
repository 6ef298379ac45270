//! Machines as directories: the files below `/sys` and `/proc` that both readers look at.

use crate::cpu_set::CpuSet;
use crate::plain;
use crate::topology::{Topology, TopologyError};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The root directory of a machine that does not exist.
pub(crate) struct Tree(TempDir);

/// A NUMA node: its number, its physical cores as lists of processors, its memory in KiB.
pub(crate) type Node<'a> = (usize, &'a [&'a str], u64);

impl Tree {
    /// Nothing at all, as in a sandbox without `/sys`.
    pub(crate) fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A machine of these nodes, each a socket of its own, with all processors online.
    pub(crate) fn of_nodes(nodes: &[Node<'_>]) -> Self {
        let tree = Self::empty();
        let mut online = CpuSet::new();
        for (package, &(index, cores, kibibytes)) in nodes.iter().enumerate() {
            let cores: Vec<CpuSet> = cores.iter().map(|core| core.parse().unwrap()).collect();
            let processors: CpuSet = cores.iter().flat_map(CpuSet::iter).collect();
            for (number, core) in cores.iter().enumerate() {
                for processor in core.iter() {
                    let directory = format!("sys/devices/system/cpu/cpu{processor}/topology");
                    for (name, set) in [("core_cpus", core), ("package_cpus", &processors)] {
                        tree.write(&format!("{directory}/{name}"), &mask(set));
                        tree.write(&format!("{directory}/{name}_list"), &set.to_string());
                    }
                    tree.write(&format!("{directory}/core_id"), &number.to_string());
                    tree.write(&format!("{directory}/physical_package_id"), &package.to_string());
                }
            }
            tree.write_node(index, &processors, kibibytes);
            online.extend(processors.iter());
        }
        let indexes: CpuSet = nodes.iter().map(|node| node.0).collect();
        tree.write("sys/devices/system/node/online", &indexes.to_string());
        tree.write("sys/devices/system/cpu/online", &online.to_string());
        tree
    }

    fn write_node(&self, index: usize, processors: &CpuSet, kibibytes: u64) {
        let directory = format!("sys/devices/system/node/node{index}");
        self.write(&format!("{directory}/cpulist"), &processors.to_string());
        self.write(&format!("{directory}/cpumap"), &mask(processors));
        let used = kibibytes / 2;
        self.write(
            &format!("{directory}/meminfo"),
            &format!("Node {index} MemFree:  {used} kB\nNode {index} MemTotal:  {kibibytes} kB\nNode {index} MemUsed: {used} kB"),
        );
    }

    /// Writes a file, with the newline that the system ends it with.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
    }

    /// Removes a file or directory.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What the plain reader finds, for a thread with this affinity.
    pub(crate) fn topology(&self, affinity: &str) -> Result<Topology, TopologyError> {
        Topology::assemble(plain::read_from(self.path(), affinity.parse().unwrap())?)
    }
}

/// The other form in which the system writes sets: hexadecimal words of 32 bits, the highest first.
fn mask(set: &CpuSet) -> String {
    let words = set.iter().next_back().map_or(1, |last| last / 32 + 1);
    let word = |number: usize| {
        (0..32)
            .filter(|bit| set.contains(number * 32 + bit))
            .fold(0_u32, |word, bit| word | 1 << bit)
    };
    let words: Vec<String> = (0..words)
        .rev()
        .map(|number| format!("{:08x}", word(number)))
        .collect();
    words.join(",")
}
