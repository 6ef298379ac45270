//! A slot that is being farmed: what was announced, by whom, and how much time is left.

use autonomys_cluster::ControllerId;
use parking_lot::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::SlotInfo;

/// Controllers that announced one slot and are remembered; operators have a handful.
const MAX_ANNOUNCERS: usize = 16;

/// One slot of one chain.
pub(super) struct Slot {
    pub(super) info: SlotInfo,
    /// When the first announcement came.
    pub(super) announced: Instant,
    /// The same in milliseconds of Unix time.
    pub(super) announced_at: u64,
    /// After this a solution is worth nothing.
    pub(super) deadline: Instant,
    /// The first gets the solutions, the next only what the first has certainly not received.
    announcers: Mutex<Vec<ControllerId>>,
}

impl Slot {
    /// A slot that was announced just now.
    pub(super) fn announced(info: SlotInfo, controller: ControllerId, farming_timeout: Duration) -> Self {
        let announced = Instant::now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            info,
            announced,
            announced_at: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            deadline: announced + farming_timeout,
            announcers: Mutex::new(vec![controller]),
        }
    }

    pub(super) fn number(&self) -> SlotNumber {
        self.info.slot_number
    }

    /// Which slot it is: after a reorganisation there may be another one of the same number.
    pub(super) fn key(&self) -> (SlotNumber, Blake3Hash) {
        (self.info.slot_number, self.info.global_challenge)
    }

    /// Another controller has announced the same.
    pub(super) fn announced_again(&self, controller: ControllerId) {
        let mut announcers = self.announcers.lock();
        if announcers.len() < MAX_ANNOUNCERS && !announcers.contains(&controller) {
            announcers.push(controller);
        }
    }

    /// The controller whose announcement came `turn`-th.
    pub(super) fn announcer(&self, turn: usize) -> Option<ControllerId> {
        self.announcers.lock().get(turn).copied()
    }

    /// Milliseconds from the announcement to this moment.
    pub(super) fn ms(&self, at: Instant) -> u32 {
        let since = at.saturating_duration_since(self.announced);
        u32::try_from(since.as_millis()).unwrap_or(u32::MAX)
    }

    pub(super) fn ms_now(&self) -> u32 {
        self.ms(Instant::now())
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}
