//! The work-queue stream that hands jobs to plot-servers: at most one message a job, which only names it.

use super::JobTimes;
use crate::cluster::Cluster;
use crate::store::{Object, StoreError};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;
use tracing::debug;

const NAME: &str = "plot_jobs_queue";
/// The durable consumer that all plot-servers share.
const CONSUMER: &str = "plot_servers";
/// Some 250 bytes a message: room for half a million jobs.
const MAX_BYTES: i64 = 128 * 1024 * 1024;
/// Messages carry a subject and headers only.
const MAX_MESSAGE: i32 = 1024;
/// Jobs in work in the whole cluster; more than any cluster has GPUs for.
const MAX_ACK_PENDING: i64 = 10_000;
/// The server forgets message ids after this; a wish that is sent twice comes twice within seconds.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A message that was handed to us.
pub(super) struct Handed {
    /// The job it names.
    pub(super) key: String,
    /// Messages behind it that nobody has been handed yet.
    pub(super) behind: u64,
    pub(super) message: Message,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    object: Object,
    subject_prefix: String,
    ack_wait: Duration,
    consumer: Arc<RwLock<PullConsumer>>,
}

impl Queue {
    pub(super) async fn open(cluster: &Cluster, times: &JobTimes) -> Result<Self, StoreError> {
        let stream = Config {
            name: cluster.subjects().object(NAME),
            description: Some(
                "Plot jobs to be handed out; the records are in the plot_jobs bucket".to_owned(),
            ),
            subjects: vec![cluster.subjects().plot_job(">")],
            retention: RetentionPolicy::WorkQueue,
            // A job that is published again replaces its message.
            max_messages_per_subject: 1,
            max_bytes: MAX_BYTES,
            max_message_size: MAX_MESSAGE,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            duplicate_window: DUPLICATE_WINDOW,
            ..Config::default()
        };
        let object = Object::open(cluster, stream).await?;
        let consumer = consumer(&object, times.ack_wait).await?;
        Ok(Self {
            object,
            subject_prefix: cluster.subjects().plot_job(""),
            ack_wait: times.ack_wait,
            consumer: Arc::new(RwLock::new(consumer)),
        })
    }

    /// Hands a job out (again). With a `message_id` the same wish sent twice arrives once.
    pub(super) async fn publish(&self, key: &str, message_id: Option<String>) -> Result<(), StoreError> {
        let mut message = PublishMessage::build().payload(Bytes::new());
        if let Some(id) = message_id {
            message = message.message_id(id);
        }
        let subject = format!("{}{key}", self.subject_prefix);
        let sent = self
            .object
            .cluster
            .jetstream()
            .send_publish(subject, message)
            .await;
        let result = match sent {
            Ok(acknowledgement) => acknowledgement.await.map(drop),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) if self.object.is_full(&error) => Err(self.object.full()),
            Err(error) => {
                let error = self.object.unavailable(error);
                self.mend().await;
                Err(error)
            }
        }
    }

    /// Waits up to `wait` for the next message.
    pub(super) async fn next(&self, wait: Duration) -> Result<Option<Handed>, StoreError> {
        let consumer = self.consumer.read().await.clone();
        let received = async {
            let mut batch = consumer
                .batch()
                .max_messages(1)
                .expires(wait)
                .messages()
                .await
                .map_err(|error| self.object.unavailable(error))?;
            batch
                .next()
                .await
                .transpose()
                .map_err(|error| self.object.unavailable(error))
        };
        match received.await {
            Ok(message) => Ok(message.map(|message| {
                let key = message
                    .subject
                    .strip_prefix(&self.subject_prefix)
                    .unwrap_or_default();
                Handed {
                    key: key.to_owned(),
                    behind: message.info().map_or(0, |info| info.pending),
                    message,
                }
            })),
            Err(error) => {
                self.mend().await;
                Err(error)
            }
        }
    }

    /// Keys of all jobs of which a message exists, handed out or not.
    pub(super) async fn queued(&self, filter: &str) -> Result<BTreeSet<String>, StoreError> {
        let subject = format!("{}{filter}", self.subject_prefix);
        let stream = self.object.stream().await;
        let mut subjects = match stream.info_with_subjects(subject).await {
            Ok(subjects) => subjects,
            Err(error) => {
                let error = self.object.unavailable(error);
                self.mend().await;
                return Err(error);
            }
        };
        let mut keys = BTreeSet::new();
        while let Some(subject) = subjects.next().await {
            let (subject, _) = subject.map_err(|error| self.object.unavailable(error))?;
            if let Some(key) = subject.strip_prefix(&self.subject_prefix) {
                keys.insert(key.to_owned());
            }
        }
        Ok(keys)
    }

    /// Makes stream and consumer again when the server has lost them.
    async fn mend(&self) {
        let mended = async {
            self.object.ensure().await?;
            consumer(&self.object, self.ack_wait).await
        };
        match mended.await {
            Ok(consumer) => *self.consumer.write().await = consumer,
            Err(error) => debug!(%error, "the queue could not be looked up"),
        }
    }
}

async fn consumer(object: &Object, ack_wait: Duration) -> Result<PullConsumer, StoreError> {
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        max_ack_pending: MAX_ACK_PENDING,
        ..pull::Config::default()
    };
    object
        .stream()
        .await
        .create_consumer(config)
        .await
        .map_err(|error| object.unavailable(error))
}

/// Acknowledges in whatever way; a lost acknowledgement only means that the message comes again.
pub(super) async fn acknowledge(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        debug!(%error, "a queue message could not be acknowledged");
    }
}
