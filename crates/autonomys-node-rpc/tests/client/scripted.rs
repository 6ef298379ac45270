//! A node that does what a test tells it.

use autonomys_node_rpc::{names, wire};
use jsonrpsee::RpcModule;
use jsonrpsee::server::{BatchRequestConfig, PendingSubscriptionSink, Server, ServerConfig, ServerHandle};
use jsonrpsee::types::ErrorObjectOwned;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, SegmentCommitment, SegmentHeader, SegmentIndex,
};
use tokio::sync::broadcast;

const PATIENCE: Duration = Duration::from_secs(30);

/// Fails instead of waiting for ever.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(result) => result,
            Err(_) => panic!("nothing happened within {PATIENCE:?} at {place}"),
        }
    }
}

/// What the node answers.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) genesis: u8,
    pub(crate) syncing: bool,
    pub(crate) headers: Vec<SegmentHeader>,
    pub(crate) solution_error: Option<(i32, &'static str)>,
    pub(crate) silent_signatures: bool,
    pub(crate) allow_unsafe: bool,
    /// Methods in order of arrival.
    pub(crate) calls: Vec<String>,
    pub(crate) block: Value,
}

pub(crate) struct Node {
    pub(crate) script: Arc<Mutex<Script>>,
    pub(crate) slots: broadcast::Sender<Value>,
    pub(crate) rewards: broadcast::Sender<Value>,
    pub(crate) segments: broadcast::Sender<Value>,
    listener: TcpListener,
    config: ServerConfig,
    handle: Option<ServerHandle>,
}

async fn forward(pending: PendingSubscriptionSink, mut items: broadcast::Receiver<Value>) {
    let Ok(sink) = pending.accept().await else { return };
    loop {
        tokio::select! {
            () = sink.closed() => return,
            item = items.recv() => {
                let Ok(item) = item else { return };
                let item = serde_json::value::to_raw_value(&item).unwrap();
                if sink.send(item).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_config(ServerConfig::default())
    }

    pub(crate) fn with_config(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let script = Script {
            genesis: 1,
            syncing: false,
            headers: chain(1, 0),
            solution_error: None,
            silent_signatures: false,
            allow_unsafe: true,
            calls: Vec::new(),
            block: Value::Null,
        };
        let mut node = Self {
            script: Arc::new(Mutex::new(script)),
            slots: broadcast::Sender::new(64),
            rewards: broadcast::Sender::new(64),
            segments: broadcast::Sender::new(64),
            listener,
            config,
            handle: None,
        };
        node.start();
        node
    }

    pub(crate) fn without_batches() -> Self {
        Self::with_config(
            ServerConfig::builder()
                .set_batch_request_config(BatchRequestConfig::Disabled)
                .build(),
        )
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// Listens again after [`Self::stop`], on the same port.
    pub(crate) fn start(&mut self) {
        let server = Server::builder()
            .set_config(self.config.clone())
            .build_from_tcp(self.listener.try_clone().unwrap())
            .unwrap();
        self.handle = Some(server.start(self.methods()));
    }

    /// Closes all sockets and takes no new ones.
    pub(crate) async fn stop(&mut self) {
        let handle = self.handle.take().unwrap();
        handle.stop().unwrap();
        within(handle.stopped()).await;
    }

    fn methods(&self) -> RpcModule<()> {
        let mut module = RpcModule::new(());
        let script = Arc::clone(&self.script);
        let method =
            move |module: &mut RpcModule<()>,
                  name: &'static str,
                  answer: fn(&Script, Value) -> Result<Value, ErrorObjectOwned>| {
                let script = Arc::clone(&script);
                module
                    .register_method(name, move |params, _, _| {
                        let mut script = script.lock();
                        script.calls.push(name.to_string());
                        let params = params.parse::<Value>().unwrap_or(Value::Null);
                        answer(&script, params)
                    })
                    .unwrap();
            };
        method(&mut module, names::GET_FARMER_APP_INFO, |script, _| {
            Ok(json!({
                "genesisHash": hex(script.genesis, 32), "dsnBootstrapNodes": [], "syncing": script.syncing,
                "farmingTimeout": { "secs": 4, "nanos": 0 },
                "protocolInfo": { "historySize": script.headers.len().max(1), "maxPiecesInSector": 1000,
                    "recentSegments": 5, "recentHistoryFraction": [1, 10], "minSectorLifetime": 4 } }))
        });
        method(&mut module, names::SEGMENT_HEADERS, |script, params| {
            let indexes: Vec<u64> = serde_json::from_value(params[0].clone()).unwrap();
            Ok(indexes
                .iter()
                .map(|index| json!(script.headers.get(*index as usize)))
                .collect())
        });
        method(&mut module, names::LAST_SEGMENT_HEADERS, |script, params| {
            let limit = params[0].as_u64().unwrap() as usize;
            Ok(json!(
                script.headers[script.headers.len().saturating_sub(limit)..]
            ))
        });
        method(
            &mut module,
            names::SUBMIT_SOLUTION_RESPONSE,
            |script, _| match script.solution_error {
                Some((code, message)) => Err(ErrorObjectOwned::owned(code, message, None::<()>)),
                None => Ok(Value::Null),
            },
        );
        method(&mut module, names::ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER, |_, _| {
            Ok(Value::Null)
        });
        method(&mut module, names::PIECE, |_, _| Ok(Value::Null));
        method(&mut module, names::CHAIN_GET_BLOCK, |script, params| {
            let mut block = script.block.clone();
            if let Some(header) = block.pointer_mut("/block/header/parentHash") {
                *header = params[0].clone();
            }
            Ok(block)
        });
        method(&mut module, names::CHAIN_GET_HEADER, |script, _| {
            Ok(script.block["block"]["header"].clone())
        });
        method(&mut module, names::CHAIN_GET_BLOCK_HASH, |_, params| {
            let hash = |number: &Value| {
                json!(format!(
                    "0x{:0>64}",
                    number.as_str().unwrap().trim_start_matches("0x")
                ))
            };
            Ok(match &params[0] {
                Value::Array(numbers) => numbers.iter().map(hash).collect(),
                number => hash(number),
            })
        });
        let script = Arc::clone(&self.script);
        module
            .register_async_method(names::SUBMIT_REWARD_SIGNATURE, move |_, _, _| {
                let silent = script.lock().silent_signatures;
                async move {
                    if silent {
                        std::future::pending::<()>().await;
                    }
                    Value::Null
                }
            })
            .unwrap();
        for (names, items) in [
            (names::SLOT_INFO, &self.slots),
            (names::REWARD_SIGNING, &self.rewards),
            (names::ARCHIVED_SEGMENT_HEADER, &self.segments),
        ] {
            let (items, script) = (items.clone(), Arc::clone(&self.script));
            let subscribe = move |_, pending: PendingSubscriptionSink, _, _| {
                let items = items.subscribe();
                script.lock().calls.push(names.subscribe.to_string());
                let refused = names == names::REWARD_SIGNING && !script.lock().allow_unsafe;
                async move {
                    if refused {
                        pending.reject(wire::unsafe_error()).await;
                    } else {
                        forward(pending, items).await;
                    }
                }
            };
            module
                .register_subscription(names.subscribe, names.item, names.unsubscribe, subscribe)
                .unwrap();
        }
        module
    }

    pub(crate) fn calls(&self, name: &str) -> usize {
        self.script
            .lock()
            .calls
            .iter()
            .filter(|call| *call == name)
            .count()
    }

    /// Announces a slot, again and again until the client has subscribed.
    pub(crate) async fn announce_slot(&self, slot: u64) {
        let item = json!({ "slotNumber": slot, "globalChallenge": hex(7, 32),
            "solutionRange": u64::MAX, "votingSolutionRange": u64::MAX - 1 });
        while self.slots.send(item.clone()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stores and announces a header.
    pub(crate) fn archive(&self, header: SegmentHeader) {
        self.script.lock().headers.push(header);
        let _ = self.segments.send(json!(header));
    }
}

pub(crate) fn hex(byte: u8, count: usize) -> String {
    format!("{byte:02x}").repeat(count)
}

/// Segment headers that form a chain.
pub(crate) fn chain(count: u64, commitment: u8) -> Vec<SegmentHeader> {
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for index in 0..count {
        headers.push(SegmentHeader::V0 {
            segment_index: SegmentIndex::new(index),
            segment_commitment: SegmentCommitment([commitment; 48]),
            prev_segment_header_hash: headers.last().map(SegmentHeader::hash).unwrap_or_default(),
            last_archived_block: LastArchivedBlock {
                number: index as u32,
                archived_progress: ArchivedBlockProgress::Complete,
            },
        });
    }
    headers
}
