//! Segment headers in order and without gaps, across reconnects.

use super::link::{Lane, Link};
use super::{Inner, NodeClient};
use crate::{NodeRpcError, limits, names};
use futures::Stream;
use std::sync::Arc;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::mpsc;

/// How a segment header came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderOrigin {
    /// The node announced it and waits for one acknowledgement.
    Announced,
    /// The node announced a header that was delivered before, and waits for one acknowledgement.
    AnnouncedAgain,
    /// It was read after the fact; there is nothing to acknowledge.
    Read,
}

/// An archived segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedSegment {
    /// Its header.
    pub header: SegmentHeader,
    /// How it came to us.
    pub origin: HeaderOrigin,
}

impl ArchivedSegment {
    /// Whether [`NodeClient::acknowledge_archived_segment_header`] must be called once for this item, within
    /// [`limits::ACKNOWLEDGEMENT_TIMEOUT`], after the pieces that are wanted were downloaded.
    pub fn must_acknowledge(&self) -> bool {
        self.origin != HeaderOrigin::Read
    }
}

impl NodeClient {
    /// All segment headers from `from` on, in order, each checked to continue the chain of headers: first those that exist,
    /// then every new one. `previous` is the header before `from` when known. Each stream is a subscription of its own at
    /// the node, so every item for which [`ArchivedSegment::must_acknowledge`] holds needs an acknowledgement.
    ///
    /// The stream ends after an error item; connection losses are no errors.
    pub fn archived_segment_headers(
        &self,
        from: SegmentIndex,
        previous: Option<&SegmentHeader>,
    ) -> impl Stream<Item = Result<ArchivedSegment, NodeRpcError>> + Send + Unpin + use<> {
        let (sender, receiver) = mpsc::channel(limits::HEADER_BUFFER);
        let follower = Follower {
            inner: Arc::clone(&self.inner),
            next: from,
            previous_hash: previous
                .map(SegmentHeader::hash)
                .or((from == SegmentIndex::ZERO).then(Blake3Hash::default)),
            sender,
        };
        tokio::spawn(follower.run());
        Box::pin(futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|item| (item, receiver))
        }))
    }

    /// All segment headers that exist from `from` on, checked like those of [`NodeClient::archived_segment_headers`].
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn all_segment_headers(
        &self,
        from: SegmentIndex,
        previous: Option<&SegmentHeader>,
    ) -> Result<Vec<SegmentHeader>, NodeRpcError> {
        let mut previous_hash = previous
            .map(SegmentHeader::hash)
            .or((from == SegmentIndex::ZERO).then(Blake3Hash::default));
        let mut all = Vec::new();
        let mut next = from;
        loop {
            let page = self.inner.page(next).await?;
            let complete = page.len() < limits::MAX_SEGMENT_HEADERS_PER_REQUEST;
            for header in page {
                check_chain(&mut previous_hash, &header)?;
                next += SegmentIndex::ONE;
                all.push(header);
            }
            if complete {
                return Ok(all);
            }
        }
    }
}

impl Inner {
    /// Headers from `next` on, at most one request's worth, up to the first that the node does not have.
    async fn page(&self, next: SegmentIndex) -> Result<Vec<SegmentHeader>, NodeRpcError> {
        let indexes: Vec<_> = (0..limits::MAX_SEGMENT_HEADERS_PER_REQUEST as u64)
            .map(|offset| next.saturating_add(SegmentIndex::new(offset)))
            .collect();
        Ok(self
            .segment_headers(&indexes)
            .await?
            .into_iter()
            .map_while(|header| header)
            .collect())
    }
}

/// Checks the link to the previous header and moves on.
fn check_chain(previous_hash: &mut Option<Blake3Hash>, header: &SegmentHeader) -> Result<(), NodeRpcError> {
    if let Some(previous_hash) = previous_hash
        && *previous_hash != header.prev_segment_header_hash()
    {
        return Err(NodeRpcError::HeaderChain {
            segment_index: header.segment_index().get(),
            reason: format!(
                "it names {} as hash of the previous header, which is {previous_hash}",
                header.prev_segment_header_hash()
            ),
        });
    }
    *previous_hash = Some(header.hash());
    Ok(())
}

struct Follower {
    inner: Arc<Inner>,
    next: SegmentIndex,
    previous_hash: Option<Blake3Hash>,
    sender: mpsc::Sender<Result<ArchivedSegment, NodeRpcError>>,
}

/// The consumer went away.
struct Gone;

/// Why following one connection ended.
enum End {
    Gone,
    ConnectionOver,
    Error(NodeRpcError),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Follower {
    async fn run(mut self) {
        let sender = self.sender.clone();
        let cancel = self.inner.cancel.clone();
        tokio::select! {
            () = sender.closed() => {}
            () = cancel.cancelled() => {}
            () = self.follow_connections() => {}
        }
    }

    async fn follow_connections(&mut self) {
        loop {
            let Ok(link) = self.inner.wait_for_link().await else {
                return;
            };
            match self.follow(&link).await {
                End::Gone => return,
                End::ConnectionOver => {}
                End::Error(error)
                    if error.is_connection_problem() || matches!(error, NodeRpcError::Timeout { .. }) =>
                {
                    tracing::warn!(%error, "following segment headers was interrupted");
                    // A node that is connected but does not answer is asked again, though not at once.
                    tokio::time::sleep(limits::BACKOFF_MIN).await;
                }
                End::Error(error) => {
                    let _ = self.sender.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Subscribes first and reads what exists second, so nothing falls between.
    async fn follow(&mut self, link: &Link) -> End {
        let subscription = link
            .subscribe::<SegmentHeader>(Lane::Bulk, names::ARCHIVED_SEGMENT_HEADER)
            .await;
        let mut subscription = match subscription {
            Ok(subscription) => subscription,
            Err(error) => return End::Error(error),
        };
        if let Err(end) = self.read_up_to(None).await {
            return end;
        }
        loop {
            let header = match subscription.next().await {
                Some(Ok(header)) => header,
                Some(Err(error)) => {
                    tracing::warn!(%error, "a segment header notification cannot be decoded");
                    continue;
                }
                None => return End::ConnectionOver,
            };
            if let Err(end) = self.announced(header).await {
                return end;
            }
        }
    }

    async fn announced(&mut self, header: SegmentHeader) -> Result<(), End> {
        let index = header.segment_index();
        if index < self.next {
            return self.deliver(header, HeaderOrigin::AnnouncedAgain).await;
        }
        if index > self.next {
            tracing::warn!(missing = %self.next, announced = %index, "segment headers were not announced, reading them");
            self.read_up_to(Some(index)).await?;
        }
        if index != self.next {
            return Err(End::Error(NodeRpcError::HeaderChain {
                segment_index: index.get(),
                reason: format!("the node announces it but does not have header {}", self.next),
            }));
        }
        check_chain(&mut self.previous_hash, &header).map_err(End::Error)?;
        self.next += SegmentIndex::ONE;
        self.deliver(header, HeaderOrigin::Announced).await
    }

    /// Delivers what exists, up to `end` (exclusive) if given.
    async fn read_up_to(&mut self, end: Option<SegmentIndex>) -> Result<(), End> {
        loop {
            let page = self.inner.page(self.next).await.map_err(End::Error)?;
            let complete = page.len() < limits::MAX_SEGMENT_HEADERS_PER_REQUEST;
            for header in page {
                if end.is_some_and(|end| header.segment_index() >= end) {
                    return Ok(());
                }
                check_chain(&mut self.previous_hash, &header).map_err(End::Error)?;
                self.next += SegmentIndex::ONE;
                self.deliver(header, HeaderOrigin::Read).await?;
            }
            if complete {
                return Ok(());
            }
        }
    }

    async fn deliver(&self, header: SegmentHeader, origin: HeaderOrigin) -> Result<(), End> {
        self.sender
            .send(Ok(ArchivedSegment { header, origin }))
            .await
            .map_err(|_| Gone.into())
    }
}
