//! Starting nodes for tests.

use autonomys_dev_node::{DevNode, DevNodeConfig, SlotPace};
use autonomys_node_rpc::{NodeClient, NodeClientConfig};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::Kzg;
use subspace_kzg::reference_string::ReferenceString;
use subspace_proof_of_space::ProofOfSpaceKind;
use tokio_util::sync::CancellationToken;

/// Patience for anything that must happen; far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A segment takes 40 core-seconds, on processors that other tests use as well.
const ARCHIVING_PATIENCE: Duration = Duration::from_secs(300);

/// Arithmetic shared by all tests.
pub(crate) struct Tools {
    pub(crate) pool: Arc<rayon::ThreadPool>,
    pub(crate) reference_string: ReferenceString,
    pub(crate) kzg: Kzg,
    pub(crate) erasure_coding: ErasureCoding,
}

pub(crate) static TOOLS: LazyLock<Tools> = LazyLock::new(|| {
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
    let reference_string = ReferenceString::insecure_development(&pool);
    Tools {
        kzg: Kzg::new(reference_string.clone()),
        erasure_coding: ErasureCoding::new(NonZeroUsize::new(15 + 1).unwrap()).unwrap(),
        reference_string,
        pool,
    }
});

/// A fast chain in `directory` whose slots are stepped by hand, with `pieces` pieces in a sector of which every slot wins.
pub(crate) fn config(directory: &Path, pieces: u16) -> DevNodeConfig {
    let mut config = DevNodeConfig::new(directory);
    config.cache_path = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("dev-node-segments"));
    config.rpc_listen_on = ([127, 0, 0, 1], 0).into();
    config.parameters.max_pieces_in_sector = pieces;
    config.parameters.initial_solution_range = u64::MAX;
    config.parameters.pot_iterations = 16;
    config.proof_of_space = ProofOfSpaceKind::FastTest;
    config.reference_string = Some(TOOLS.reference_string.clone());
    config.slot_pace = SlotPace::Manual;
    config.threads = Some(2);
    config
}

/// Starts a node. One at a time, so that only the first archives the genesis segment.
pub(crate) async fn start(config: DevNodeConfig) -> (DevNode, CancellationToken) {
    static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _starting = STARTING.lock().await;
    let cancel = CancellationToken::new();
    let node = DevNode::start(config, cancel.clone()).await.unwrap();
    (node, cancel)
}

/// Address of a node for clients.
pub(crate) fn url(node: &DevNode) -> String {
    format!("ws://{}", node.rpc_address)
}

/// Our own client, connected.
pub(crate) async fn client(node: &DevNode) -> NodeClient {
    let client =
        NodeClient::with_config(NodeClientConfig::new([url(node)]), CancellationToken::new()).unwrap();
    within(client.connected()).await.unwrap();
    client
}

/// Fails instead of waiting for ever.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    within_time(PATIENCE, future)
}

/// As [`within`], for what may include the archiving of a segment.
#[track_caller]
pub(crate) fn within_archiving<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    within_time(ARCHIVING_PATIENCE, future)
}

#[track_caller]
fn within_time<T>(patience: Duration, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(patience, future).await {
            Ok(result) => result,
            Err(_) => panic!("nothing happened within {patience:?} at {place}"),
        }
    }
}
