//! Machines in temporary directories, and what is missing or wrong in them.

use crate::topology::{NumaNode, Topology, TopologyError};
use crate::tree::Tree;
use std::fs;

/// Two sockets of two cores with two threads each; the second thread of a core has a far number, as on real machines.
fn two_sockets() -> Tree {
    Tree::of_nodes(&[(0, &["0,4", "1,5"], 1 << 20), (1, &["2,6", "3,7"], 3 << 20)])
}

fn nodes(topology: &Topology) -> Vec<String> {
    topology.numa_nodes().iter().map(NumaNode::to_string).collect()
}

#[test]
fn a_whole_machine() {
    let topology = two_sockets().topology("0-7").unwrap();
    assert_eq!(topology.to_string(), "8 processors (0-7) on 2 NUMA nodes");
    assert_eq!(topology.physical_cores(), 4);
    assert_eq!(nodes(&topology), ["0 (0-1,4-5, 1.0 GiB)", "1 (2-3,6-7, 3.0 GiB)"]);
    assert_eq!(topology.numa_nodes()[1].memory, Some(3 << 30));
}

#[test]
fn affinity_narrows_processors_cores_and_nodes() {
    let tree = two_sockets();
    for (affinity, shown, cores, places) in [
        ("0", "1 processor (0) on 1 NUMA node", 1, vec!["0 (0, 1.0 GiB)"]),
        (
            "1,5",
            "2 processors (1,5) on 1 NUMA node",
            1,
            vec!["0 (1,5, 1.0 GiB)"],
        ),
        (
            "2-3,6",
            "3 processors (2-3,6) on 1 NUMA node",
            2,
            vec!["1 (2-3,6, 3.0 GiB)"],
        ),
        (
            "4,7",
            "2 processors (4,7) on 2 NUMA nodes",
            2,
            vec!["0 (4, 1.0 GiB)", "1 (7, 3.0 GiB)"],
        ),
    ] {
        let topology = tree.topology(affinity).unwrap();
        assert_eq!(topology.to_string(), shown);
        assert_eq!(topology.processors().to_string(), affinity);
        assert_eq!(topology.physical_cores(), cores, "{affinity}");
        assert_eq!(nodes(&topology), places);
    }
}

#[test]
fn processors_that_are_offline_do_not_count() {
    let tree = two_sockets();
    tree.write("sys/devices/system/cpu/online", "0-2,4");
    let topology = tree.topology("0-7").unwrap();
    assert_eq!(topology.to_string(), "4 processors (0-2,4) on 2 NUMA nodes");
    assert_eq!(topology.physical_cores(), 3);
    tree.write("sys/devices/system/cpu/online", "3");
    assert!(matches!(tree.topology("0-2"), Err(TopologyError::NoProcessors)));
}

#[test]
fn nodes_whose_memory_is_not_allowed_do_not_count() {
    let tree = two_sockets();
    tree.write(
        "proc/self/status",
        "Name:\tfarmer\nMems_allowed:\t2\nMems_allowed_list:\t1\nThreads:\t1",
    );
    let topology = tree.topology("0-7").unwrap();
    assert_eq!(nodes(&topology), ["1 (2-3,6-7, 3.0 GiB)"]);
    assert_eq!(topology.processors().len(), 8);
    assert_eq!(topology.physical_cores(), 4);
    // A status without the line, and with a name that is no text.
    fs::write(tree.path().join("proc/self/status"), b"Name:\t\xff\n").unwrap();
    assert_eq!(nodes(&tree.topology("0-7").unwrap()).len(), 2);
}

#[test]
fn memory_without_processors_is_no_place_to_run() {
    let tree = Tree::of_nodes(&[(0, &["0", "1"], 1 << 20), (3, &[], 8 << 20), (8, &["2"], 0)]);
    let topology = tree.topology("0-2").unwrap();
    assert_eq!(nodes(&topology), ["0 (0-1, 1.0 GiB)", "8 (2)"]);
    assert_eq!(topology.numa_nodes()[1].memory, None);
}

#[test]
fn what_is_missing_counts_as_the_simplest_machine() {
    let tree = Tree::empty();
    let topology = tree.topology("1-3").unwrap();
    assert_eq!(topology.to_string(), "3 processors (1-3) on 1 NUMA node");
    assert_eq!(topology.physical_cores(), 3);
    assert_eq!(nodes(&topology), ["0 (1-3)"]);
    // A kernel without NUMA.
    tree.write("proc/meminfo", "MemTotal:       2097152 kB\nMemFree:  1 kB");
    assert_eq!(nodes(&tree.topology("1-3").unwrap()), ["0 (1-3, 2.0 GiB)"]);

    let tree = two_sockets();
    for processor in [2, 6] {
        tree.remove(&format!("sys/devices/system/cpu/cpu{processor}/topology"));
    }
    // Both threads of that core count as cores now.
    assert_eq!(tree.topology("0-7").unwrap().physical_cores(), 5);
    tree.remove("sys/devices/system/node/node0/meminfo");
    tree.remove("sys/devices/system/node/node1/cpulist");
    assert_eq!(nodes(&tree.topology("0-7").unwrap()), ["0 (0-1,4-5)"]);
}

#[test]
fn older_kernels_call_cores_siblings() {
    let tree = two_sockets();
    for (processor, siblings) in [(0, "0,4"), (4, "0,4")] {
        let directory = format!("sys/devices/system/cpu/cpu{processor}/topology");
        tree.remove(&format!("{directory}/core_cpus_list"));
        tree.write(&format!("{directory}/thread_siblings_list"), siblings);
    }
    assert_eq!(tree.topology("0-7").unwrap().physical_cores(), 4);
}

#[test]
fn errors_name_the_file() {
    for path in [
        "sys/devices/system/cpu/online",
        "sys/devices/system/cpu/cpu0/topology/core_cpus_list",
        "sys/devices/system/node/online",
        "sys/devices/system/node/node1/cpulist",
    ] {
        let tree = two_sockets();
        tree.write(path, "0-x");
        let error = tree.topology("0-7").unwrap_err();
        assert!(matches!(error, TopologyError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(path), "{error}");
        // A directory in its place can be opened but not read.
        tree.remove(path);
        fs::create_dir(tree.path().join(path)).unwrap();
        let error = tree.topology("0-7").unwrap_err();
        assert!(matches!(error, TopologyError::Read { .. }), "{error:?}");
        assert!(error.to_string().contains(path), "{error}");
    }
    let tree = two_sockets();
    tree.write("proc/self/status", "Mems_allowed_list:\t1,");
    assert!(
        tree.topology("0-7")
            .unwrap_err()
            .to_string()
            .contains("proc/self/status")
    );
    // A list that never ends is cut, not read into memory.
    tree.write("proc/self/status", "Name: x");
    tree.write("sys/devices/system/node/online", &"0,".repeat(100_000));
    assert!(matches!(
        tree.topology("0-7"),
        Err(TopologyError::Malformed { .. })
    ));
}
