//! Segment headers of the chain in order, and which of them are admitted to the caches.
//!
//! Append-only: controllers put headers in as their nodes archive them, each checked against the one before; nothing is
//! ever replaced. The leader marks a segment as admitted once its pieces are in the caches; from then on it may be
//! plotted.

use crate::cluster::Cluster;
use crate::codec::Message;
use crate::store::{Bucket, BucketConfig, Created, Entry, StoreError, WatchEvent};
use parity_scale_codec::{Decode, Encode};
use std::collections::BTreeMap;
use std::time::Duration;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::error;

const BUCKET: BucketConfig = BucketConfig {
    name: "segment_headers",
    description: "Segment headers of the chain and which segments are in the caches",
    // Some 350 bytes a segment of 128 MiB of history: room for 20 TiB of history.
    max_bytes: 64 * 1024 * 1024,
    max_age: Duration::ZERO,
};

/// Headers read ahead of a slow reader.
const QUEUE: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
enum Record {
    #[codec(index = 0)]
    Header(SegmentHeader),
    #[codec(index = 1)]
    Admitted,
}

impl Message for Record {
    const NAME: &'static str = "segment header record";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 1024;
}

/// Why a header was not taken.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum AppendError {
    /// JetStream.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The segment before it is not there yet.
    #[error("segment {index} cannot be added before segment {missing}")]
    Gap {
        /// The segment offered.
        index: SegmentIndex,
        /// The one that is missing.
        missing: SegmentIndex,
    },
    /// It does not continue the chain.
    #[error("segment {index} does not continue the cluster's history; the node is on another chain or fork")]
    Fork {
        /// The segment offered.
        index: SegmentIndex,
    },
}

/// The cluster's segment headers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SegmentHeaders {
    bucket: Bucket<Record>,
}

impl SegmentHeaders {
    /// Opens them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster) -> Result<Self, StoreError> {
        Ok(Self {
            bucket: Bucket::open(cluster, &BUCKET).await?,
        })
    }

    /// Adds a header; `true` when it is new, `false` when the same one was there.
    ///
    /// # Errors
    /// [`AppendError`] when it does not follow on what is there.
    pub async fn append(&self, header: &SegmentHeader) -> Result<bool, AppendError> {
        let index = header.segment_index();
        if let Some(previous) = index.get().checked_sub(1).map(SegmentIndex::from) {
            let before = self.get(previous).await?.ok_or(AppendError::Gap {
                index,
                missing: previous,
            })?;
            if before.hash() != header.prev_segment_header_hash() {
                return Err(AppendError::Fork { index });
            }
        }
        match self
            .bucket
            .create(&header_key(index), &Record::Header(*header))
            .await?
        {
            Created::New(_) => Ok(true),
            Created::Existing(Entry {
                value: Record::Header(same),
                ..
            }) if same == *header => Ok(false),
            Created::Existing(_) => Err(AppendError::Fork { index }),
        }
    }

    /// One header.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, index: SegmentIndex) -> Result<Option<SegmentHeader>, StoreError> {
        Ok(match self.bucket.get(&header_key(index)).await? {
            Some(Entry {
                value: Record::Header(header),
                ..
            }) => Some(header),
            _ => None,
        })
    }

    /// All headers in order, up to the first gap.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all(&self) -> Result<Vec<SegmentHeader>, StoreError> {
        let mut headers = BTreeMap::new();
        for entry in self.bucket.entries(&[HEADERS.to_owned()]).await? {
            if let Record::Header(header) = entry.value {
                headers.insert(header.segment_index().get(), header);
            }
        }
        Ok((0..).map_while(|index| headers.remove(&index)).collect())
    }

    /// Marks a segment as admitted: its pieces are in the caches.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admit(&self, index: SegmentIndex) -> Result<(), StoreError> {
        self.bucket
            .create(&admitted_key(index), &Record::Admitted)
            .await
            .map(drop)
    }

    /// Whether the segment is admitted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_admitted(&self, index: SegmentIndex) -> Result<bool, StoreError> {
        Ok(self.bucket.get(&admitted_key(index)).await?.is_some())
    }

    /// Every header from segment 0 on, in order, without gaps, and then each new one as it comes.
    pub fn follow(&self) -> mpsc::Receiver<SegmentHeader> {
        self.ordered(HEADERS, |index, record| match record {
            Record::Header(header) if header.segment_index().get() == index => Some(header),
            _ => None,
        })
    }

    /// Every admitted segment from 0 on, in order: a segment is told once all before it are admitted as well.
    pub fn follow_admitted(&self) -> mpsc::Receiver<SegmentIndex> {
        self.ordered(ADMITTED, |index, record| {
            (record == Record::Admitted).then(|| index.into())
        })
    }

    fn ordered<T: Send + 'static>(
        &self,
        filter: &'static str,
        take: impl Fn(u64, Record) -> Option<T> + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut watch = self.bucket.watch(vec![filter.to_owned()]);
        tokio::spawn(async move {
            let mut next = 0;
            // Segments that came before one with a smaller index; controllers add them in order, so there are few.
            let mut early = BTreeMap::new();
            loop {
                let event = tokio::select! {
                    () = sender.closed() => return,
                    event = watch.next_event() => event,
                };
                let entry = match event {
                    Some(WatchEvent::Put(entry)) => entry,
                    Some(WatchEvent::Removed(_) | WatchEvent::Synced) => continue,
                    None => return,
                };
                let index = entry
                    .key
                    .rsplit('.')
                    .next()
                    .and_then(|index| index.parse::<u64>().ok());
                let Some((index, item)) = index.and_then(|index| Some((index, take(index, entry.value)?)))
                else {
                    error!(
                        key = entry.key,
                        "a segment record does not fit its key and was left out"
                    );
                    continue;
                };
                if index >= next {
                    early.insert(index, item);
                }
                while let Some(item) = early.remove(&next) {
                    next += 1;
                    if sender.send(item).await.is_err() {
                        return;
                    }
                }
            }
        });
        receiver
    }
}

const HEADERS: &str = "header.*";
const ADMITTED: &str = "admitted.*";

/// Zero-padded, so that keys sort as numbers do.
fn header_key(index: SegmentIndex) -> String {
    format!("header.{:020}", index.get())
}

fn admitted_key(index: SegmentIndex) -> String {
    format!("admitted.{:020}", index.get())
}
