//! Synthetic machines, and the same directories of files that the plain reader is tested on.

use super::read_from;
use crate::topology::{NumaNode, Topology};
use crate::tree::{Node, Tree};
use hwlocality::topology::builder::TopologyBuilder;
use std::env;
use std::process::Command;

/// Set for the child processes of [`hwloc_reads_what_its_environment_names`].
const CHILD: &str = "AUTONOMYS_TOPOLOGY_TEST_CHILD";
/// What a child writes in front of its answer.
const ANSWER: &str = "ANSWER ";

fn synthetic(description: &str) -> Topology {
    let builder = TopologyBuilder::new().from_synthetic(description).unwrap();
    Topology::assemble(read_from(builder).unwrap()).unwrap()
}

fn nodes(topology: &Topology) -> Vec<String> {
    topology.numa_nodes().iter().map(NumaNode::to_string).collect()
}

#[test]
fn two_sockets_with_two_threads_a_core() {
    let topology = synthetic("pack:2 [numa(memory=68719476736)] core:4 pu:2");
    assert_eq!(topology.to_string(), "16 processors (0-15) on 2 NUMA nodes");
    assert_eq!(topology.physical_cores(), 8);
    assert_eq!(nodes(&topology), ["0 (0-7, 64.0 GiB)", "1 (8-15, 64.0 GiB)"]);
}

#[test]
fn second_threads_with_far_numbers() {
    let topology = synthetic("pack:2 [numa(memory=1073741824)] core:2 pu:2(indexes=0,4,1,5,2,6,3,7)");
    assert_eq!(topology.processors().to_string(), "0-7");
    assert_eq!(topology.physical_cores(), 4);
    assert_eq!(nodes(&topology), ["0 (0-1,4-5, 1.0 GiB)", "1 (2-3,6-7, 1.0 GiB)"]);
}

#[test]
fn several_nodes_a_socket() {
    let topology = synthetic("pack:2 numa:4(memory=34359738368) core:3 pu:1");
    assert_eq!(topology.to_string(), "24 processors (0-23) on 8 NUMA nodes");
    assert_eq!(topology.physical_cores(), 24);
    let processors: Vec<String> = topology
        .numa_nodes()
        .iter()
        .map(|node| node.processors.to_string())
        .collect();
    assert_eq!(
        processors,
        ["0-2", "3-5", "6-8", "9-11", "12-14", "15-17", "18-20", "21-23"]
    );
    assert!(
        topology
            .numa_nodes()
            .iter()
            .all(|node| node.memory == Some(32 << 30))
    );
}

#[test]
fn one_processor() {
    let topology = synthetic("core:1 pu:1");
    assert_eq!(topology.to_string(), "1 processor (0) on 1 NUMA node");
    assert_eq!(topology.physical_cores(), 1);
}

#[test]
fn fast_memory_beside_a_socket_is_no_node_of_its_own() {
    // It claims the processors of its socket, and has a higher number than the node that owns them.
    let topology = synthetic("pack:2 [numa(memory=2147483648)] [numa(memory=1073741824)] core:2 pu:1");
    assert_eq!(topology.processors().to_string(), "0-3");
    assert_eq!(nodes(&topology), ["0 (0-1, 2.0 GiB)", "2 (2-3, 2.0 GiB)"]);
}

/// libhwloc takes other machines from environment variables, which belong to a whole process: so a child has to ask.
#[test]
fn hwloc_reads_what_its_environment_names() {
    if env::var_os(CHILD).is_some() {
        println!("\n{ANSWER}{:?}", Topology::detect().unwrap());
        return;
    }
    let ask = |variable: &str, value: &std::ffi::OsStr| {
        let output = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "hwloc::tests::hwloc_reads_what_its_environment_names",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("HWLOC_THISSYSTEM", "0")
            .env(variable, value)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answer = text.lines().find_map(|line| line.strip_prefix(ANSWER));
        answer.unwrap_or_else(|| panic!("no answer: {text}")).to_string()
    };
    let description = "pack:2 [numa(memory=1024)] core:2 pu:2";
    let answer = ask("HWLOC_SYNTHETIC", description.as_ref());
    assert_eq!(answer, format!("{:?}", synthetic(description)));

    let machines: &[&[Node<'_>]] = &[
        &[(0, &["0"], 1 << 20)],
        &[(0, &["0-1", "2-3"], 1 << 20)],
        // Two sockets, threads of a core far apart.
        &[(0, &["0,4", "1,5"], 1 << 20), (1, &["2,6", "3,7"], 3 << 20)],
        // Four nodes of which one number is not used, without multithreading, processors beyond the first word of a mask.
        &[
            (0, &["0", "1"], 1 << 20),
            (1, &["2", "31"], 2 << 20),
            (2, &["32", "33"], 3 << 20),
            (4, &["64", "100"], 4 << 20),
        ],
        // Processors in one node, memory in both.
        &[(0, &["0-1", "2-3"], 1 << 20), (1, &[], 5 << 20)],
    ];
    for nodes in machines {
        let tree = Tree::of_nodes(nodes);
        let plain = tree.topology("0-127").unwrap();
        assert_eq!(
            ask("HWLOC_FSROOT", tree.path().as_os_str()),
            format!("{plain:?}"),
            "{nodes:?}"
        );
    }
}
