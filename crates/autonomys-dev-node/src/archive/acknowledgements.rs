//! Subscriptions to archived segment headers and the acknowledgements that release the import of blocks.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::{Notify, mpsc};

/// Headers queued for one subscriber; one is unacknowledged at a time, others only come from injected faults.
const HEADER_QUEUE: usize = 64;

struct Subscriber {
    headers: mpsc::Sender<SegmentHeader>,
    /// Without unsafe methods the subscriber cannot acknowledge, so nobody waits for it.
    can_acknowledge: bool,
    unacknowledged: Option<SegmentIndex>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    subscribers: BTreeMap<u64, Subscriber>,
}

/// All subscriptions to archived segment headers.
#[derive(Default)]
pub struct Acknowledgements {
    state: Mutex<State>,
    changed: Notify,
}

/// One subscription; dropping it releases it.
pub struct HeaderSubscription {
    id: u64,
    owner: Arc<Acknowledgements>,
    headers: mpsc::Receiver<SegmentHeader>,
}

impl HeaderSubscription {
    /// The next header.
    pub async fn next(&mut self) -> Option<SegmentHeader> {
        self.headers.recv().await
    }
}

impl Drop for HeaderSubscription {
    fn drop(&mut self) {
        self.owner.state.lock().subscribers.remove(&self.id);
        self.owner.changed.notify_waiters();
    }
}

impl Acknowledgements {
    /// Adds a subscription.
    pub fn subscribe(self: &Arc<Self>, can_acknowledge: bool) -> HeaderSubscription {
        let (sender, headers) = mpsc::channel(HEADER_QUEUE);
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.subscribers.insert(
            id,
            Subscriber {
                headers: sender,
                can_acknowledge,
                unacknowledged: None,
            },
        );
        HeaderSubscription {
            id,
            owner: Arc::clone(self),
            headers,
        }
    }

    /// Sends a header to every subscriber; not again to one that has not acknowledged it yet, unless forced.
    pub fn announce(&self, header: SegmentHeader, force: bool) {
        let index = header.segment_index();
        for subscriber in self.state.lock().subscribers.values_mut() {
            if subscriber.unacknowledged == Some(index) && !force {
                continue;
            }
            if subscriber.headers.try_send(header).is_ok() && subscriber.can_acknowledge {
                subscriber.unacknowledged = Some(index);
            }
        }
    }

    /// Releases one subscription that waits for this segment, whoever calls; anything else is ignored.
    pub fn acknowledge(&self, segment_index: SegmentIndex) {
        let mut state = self.state.lock();
        let waiting = state
            .subscribers
            .values_mut()
            .find(|subscriber| subscriber.unacknowledged == Some(segment_index));
        if let Some(subscriber) = waiting {
            subscriber.unacknowledged = None;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether a subscription holds this segment unacknowledged.
    pub fn is_held(&self, segment_index: SegmentIndex) -> bool {
        self.state
            .lock()
            .subscribers
            .values()
            .any(|subscriber| subscriber.unacknowledged == Some(segment_index))
    }

    /// Waits until nobody holds the segment or `timeout` passed; then nobody holds it any more. Returns whether all
    /// acknowledged in time.
    pub async fn wait(&self, segment_index: SegmentIndex, timeout: Duration) -> bool {
        let released = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if !self.is_held(segment_index) {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(timeout, released).await.is_ok();
        for subscriber in self.state.lock().subscribers.values_mut() {
            if subscriber.unacknowledged == Some(segment_index) {
                subscriber.unacknowledged = None;
            }
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::hashes::Blake3Hash;
    use subspace_core_primitives::segments::{ArchivedBlockProgress, LastArchivedBlock, SegmentCommitment};

    const TIMEOUT: Duration = Duration::from_secs(120);

    fn header(index: u64) -> SegmentHeader {
        SegmentHeader::V0 {
            segment_index: SegmentIndex::new(index),
            segment_commitment: SegmentCommitment::default(),
            prev_segment_header_hash: Blake3Hash::default(),
            last_archived_block: LastArchivedBlock {
                number: 1,
                archived_progress: ArchivedBlockProgress::Complete,
            },
        }
    }

    #[tokio::test]
    async fn every_subscription_must_acknowledge() {
        let acknowledgements = Arc::new(Acknowledgements::default());
        let index = SegmentIndex::new(4);
        assert!(acknowledgements.wait(index, TIMEOUT).await);
        let mut first = acknowledgements.subscribe(true);
        let mut second = acknowledgements.subscribe(true);
        let mut listener = acknowledgements.subscribe(false);
        acknowledgements.announce(header(4), false);
        for subscription in [&mut first, &mut second, &mut listener] {
            assert_eq!(subscription.next().await, Some(header(4)));
        }
        // Not sent again while unacknowledged; acknowledgements of other segments do nothing.
        acknowledgements.announce(header(4), false);
        acknowledgements.acknowledge(SegmentIndex::new(3));
        let waiting = tokio::spawn({
            let acknowledgements = Arc::clone(&acknowledgements);
            async move { acknowledgements.wait(index, TIMEOUT).await }
        });
        acknowledgements.acknowledge(index);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && acknowledgements.is_held(index));
        acknowledgements.acknowledge(index);
        assert!(waiting.await.unwrap());
        acknowledgements.announce(header(4), false);
        assert_eq!(first.next().await, Some(header(4)));
    }

    #[tokio::test]
    async fn leaving_and_time_release() {
        let acknowledgements = Arc::new(Acknowledgements::default());
        let index = SegmentIndex::new(1);
        let subscription = acknowledgements.subscribe(true);
        acknowledgements.announce(header(1), false);
        let waiting = tokio::spawn({
            let acknowledgements = Arc::clone(&acknowledgements);
            async move { acknowledgements.wait(index, TIMEOUT).await }
        });
        tokio::task::yield_now().await;
        drop(subscription);
        assert!(waiting.await.unwrap());
        let _subscription = acknowledgements.subscribe(true);
        acknowledgements.announce(header(1), false);
        let short = Duration::from_millis(20);
        let started = std::time::Instant::now();
        assert!(!acknowledgements.wait(index, short).await);
        assert!(started.elapsed() >= short);
        assert!(!acknowledgements.is_held(index));
    }
}
