//! The rules that both readers share, and both readers on this machine.

use crate::cpu_set::CpuSet;
use crate::plain;
use crate::topology::{Found, NumaNode, Topology, TopologyError};
use proptest::prelude::*;
use std::path::Path;

fn set(list: &str) -> CpuSet {
    list.parse().unwrap()
}

fn node(index: usize, processors: &str) -> NumaNode {
    NumaNode {
        index,
        processors: set(processors),
        memory: None,
    }
}

/// What the plain reader says of this machine.
fn plain_topology() -> Topology {
    let affinity = plain::affinity().unwrap();
    Topology::assemble(plain::read_from(Path::new("/"), affinity).unwrap()).unwrap()
}

/// Both readers on this machine, as the calling thread may use it.
fn agreed() -> Topology {
    // A virtual machine may be given memory while this runs, so compare what was read in one state of it.
    for _ in 0..10 {
        let before = plain_topology();
        let detected = Topology::detect().unwrap();
        if plain_topology() == before {
            assert_eq!(detected, before);
            return detected;
        }
    }
    panic!("the machine changes all the time");
}

#[test]
fn both_readers_agree_on_this_machine() {
    let topology = agreed();
    assert!(topology.physical_cores() <= topology.processors().len());
    // The standard library counts the same processors, less when a container has a share of their time only.
    assert!(std::thread::available_parallelism().unwrap().get() <= topology.processors().len());
    println!("{topology}, {} cores", topology.physical_cores());
}

#[cfg(target_os = "linux")]
#[test]
fn both_readers_agree_on_every_single_processor() {
    use nix::sched::{CpuSet as Mask, sched_setaffinity};
    use nix::unistd::Pid;
    // The binding is the thread's own and ends with it.
    std::thread::spawn(|| {
        let all = Topology::detect().unwrap();
        // Two are as good as all of a big machine.
        for processor in all.processors().iter().take(2) {
            let mut mask = Mask::new();
            mask.set(processor).unwrap();
            sched_setaffinity(Pid::from_raw(0), &mask).unwrap();
            let bound = agreed();
            assert_eq!(bound.processors(), &CpuSet::from_iter([processor]));
            assert_eq!(bound.physical_cores(), 1);
        }
    })
    .join()
    .unwrap();
}

#[test]
fn a_processor_is_on_the_node_with_the_lowest_index_that_has_it() {
    let topology = Topology::assemble(Found {
        processors: set("0-3,9"),
        cores: vec![set("0-1"), set("2-3"), set("4-5")],
        numa_nodes: vec![node(7, "0-3"), node(2, "2-3"), node(5, ""), node(1, "0,8")],
    })
    .unwrap();
    assert_eq!(
        topology.numa_nodes(),
        [node(1, "0"), node(2, "2-3"), node(7, "1")]
    );
    // Two cores have an allowed processor, and 9 is in no core.
    assert_eq!(topology.physical_cores(), 3);
    assert_eq!(topology.to_string(), "5 processors (0-3,9) on 3 NUMA nodes");
}

#[test]
fn no_processor_is_an_error() {
    let found = Found {
        processors: CpuSet::new(),
        cores: vec![set("0")],
        numa_nodes: vec![node(0, "0")],
    };
    assert!(matches!(
        Topology::assemble(found),
        Err(TopologyError::NoProcessors)
    ));
}

#[test]
fn phrases_for_the_operator() {
    let of = |processors: &str, nodes: Vec<NumaNode>| {
        Topology::assemble(Found {
            processors: set(processors),
            cores: Vec::new(),
            numa_nodes: nodes,
        })
        .unwrap()
        .to_string()
    };
    assert_eq!(
        of("0-1", vec![node(0, "0-1")]),
        "2 processors (0-1) on 1 NUMA node"
    );
    assert_eq!(of("5", vec![node(0, "5")]), "1 processor (5) on 1 NUMA node");
    assert_eq!(
        of("0-3,8", vec![node(0, "0-3"), node(1, "8")]),
        "5 processors (0-3,8) on 2 NUMA nodes"
    );
    assert_eq!(of("0", Vec::new()), "1 processor (0) on 0 NUMA nodes");
    let memory = Some(67_296_550_912);
    assert_eq!(
        NumaNode {
            memory,
            ..node(1, "0-15")
        }
        .to_string(),
        "1 (0-15, 62.7 GiB)"
    );
    assert_eq!(node(1, "2").to_string(), "1 (2)");
}

proptest! {
    #[test]
    fn nodes_share_no_processor_and_have_only_allowed_ones(
        processors in prop::collection::btree_set(0..24_usize, 1..24),
        nodes in prop::collection::vec(prop::collection::btree_set(0..24_usize, 0..12), 0..6),
        cores in prop::collection::vec(prop::collection::btree_set(0..24_usize, 1..4), 0..12),
    ) {
        let processors: CpuSet = processors.into_iter().collect();
        let numa_nodes: Vec<NumaNode> = nodes
            .iter()
            .enumerate()
            .map(|(index, set)| NumaNode { index, processors: set.iter().copied().collect(), memory: None })
            .collect();
        let cores = cores.into_iter().map(CpuSet::from_iter).collect();
        let topology = Topology::assemble(Found { processors: processors.clone(), cores, numa_nodes }).unwrap();
        prop_assert_eq!(topology.processors(), &processors);
        prop_assert!(topology.physical_cores() >= 1);
        for processor in 0..24 {
            let expected = nodes.iter().position(|set| set.contains(&processor) && processors.contains(processor));
            let places: Vec<usize> = topology
                .numa_nodes()
                .iter()
                .filter(|node| node.processors.contains(processor))
                .map(|node| node.index)
                .collect();
            prop_assert_eq!(places, expected.into_iter().collect::<Vec<_>>());
        }
        prop_assert!(topology.numa_nodes().iter().all(|node| !node.processors.is_empty()));
    }
}
