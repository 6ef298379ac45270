//! The server: limits of an official node, and sockets that can be closed on request.

use super::chain::ChainApi;
use super::development::{DevNodeRpcServer, DevelopmentApi};
use super::faults::Withhold;
use super::subspace::SubspaceApi;
use super::system::SystemApi;
use crate::error::DevNodeError;
use crate::shared::Shared;
use autonomys_node_rpc::limits;
use autonomys_node_rpc::server::{ChainRpcServer, SubspaceRpcServer, SystemRpcServer};
use jsonrpsee::RpcModule;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{BatchRequestConfig, RandomStringIdProvider, Server, ServerConfig, ServerHandle};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Length of subscription ids.
const SUBSCRIPTION_ID_LENGTH: usize = 16;
/// How long closing sockets may take before the next server starts beside the old one.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// All methods over the shared state.
///
/// # Errors
/// When two methods have the same name.
pub fn methods(shared: &Arc<Shared>) -> Result<RpcModule<()>, DevNodeError> {
    let conflict =
        |error: jsonrpsee::core::RegisterMethodError| DevNodeError::Configuration(error.to_string());
    let mut module = RpcModule::new(());
    module
        .merge(SubspaceApi(Arc::clone(shared)).into_rpc())
        .map_err(conflict)?;
    module
        .merge(ChainApi(Arc::clone(shared)).into_rpc())
        .map_err(conflict)?;
    module
        .merge(SystemApi(Arc::clone(shared)).into_rpc())
        .map_err(conflict)?;
    module
        .merge(DevelopmentApi(Arc::clone(shared)).into_rpc())
        .map_err(conflict)?;
    let mut names: Vec<&'static str> = module.method_names().chain(["rpc_methods"]).collect();
    names.sort_unstable();
    module
        .register_method(
            "rpc_methods",
            move |_, _, _| serde_json::json!({ "methods": names }),
        )
        .map_err(conflict)?;
    Ok(module)
}

/// Binds the address; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> Result<TcpListener, DevNodeError> {
    let listen = |source| DevNodeError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    Ok(listener)
}

fn start(listener: &TcpListener, shared: &Arc<Shared>) -> Result<ServerHandle, DevNodeError> {
    let address = listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let listen = |source| DevNodeError::Listen { address, source };
    let config = ServerConfig::builder()
        .max_request_body_size(limits::MAX_REQUEST_SIZE)
        .max_response_body_size(limits::MAX_RESPONSE_SIZE)
        .max_connections(limits::MAX_CONNECTIONS)
        .max_subscriptions_per_connection(limits::MAX_SUBSCRIPTIONS_PER_CONNECTION)
        .set_message_buffer_capacity(limits::MESSAGE_BUFFER_CAPACITY)
        .set_batch_request_config(BatchRequestConfig::Unlimited)
        .set_id_provider(RandomStringIdProvider::new(SUBSCRIPTION_ID_LENGTH))
        .build();
    let faults = Arc::clone(&shared.faults);
    let socket_generation = shared.socket_generation.subscribe();
    let middleware = RpcServiceBuilder::new().layer_fn(move |service| Withhold {
        service,
        faults: Arc::clone(&faults),
        socket_generation: socket_generation.clone(),
    });
    let server = Server::builder()
        .set_config(config)
        .set_rpc_middleware(middleware)
        .build_from_tcp(listener.try_clone().map_err(listen)?)
        .map_err(listen)?;
    Ok(server.start(methods(shared)?))
}

/// Serves until dropped. The port stays bound while sockets are closed and the server starts anew.
///
/// # Errors
/// When the server cannot start.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) -> Result<(), DevNodeError> {
    let mut socket_generation = shared.socket_generation.subscribe();
    loop {
        let handle = start(&listener, &shared)?;
        let stop_when_dropped = StopWhenDropped(handle.clone());
        if socket_generation.changed().await.is_err() {
            return Ok(());
        }
        tracing::warn!("closing all RPC sockets");
        drop(stop_when_dropped);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, handle.stopped()).await;
    }
}

struct StopWhenDropped(ServerHandle);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        // An error only says that it is stopped already.
        let _ = self.0.stop();
    }
}
