//! What is chosen on machines of one, two and four nodes, and that binding binds.

use super::*;
use crate::topology::{Found, NumaNode};
use crate::tree::Tree;
use proptest::prelude::*;

fn set(list: &str) -> CpuSet {
    list.parse().unwrap()
}

/// Two sockets of two cores with two threads each; the second thread of a core has a far number.
fn two_nodes(affinity: &str) -> Topology {
    Tree::of_nodes(&[(0, &["0,4", "1,5"], 1 << 20), (1, &["2,6", "3,7"], 3 << 20)])
        .topology(affinity)
        .unwrap()
}

fn plan(topology: &Topology, wanted: &str) -> Affinity {
    Affinity::plan(topology, &wanted.parse().unwrap()).unwrap()
}

/// The sets of all threads, each with how many threads have it.
fn threads(affinity: &Affinity, threads: usize) -> Vec<(String, usize)> {
    let mut sets: Vec<(String, usize)> = Vec::new();
    for number in 0..threads {
        let set = affinity.thread(number, threads).expect("bound").to_string();
        match sets.last_mut() {
            Some((last, count)) if *last == set => *count += 1,
            _ => sets.push((set, 1)),
        }
    }
    sets
}

fn of(sets: &[(&str, usize)]) -> Vec<(String, usize)> {
    sets.iter()
        .map(|(set, count)| ((*set).to_string(), *count))
        .collect()
}

#[test]
fn threads_are_shared_out_over_the_nodes() {
    let affinity = plan(&two_nodes("0-7"), "auto");
    assert_eq!(affinity.process(), None);
    assert_eq!(threads(&affinity, 8), of(&[("0-1,4-5", 4), ("2-3,6-7", 4)]));
    assert_eq!(threads(&affinity, 2), of(&[("0-1,4-5", 1), ("2-3,6-7", 1)]));
    assert_eq!(
        affinity.to_string(),
        "compute threads are bound to NUMA nodes 0 (0-1,4-5) and 1 (2-3,6-7)"
    );
    // Unequal nodes get threads by their processors.
    let affinity = plan(&two_nodes("0-3,6,7"), "auto");
    assert_eq!(threads(&affinity, 6), of(&[("0-1", 2), ("2-3,6-7", 4)]));
}

#[test]
fn one_node_binds_nothing_and_says_so() {
    for (affinity, wanted) in [("0-1,4", "auto"), ("0-7", "none")] {
        let affinity = plan(&two_nodes(affinity), wanted);
        assert_eq!((affinity.process(), affinity.thread(0, 4)), (None, None));
    }
    assert_eq!(
        plan(&two_nodes("0-1,4"), "auto").to_string(),
        "compute threads are not bound: all processors are on one NUMA node"
    );
    assert_eq!(
        plan(&two_nodes("0-7"), "none").to_string(),
        "compute threads are not bound: not wanted"
    );
}

#[test]
fn a_list_binds_the_process() {
    let affinity = plan(&two_nodes("0-7"), "0-1,4");
    assert_eq!(affinity.process(), Some(&set("0-1,4")));
    assert_eq!(
        affinity.thread(0, 2),
        None,
        "one node: the process is bound already"
    );
    let affinity = plan(&two_nodes("0-7"), "1,2-3");
    assert_eq!(threads(&affinity, 3), of(&[("1", 1), ("2-3", 2)]));
    assert_eq!(
        affinity.to_string(),
        "the process is bound to processors 1-3; compute threads are bound to NUMA nodes 0 (1) and 1 (2-3)"
    );
}

#[test]
fn bad_lists_are_refused_by_name() {
    let refused = |list: &str| list.parse::<CpuAffinity>().unwrap_err().to_string();
    assert!(
        refused("0-3,x").contains("\"x\" is neither a processor nor a range"),
        "{}",
        refused("0-3,x")
    );
    assert!(
        refused("numa").contains("neither auto nor none"),
        "{}",
        refused("numa")
    );
    assert!(refused(" ").contains("empty"));
    let topology = two_nodes("0-5");
    let refused = |list: &str| {
        Affinity::plan(&topology, &list.parse().unwrap())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("4-7"),
        "this process may not use processors 6-7 of the list 4-7; it may use 0-5"
    );
    assert_eq!(
        refused("9"),
        "this process may not use processor 9 of the list 9; it may use 0-5"
    );
}

#[cfg(feature = "hwloc")]
#[test]
fn synthetic_machines_of_many_nodes() {
    use hwlocality::topology::builder::TopologyBuilder;
    let described = |description: &str| {
        let builder = TopologyBuilder::new().from_synthetic(description).unwrap();
        Topology::assemble(crate::hwloc::read_from(builder).unwrap()).unwrap()
    };
    let topology = described("pack:2 numa:4(memory=34359738368) core:3 pu:1");
    let affinity = plan(&topology, "auto");
    assert_eq!(threads(&affinity, 8).len(), 8, "a thread for each node");
    assert!(threads(&affinity, 24).iter().all(|(_, count)| *count == 3));
    // The tutorial's plot machine, one process for the first socket: numactl -C 0-31 -l.
    let topology = described("pack:2 [numa(memory=68719476736)] core:32 pu:2");
    let affinity = plan(&topology, "0-31");
    assert_eq!(affinity.process(), Some(&set("0-31")));
    assert_eq!(affinity.thread(7, 32), None);
}

#[cfg(target_os = "linux")]
#[test]
fn binding_binds_the_calling_thread_and_those_it_starts() {
    let topology = Topology::detect().unwrap();
    let Some(processor) = topology.processors().iter().last() else {
        panic!("no processor")
    };
    let wanted = CpuAffinity::List(CpuSet::from_iter([processor]));
    let affinity = Affinity::plan(&topology, &wanted).unwrap();
    let seen = std::thread::spawn(move || {
        affinity.bind_process().unwrap();
        let inherited = std::thread::spawn(|| crate::plain::affinity().unwrap());
        (crate::plain::affinity().unwrap(), inherited.join().unwrap())
    })
    .join()
    .unwrap();
    let only = CpuSet::from_iter([processor]);
    assert_eq!(seen, (only.clone(), only));
    assert_eq!(crate::plain::affinity().unwrap(), *topology.processors());
}

proptest! {
    #[test]
    fn every_thread_is_on_one_node_and_shares_are_fair(
        sizes in prop::collection::vec(1..20_usize, 1..6),
        count in 1..64_usize,
    ) {
        let mut first = 0;
        let numa_nodes: Vec<NumaNode> = sizes.iter().enumerate().map(|(index, size)| {
            let processors = (first..first + size).collect();
            first += size;
            NumaNode { index, processors, memory: None }
        }).collect();
        let found = Found { processors: (0..first).collect(), cores: Vec::new(), numa_nodes: numa_nodes.clone() };
        let topology = Topology::assemble(found).unwrap();
        let affinity = Affinity::plan(&topology, &CpuAffinity::Auto).unwrap();
        for node in &numa_nodes {
            let on_it = (0..count).filter(|number| affinity.thread(*number, count) == Some(&node.processors)).count();
            let exact = count * node.processors.len();
            let share = if sizes.len() == 1 { 0 } else { exact / first };
            let most = if sizes.len() == 1 { 0 } else { exact.div_ceil(first) };
            prop_assert!((share..=most + 1).contains(&on_it), "{on_it} of {count} on {node}");
        }
        let bound = (0..count).filter(|number| affinity.thread(*number, count).is_some()).count();
        prop_assert_eq!(bound, if sizes.len() == 1 { 0 } else { count });
    }
}
