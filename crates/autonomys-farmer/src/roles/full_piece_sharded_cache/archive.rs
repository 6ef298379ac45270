//! The segment files with what is known about them: damage that waits for its repair, the chain's commitments, the checked epoch.

use crate::roles::checked_epoch::CheckedEpoch;
use crate::roles::scrub::{Looked, Scrubbed};
use crate::roles::store_items::stored;
use autonomys_cache::{ArchiveRange, ArchiveStore, Lookup};
use autonomys_transfer::Item;
use parking_lot::Mutex;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use subspace_core_primitives::pieces::{PIECE_SIZE, PieceIndex};
use subspace_core_primitives::segments::{
    NUM_PIECES_IN_SEGMENT, SegmentCommitment, SegmentHeader, SegmentIndex,
};
use tokio::sync::Notify;

/// Shared by everything that works on the segments.
pub(super) struct Archive {
    pub(super) store: ArchiveStore,
    pub(super) checked_epoch: CheckedEpoch,
    /// Rung when damage was found.
    pub(super) found: Notify,
    /// Rung when something changed that the others should know.
    pub(super) changed: Notify,
    /// Pieces that were asked for so far.
    reads: AtomicU64,
    damaged: Mutex<BTreeSet<PieceIndex>>,
    /// 48 bytes a segment.
    commitments: Mutex<BTreeMap<SegmentIndex, SegmentCommitment>>,
    epochs: Mutex<Epochs>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Epochs {
    wanted: u64,
    checked: u64,
}

impl Archive {
    /// Of an open store in this directory. Blocking.
    pub(super) fn new(store: ArchiveStore, directory: &Path) -> Self {
        let checked_epoch = CheckedEpoch::of(directory);
        let checked = checked_epoch.get();
        Self {
            store,
            checked_epoch,
            found: Notify::new(),
            changed: Notify::new(),
            reads: AtomicU64::new(0),
            damaged: Mutex::default(),
            commitments: Mutex::default(),
            epochs: Mutex::new(Epochs { wanted: 0, checked }),
        }
    }

    /// A piece that is right; damage is noted for repair. Blocking.
    pub(super) fn get(&self, piece: PieceIndex) -> Option<Item> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.store.get(piece) {
            Lookup::Hit(item) => Some(stored(item)),
            Lookup::Missing => None,
            Lookup::Corrupt => {
                self.note_damage([piece]);
                None
            }
        }
    }

    /// Where a piece lies that has been read since the start. Blocking.
    pub(super) fn range(&self, piece: PieceIndex) -> Option<ArchiveRange> {
        let range = self.store.range(piece)?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        Some(range)
    }

    /// Notes pieces for repair; how many of them were not noted yet.
    pub(super) fn note_damage(&self, pieces: impl IntoIterator<Item = PieceIndex>) -> usize {
        let new = {
            let mut damaged = self.damaged.lock();
            let before = damaged.len();
            damaged.extend(pieces);
            damaged.len() - before
        };
        if new > 0 {
            self.found.notify_one();
            self.changed.notify_one();
        }
        new
    }

    pub(super) fn note_repair(&self, piece: PieceIndex) {
        if self.damaged.lock().remove(&piece) {
            self.changed.notify_one();
        }
    }

    /// Pieces that wait for their repair.
    pub(super) fn damaged(&self) -> Vec<PieceIndex> {
        self.damaged.lock().iter().copied().collect()
    }

    pub(super) fn note_commitment(&self, header: &SegmentHeader) {
        self.commitments
            .lock()
            .insert(header.segment_index(), header.segment_commitment());
    }

    /// What pieces of a segment are checked against, once its header is known.
    pub(super) fn commitment(&self, segment: SegmentIndex) -> Option<SegmentCommitment> {
        self.commitments.lock().get(&segment).copied()
    }

    /// The cluster is in this epoch.
    pub(super) fn want_epoch(&self, epoch: u64) {
        self.epochs.lock().wanted = epoch;
        self.changed.notify_one();
    }

    /// Everything was checked in this epoch.
    pub(super) fn set_checked(&self, epoch: u64) {
        self.epochs.lock().checked = epoch;
        self.changed.notify_one();
    }

    /// Whether everything was checked in the cluster's epoch.
    pub(super) fn is_checked(&self) -> bool {
        let epochs = self.epochs.lock();
        epochs.checked >= epochs.wanted
    }

    /// Epoch whose work is done, and pieces that wait for their repair.
    pub(super) fn progress(&self) -> (u64, u64) {
        let epochs = *self.epochs.lock();
        (
            epochs.checked.min(epochs.wanted),
            self.damaged.lock().len() as u64,
        )
    }
}

impl Scrubbed for Archive {
    type Key = PieceIndex;

    fn look_after(&self, after: Option<PieceIndex>) -> Option<Looked<PieceIndex>> {
        let (key, good) = self.store.scrub_next(after)?;
        // What waits for its repair already is nothing new.
        let is_new = !good && self.note_damage([key]) > 0;
        Some(Looked {
            key,
            bytes: PIECE_SIZE as u64,
            good: !is_new,
        })
    }

    fn items(&self) -> u64 {
        self.store.segments().len() as u64 * NUM_PIECES_IN_SEGMENT as u64
    }

    fn somewhere(&self) -> Option<PieceIndex> {
        let segments = self.store.segments();
        let number = rand::rng().random_range(0..segments.len().max(1));
        segments.get(number).map(|segment| segment.first_piece_index())
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}
