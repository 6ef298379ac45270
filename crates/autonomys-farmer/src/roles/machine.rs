//! What the machine gives to the roles that compute.

use super::chain::available_processors;
use anyhow::{Context, Result, bail};
use autonomys_topology::{Affinity, CpuAffinity, NumaNode, Topology, TopologyError};
use clap::Args;

/// Where a role computes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AffinityArgs {
    /// Processors to compute on: auto binds compute threads to their NUMA nodes where there are several, none binds nothing, a list as in
    /// 0-15,32-47 binds the whole process
    #[arg(long = "cpu-affinity", value_name = "auto|none|LIST", default_value = "auto")]
    cpu_affinity: CpuAffinity,
}

/// Binds the process as wanted and says in the log what it may compute on and where it does, so that a forgotten `numactl` or a
/// container's limit shows. Blocks for milliseconds: to be called before the asynchronous runtime starts, whose threads inherit it.
pub(super) fn settle(args: &AffinityArgs) -> Result<Affinity> {
    let topology = Topology::detect();
    let affinity = plan(topology.as_ref(), &args.cpu_affinity)?;
    affinity.bind_process().context(
        "the system does not let this process be bound to the processors of --cpu-affinity; give none",
    )?;
    log(topology);
    tracing::info!("{affinity}");
    Ok(affinity)
}

fn plan(topology: Result<&Topology, &TopologyError>, wanted: &CpuAffinity) -> Result<Affinity> {
    match (topology, wanted) {
        (Ok(topology), wanted) => {
            Affinity::plan(topology, wanted).context("--cpu-affinity cannot be followed")
        }
        (Err(error), CpuAffinity::List(list)) => {
            bail!("--cpu-affinity {list} cannot be checked: {error}; give none")
        }
        (Err(_), _) => Ok(Affinity::unbound("the machine's NUMA nodes are not known")),
    }
}

/// One line either way; a role runs as well without knowing.
fn log(topology: Result<Topology, TopologyError>) {
    match topology {
        Ok(topology) => {
            let nodes: Vec<String> = topology.numa_nodes().iter().map(NumaNode::to_string).collect();
            tracing::info!(
                cores = topology.physical_cores(),
                numa_nodes = nodes.join("; "),
                threads = available_processors(),
                "may use {topology}"
            );
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                threads = available_processors(),
                "does not know which processors and NUMA nodes it may use"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{available_processors, log, plan};
    use autonomys_topology::{CpuAffinity, Topology, TopologyError};
    use std::fs;
    use std::sync::Arc;

    /// The lines that `topology` makes.
    fn lines(topology: Result<Topology, TopologyError>) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Arc::new(file.reopen().unwrap()))
            .finish();
        tracing::subscriber::with_default(subscriber, || log(topology));
        let text = fs::read_to_string(file.path()).unwrap();
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn one_line_names_processors_and_nodes() {
        let topology = Topology::detect().unwrap();
        let (phrase, nodes) = (topology.to_string(), topology.numa_nodes().to_vec());
        let lines = lines(Ok(topology));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.contains("INFO") && line.contains(&phrase), "{line}");
        for node in nodes {
            assert!(
                line.contains(&format!("{} ({}", node.index, node.processors)),
                "{line}"
            );
        }
        assert!(
            line.contains(&format!("threads={}", available_processors())),
            "{line}"
        );
    }

    #[test]
    fn a_list_needs_to_be_checked_and_nothing_else_does() {
        let unknown = || Err(&TopologyError::NoProcessors);
        let error = plan(unknown(), &"0-1".parse().unwrap()).unwrap_err().to_string();
        assert!(
            error.starts_with("--cpu-affinity 0-1 cannot be checked"),
            "{error}"
        );
        let unbound = plan(unknown(), &CpuAffinity::Auto).unwrap().to_string();
        assert!(
            unbound.contains("not bound: the machine's NUMA nodes are not known"),
            "{unbound}"
        );
        let topology = Topology::detect().unwrap();
        let error = plan(Ok(&topology), &"65535".parse().unwrap()).unwrap_err();
        assert!(
            format!("{error:#}").contains("may not use processor 65535 of the list"),
            "{error:#}"
        );
    }

    #[test]
    fn an_error_is_a_warning() {
        let lines = lines(Err(TopologyError::NoProcessors));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(
            line.contains("WARN") && line.contains("none of the machine's processors"),
            "{line}"
        );
    }
}
