//! One JetStream stream, created when it is missing and found again after it was lost.

use crate::cluster::Cluster;
use crate::codec::CodecError;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{self, ErrorCode};
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::RwLock;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Opening is tried for this long; the process then ends with the reason, and whoever supervises it tries again.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// Pause between tries.
const OPEN_PAUSE: Duration = Duration::from_millis(500);

/// Why durable state could not be read or written.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum StoreError {
    /// JetStream does not answer; whether a write happened is unknown.
    #[error("JetStream did not serve {object}: {reason}")]
    Unavailable {
        /// Which object.
        object: String,
        /// The client's words.
        reason: String,
    },
    /// No room.
    #[error(
        "{object} is full ({limit} bytes); finish or remove what it holds, or raise its limit with `nats stream edit`"
    )]
    Full {
        /// Which object.
        object: String,
        /// Its limit.
        limit: i64,
    },
    /// The server has no room for the object at all.
    #[error(
        "the NATS server has no room for {object} ({limit} bytes); raise `max_file_store` of its jetstream block or free disk space"
    )]
    NoRoom {
        /// Which object.
        object: String,
        /// What it needs.
        limit: i64,
    },
    /// A record cannot be read or written.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// A stream and how to make it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) cluster: Cluster,
    config: Arc<Config>,
    stream: Arc<RwLock<Stream>>,
}

impl Object {
    pub(crate) async fn open(cluster: &Cluster, mut config: Config) -> Result<Self, StoreError> {
        config.num_replicas = cluster.replicas();
        let deadline = Instant::now() + OPEN_WITHIN;
        let stream = loop {
            match ensure(cluster.jetstream(), &config).await {
                // Servers that have just started, or lost one of them, choose a leader first.
                Err(error @ StoreError::Unavailable { .. }) if Instant::now() < deadline => {
                    debug!(%error, "trying again");
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
                settled => break settled?,
            }
        };
        Ok(Self {
            cluster: cluster.clone(),
            config: Arc::new(config),
            stream: Arc::new(RwLock::new(stream)),
        })
    }

    pub(crate) async fn stream(&self) -> Stream {
        self.stream.read().await.clone()
    }

    /// Makes the stream again when the server has lost it.
    pub(crate) async fn ensure(&self) -> Result<Stream, StoreError> {
        let stream = ensure(self.cluster.jetstream(), &self.config).await?;
        *self.stream.write().await = stream.clone();
        Ok(stream)
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn unavailable(&self, reason: impl ToString) -> StoreError {
        StoreError::Unavailable {
            object: self.name().to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Whether a write was refused because a limit of the object is reached.
    pub(crate) fn is_full(&self, error: &(dyn StdError + 'static)) -> bool {
        js_code(error) == Some(ErrorCode::STREAM_STORE_FAILED)
    }

    pub(crate) fn full(&self) -> StoreError {
        StoreError::Full {
            object: self.name().to_owned(),
            limit: self.config.max_bytes,
        }
    }
}

async fn ensure(jetstream: &jetstream::Context, config: &Config) -> Result<Stream, StoreError> {
    let unavailable = |reason: String| StoreError::Unavailable {
        object: config.name.clone(),
        reason,
    };
    match jetstream.get_stream(&config.name).await {
        Ok(stream) => return grown(jetstream, stream, config).await,
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            _ => return Err(unavailable(error.to_string())),
        },
    }
    match jetstream.create_stream(config).await {
        Ok(stream) => {
            info!(object = config.name, replicas = config.num_replicas, "created");
            Ok(stream)
        }
        Err(error) => match error.kind() {
            // Somebody of another release was faster; his configuration stands.
            CreateStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                jetstream
                    .get_stream(&config.name)
                    .await
                    .map_err(|error| unavailable(error.to_string()))
            }
            CreateStreamErrorKind::JetStream(cause)
                if [
                    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
                    ErrorCode::INSUFFICIENT_RESOURCES,
                ]
                .contains(&cause.error_code()) =>
            {
                Err(StoreError::NoRoom {
                    object: config.name.clone(),
                    limit: config.max_bytes,
                })
            }
            _ => Err(unavailable(error.to_string())),
        },
    }
}

/// Gives an object of an earlier, smaller NATS cluster the copies it should have now. Other differences are the
/// operator's.
async fn grown(
    jetstream: &jetstream::Context,
    stream: Stream,
    config: &Config,
) -> Result<Stream, StoreError> {
    let current = &stream.cached_info().config;
    if current.num_replicas >= config.num_replicas {
        return Ok(stream);
    }
    let wanted = Config {
        num_replicas: config.num_replicas,
        ..current.clone()
    };
    match jetstream.update_stream(&wanted).await {
        Ok(_) => info!(
            object = config.name,
            replicas = wanted.num_replicas,
            "copies added"
        ),
        Err(error) => warn!(object = config.name, %error, "copies could not be added"),
    }
    Ok(stream)
}

/// The JetStream error code inside an error of the client, if there is one.
pub(crate) fn js_code(error: &(dyn StdError + 'static)) -> Option<ErrorCode> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(error) = error.downcast_ref::<jetstream::Error>() {
            return Some(error.error_code());
        }
        current = error.source();
    }
    None
}
