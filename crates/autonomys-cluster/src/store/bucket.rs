//! A key-value bucket of records of one type.
//!
//! Reads ask the stream's leader, so they see every write that was confirmed before. Writes name the revision they
//! replace. An unanswered write is settled by reading: if the record there is byte for byte ours, it was written. So
//! whoever must know that *he* wrote puts something of his own (a random number) into the record.

use super::object::{Object, StoreError, js_code};
use super::watch::Watch;
use crate::cluster::Cluster;
use crate::codec::{self, Message};
use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{DeliverPolicy, push::OrderedConfig};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType};
use bytes::Bytes;
use futures::StreamExt;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, warn};

/// An operation is tried for this long: a nats-server restart takes a second or two, the election of a new leader some
/// seconds.
const RETRY_FOR: Duration = Duration::from_secs(15);
/// Pause between tries.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// A listing that makes no progress for this long is given up.
const LISTING_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const OPERATION: &str = "KV-Operation";
const OPERATION_DELETE: &str = "DEL";
const EXPECTED_REVISION: &str = "Nats-Expected-Last-Subject-Sequence";

/// How a bucket is made.
#[derive(Debug, Clone, Copy)]
pub struct BucketConfig {
    /// Name after the cluster's prefix.
    pub name: &'static str,
    /// What it is for; shows in the NATS tools.
    pub description: &'static str,
    /// Most bytes on disk; beyond it writes are refused.
    pub max_bytes: i64,
    /// Records older than this vanish; zero keeps them.
    pub max_age: Duration,
}

/// A record with its place in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<V> {
    /// Its key.
    pub key: String,
    /// Its content.
    pub value: V,
    /// Changes with every write; a write names the revision it replaces.
    pub revision: u64,
}

/// What came of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<V> {
    /// It is ours, at this revision.
    New(u64),
    /// Somebody has created it before.
    Existing(Entry<V>),
}

/// Records of one type by key. Cheap to clone.
#[derive(Debug)]
pub struct Bucket<V> {
    object: Object,
    prefix: String,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Bucket<V> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            prefix: self.prefix.clone(),
            value: PhantomData,
        }
    }
}

/// The newest message of a key.
struct Last {
    revision: u64,
    /// `None`: deleted.
    value: Option<Bytes>,
}

impl<V: Message + Clone> Bucket<V> {
    /// Opens the bucket, making it if need be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster, config: &BucketConfig) -> Result<Self, StoreError> {
        let name = cluster.subjects().object(config.name);
        let stream = Config {
            name: format!("KV_{name}"),
            description: Some(config.description.to_owned()),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_bytes: config.max_bytes,
            max_age: config.max_age,
            // The version byte and every limit of the record are below its MAX_SIZE; headers take little.
            max_message_size: i32::try_from(V::MAX_SIZE + 4096).unwrap_or(i32::MAX),
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        let object = Object::open(cluster, stream).await?;
        Ok(Self {
            object,
            prefix: format!("$KV.{name}."),
            value: PhantomData,
        })
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    pub(crate) fn unavailable(&self, reason: impl ToString) -> StoreError {
        self.object.unavailable(reason)
    }

    pub(super) fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry<V>>, StoreError> {
        let last = self.retry(|| self.last(key)).await?;
        last.and_then(|last| last.value.map(|value| (last.revision, value)))
            .map(|(revision, value)| {
                Ok(Entry {
                    key: key.to_owned(),
                    value: codec::decode(&value)?,
                    revision,
                })
            })
            .transpose()
    }

    /// Writes a record that must not exist yet.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was written is then unknown.
    pub async fn create(&self, key: &str, value: &V) -> Result<Created<V>, StoreError> {
        loop {
            let last = self.retry(|| self.last(key)).await?;
            let expected = match last {
                None => 0,
                Some(Last {
                    revision,
                    value: None,
                }) => revision,
                Some(Last {
                    revision,
                    value: Some(existing),
                }) => {
                    let value = codec::decode(&existing)?;
                    return Ok(Created::Existing(Entry {
                        key: key.to_owned(),
                        value,
                        revision,
                    }));
                }
            };
            if let Some(revision) = self.update(key, value, expected).await? {
                return Ok(Created::New(revision));
            }
            // Somebody was faster; look at what he left.
        }
    }

    /// Replaces the record of `revision` (0: none); `None` when the record has another revision by now.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was written is then unknown.
    pub async fn update(&self, key: &str, value: &V, revision: u64) -> Result<Option<u64>, StoreError> {
        let payload = codec::encode(value)?;
        self.retry(|| self.write(key, Some(payload.clone()), revision))
            .await
    }

    /// Removes the record of `revision`; `false` when it has another revision by now.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was removed is then unknown.
    pub async fn delete(&self, key: &str, revision: u64) -> Result<bool, StoreError> {
        Ok(self.retry(|| self.write(key, None, revision)).await?.is_some())
    }

    /// Every record whose key matches one of the filters (`>` matches all).
    ///
    /// A record that cannot be read is logged and left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries(&self, filters: &[String]) -> Result<Vec<Entry<V>>, StoreError> {
        let listed = self.retry(|| self.list(filters, false)).await?;
        let mut entries = Vec::with_capacity(listed.len());
        for (key, Last { revision, value }, _) in listed {
            let Some(value) = value else { continue };
            match codec::decode(&value) {
                Ok(value) => entries.push(Entry { key, value, revision }),
                Err(error) => warn!(key, %error, "a record was left out"),
            }
        }
        Ok(entries)
    }

    /// Follows every record whose key matches one of the filters, beginning with what is there.
    pub fn watch(&self, filters: Vec<String>) -> Watch<V> {
        Watch::start(self.clone(), filters)
    }

    /// Forgets removals that are older than `age`: each leaves a small marker that watches need for a while.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_removals(&self, filters: &[String], age: Duration) -> Result<usize, StoreError> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(i128::MAX));
        let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
        let mut forgotten = 0;
        for (key, last, published) in self.retry(|| self.list(filters, true)).await? {
            if last.value.is_some() || now.saturating_sub(published) < age {
                continue;
            }
            // The bound keeps a record that was created again in between.
            let stream = self.object.stream().await;
            let purge = stream
                .purge()
                .filter(self.subject(&key))
                .sequence(last.revision + 1);
            purge.await.map_err(|error| self.object.unavailable(error))?;
            forgotten += 1;
        }
        Ok(forgotten)
    }

    async fn last(&self, key: &str) -> Result<Option<Last>, StoreError> {
        let stream = self.object.stream().await;
        match stream.get_last_raw_message_by_subject(&self.subject(key)).await {
            Ok(message) => {
                let deleted = message.headers.get(OPERATION).is_some();
                let value = (!deleted).then_some(message.payload);
                Ok(Some(Last {
                    revision: message.sequence,
                    value,
                }))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.object.unavailable(error)),
        }
    }

    async fn write(
        &self,
        key: &str,
        payload: Option<Bytes>,
        revision: u64,
    ) -> Result<Option<u64>, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_REVISION, revision.to_string());
        if payload.is_none() {
            headers.insert(OPERATION, OPERATION_DELETE);
        }
        let jetstream = self.object.cluster.jetstream();
        let sent = jetstream
            .publish_with_headers(self.subject(key), headers, payload.clone().unwrap_or_default())
            .await;
        let result = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match result {
            Ok(acknowledged) => Ok(Some(acknowledged.sequence)),
            // An earlier try may have been written without us learning of it.
            Err(error) if is_conflict(&error) => {
                let last = self.last(key).await?;
                Ok(last
                    .filter(|last| last.revision > revision && last.value == payload)
                    .map(|last| last.revision))
            }
            Err(error) if self.object.is_full(&error) => Err(self.object.full()),
            Err(error) => Err(self.object.unavailable(error)),
        }
    }

    /// Newest message of every matching key, with the server's time in nanoseconds.
    async fn list(
        &self,
        filters: &[String],
        headers_only: bool,
    ) -> Result<Vec<(String, Last, i128)>, StoreError> {
        let stream = self.object.stream().await;
        let config = OrderedConfig {
            headers_only,
            ..self.consumer(filters)
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(|error| self.object.unavailable(error))?;
        let mut listed = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return Ok(listed);
        }
        let mut messages = consumer
            .messages()
            .await
            .map_err(|error| self.object.unavailable(error))?;
        loop {
            let message = tokio::time::timeout(LISTING_TIMEOUT, messages.next())
                .await
                .map_err(|_| self.object.unavailable("the listing stopped half-way"))?
                .ok_or_else(|| self.object.unavailable("the listing ended half-way"))?
                .map_err(|error| self.object.unavailable(error))?;
            let (pending, revision, published) = {
                let info = message.info().map_err(|error| self.object.unavailable(error))?;
                (
                    info.pending,
                    info.stream_sequence,
                    info.published.unix_timestamp_nanos(),
                )
            };
            let deleted = message
                .headers
                .as_ref()
                .is_some_and(|headers| headers.get(OPERATION).is_some());
            if let Some(key) = self.key(&message.subject) {
                let value = (!deleted).then(|| message.payload.clone());
                listed.push((key.to_owned(), Last { revision, value }, published));
            }
            if pending == 0 {
                return Ok(listed);
            }
        }
    }

    pub(super) fn consumer(&self, filters: &[String]) -> OrderedConfig {
        let mut subjects: Vec<String> = filters.iter().map(|filter| self.subject(filter)).collect();
        let filter_subject = if subjects.len() == 1 {
            subjects.remove(0)
        } else {
            String::new()
        };
        OrderedConfig {
            deliver_subject: self.object.cluster.client().new_inbox(),
            filter_subject,
            filter_subjects: subjects,
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        }
    }

    async fn retry<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        operation: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + RETRY_FOR;
        loop {
            let error = match operation().await {
                Err(error @ StoreError::Unavailable { .. }) => error,
                settled => return settled,
            };
            debug!(%error, "trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
            if Instant::now() >= deadline {
                return Err(error);
            }
            // The server may have lost the object together with its disk.
            if let Err(error) = self.object.ensure().await {
                debug!(%error, "the object could not be looked up");
            }
        }
    }
}

/// Whether the record has another revision than the write expected.
fn is_conflict(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::WrongLastSequence
        // Newer servers have a second code for the same.
        || js_code(error).is_some_and(|code| {
            [ErrorCode::STREAM_WRONG_LAST_SEQUENCE, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT].contains(&code)
        })
}
