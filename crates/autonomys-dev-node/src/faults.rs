//! Faults that the node injects on request, and the small language they are written in.
//!
//! `NAME[=VALUE][@FROM[..TO]]`, for instance `late-slots=1500@10..20`. `FROM` and `TO` are slots; without `TO` the fault acts
//! on one slot, without `@` on all. See `docs/development-node.md` for the list.

mod parse;

pub use parse::FaultError;

use parking_lot::Mutex;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use subspace_core_primitives::SlotNumber;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Slots are announced this much late.
    LateSlots(Duration),
    /// This many slots from the first of the window are held back and announced together.
    SlotBurst(u64),
    /// Slots are not announced.
    SkipSlots,
    /// Each slot is first announced with a challenge that is then replaced.
    PotReorg,
    /// `syncing` is reported and no slots are announced.
    Syncing,
    /// All sockets are closed when the slot is announced.
    CloseSockets,
    /// Submitted solutions are refused with this code.
    RefuseSolutions(i32),
    /// Calls of this method are never answered.
    Unanswered(String),
    /// A signing request for a key that nobody has.
    ForeignSigning,
    /// A signing request, with a hash that belongs to nothing, for the key of the last solution, when the slot is announced.
    EarlySigning,
    /// Signing requests are sent twice.
    DoubleSigning,
    /// Archived segment headers are announced twice.
    DuplicateHeader,
    /// Archived segment headers are not announced.
    HeaderGap,
    /// Pieces are answered with null; one index or all.
    MissingPiece(Option<u64>),
    /// Pieces have one bit wrong; one index or all.
    CorruptPiece(Option<u64>),
    /// Import of a block takes this much longer.
    ImportStall(Duration),
    /// Another genesis hash is reported.
    OtherGenesis,
    /// Blocks with these numbers are answered with null.
    PrunedBlocks(RangeInclusive<u32>),
    /// The block with this number has the hash asked for and the wrong parent.
    WrongParent(u32),
    /// A block has no justifications; one number or all.
    LostJustification(Option<u32>),
    /// The header of this segment has one bit of its commitment wrong.
    CorruptHeader(u64),
    /// Batches of requests are refused.
    NoBatches,
    /// Replies longer than this are refused, of batches as of single requests.
    ReplyLimit(usize),
}

/// A fault and when it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Slots in which it does.
    pub slots: RangeInclusive<SlotNumber>,
}

/// The active faults and the slot that decides which of them act. Shared by everything in the node.
#[derive(Debug, Default)]
pub struct FaultControl {
    faults: Mutex<Vec<Fault>>,
    slot: AtomicU64,
}

impl FaultControl {
    /// Starts with these faults.
    pub fn new(faults: Vec<Fault>) -> Self {
        Self {
            faults: Mutex::new(faults),
            slot: AtomicU64::new(0),
        }
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.faults.lock().push(fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.faults.lock().clear();
    }

    pub(crate) fn enter_slot(&self, slot: SlotNumber) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    /// Value of the first fault that acts in the current slot and that `select` picks.
    pub(crate) fn find<T>(&self, select: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        let slot = self.slot.load(Ordering::Relaxed);
        let faults = self.faults.lock();
        faults
            .iter()
            .filter(|fault| fault.slots.contains(&slot))
            .find_map(|fault| select(&fault.kind))
    }

    /// Last slot of the burst that this slot belongs to.
    pub(crate) fn burst_until(&self, slot: SlotNumber) -> Option<SlotNumber> {
        self.faults.lock().iter().find_map(|fault| match fault.kind {
            FaultKind::SlotBurst(count) => {
                let first = *fault.slots.start();
                let last = first.saturating_add(count.saturating_sub(1));
                (first..=last).contains(&slot).then_some(last)
            }
            _ => None,
        })
    }

    /// Whether this kind of fault acts in the current slot.
    pub(crate) fn acts(&self, kind: &FaultKind) -> bool {
        self.find(|acting| (acting == kind).then_some(())).is_some()
    }
}
