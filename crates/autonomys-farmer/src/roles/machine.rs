//! What the machine gives to the roles that compute.

use super::chain::available_processors;
use autonomys_topology::{NumaNode, Topology, TopologyError};

/// Says in the log what this process may compute on, so that a forgotten `numactl` or a container's limit shows. Blocks for
/// milliseconds: to be called before the asynchronous runtime starts.
pub(super) fn report() {
    log(Topology::detect());
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
    use super::{available_processors, log};
    use autonomys_topology::{Topology, TopologyError};
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
    fn an_error_is_a_warning() {
        let lines = lines(Err(TopologyError::NoProcessors));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(
            line.contains("WARN") && line.contains("none of the machine's processors"),
            "{line}"
        );
    }
}
