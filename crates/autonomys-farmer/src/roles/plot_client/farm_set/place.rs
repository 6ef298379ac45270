//! One farm of the set: in service, or set aside with the time of its next attempt.

use super::FarmAside;
use autonomys_farm::identity::Identity;
use autonomys_farm::{Farm, FarmOptions};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::sectors::SectorIndex;

/// First and longest pause before a farm that is set aside is opened again: soon after a hiccup, and often enough for an operator who has
/// just mounted the disk.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// A farm that was in service for this long begins with the short pause again.
const HEALTHY_AFTER: Duration = Duration::from_secs(600);
/// Audits in a row in which most sectors cannot be read before the farm is set aside: one may be a hiccup of the bus.
const UNREADABLE_AUDITS: u32 = 3;

pub(super) struct Place {
    pub(super) options: FarmOptions,
    state: Mutex<State>,
}

enum State {
    InService(Serving),
    SetAside(Aside),
}

/// A farm in service.
pub(super) struct Serving {
    farm: Arc<Farm>,
    since: Instant,
    /// Attempts that failed before this service.
    failures: u32,
    /// Sectors that the last audit could not read.
    unreadable: Vec<SectorIndex>,
    /// Audits in a row that could not read most sectors.
    mostly_unreadable: u32,
}

/// A farm set aside.
struct Aside {
    reason: String,
    since: Instant,
    /// The farm as it was; alive as long as somebody still works with it.
    was: Weak<Farm>,
    identity: Option<Arc<Identity>>,
    failures: u32,
    retry_at: Instant,
    /// An attempt is being made.
    trying: bool,
}

/// What an audit means for its farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AuditSeen {
    /// Other sectors than before cannot be read.
    pub(super) changed: bool,
    /// Most sectors cannot be read, and that for long enough.
    pub(super) most_for_too_long: bool,
}

impl Place {
    pub(super) fn in_service(options: FarmOptions, farm: Arc<Farm>) -> Self {
        Self {
            options,
            state: Mutex::new(State::InService(Serving::begin(farm, 0))),
        }
    }

    pub(super) fn aside(options: FarmOptions, reason: String) -> Self {
        let now = Instant::now();
        Self {
            options,
            state: Mutex::new(State::SetAside(Aside {
                reason,
                since: now,
                was: Weak::new(),
                identity: None,
                failures: 1,
                retry_at: now + pause(0),
                trying: false,
            })),
        }
    }

    pub(super) fn farm(&self) -> Option<Arc<Farm>> {
        match &*self.state.lock() {
            State::InService(serving) => Some(Arc::clone(&serving.farm)),
            State::SetAside(_) => None,
        }
    }

    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        match &*self.state.lock() {
            State::InService(serving) => Some(serving.farm.shared_identity()),
            State::SetAside(aside) => aside.identity.clone(),
        }
    }

    pub(super) fn public_key(&self) -> Option<PublicKey> {
        self.identity().map(|identity| identity.public_key())
    }

    pub(super) fn as_aside(&self) -> Option<FarmAside> {
        match &*self.state.lock() {
            State::InService(_) => None,
            State::SetAside(aside) => Some(FarmAside {
                directory: self.options.directory.clone(),
                reason: aside.reason.clone(),
                since: aside.since,
                public_key: aside.identity.as_ref().map(|identity| identity.public_key()),
            }),
        }
    }

    /// Takes notice of an audit; `None` when the farm is not in service any more.
    pub(super) fn audited(
        &self,
        farm: &Arc<Farm>,
        sectors: usize,
        unreadable: Vec<SectorIndex>,
    ) -> Option<AuditSeen> {
        match &mut *self.state.lock() {
            State::InService(serving) if Arc::ptr_eq(&serving.farm, farm) => {
                if unreadable.len() * 2 > sectors {
                    serving.mostly_unreadable += 1;
                } else {
                    serving.mostly_unreadable = 0;
                }
                let changed = serving.unreadable != unreadable;
                serving.unreadable = unreadable;
                Some(AuditSeen {
                    changed,
                    most_for_too_long: serving.mostly_unreadable >= UNREADABLE_AUDITS,
                })
            }
            _ => None,
        }
    }

    /// Takes the farm out of service and says when it is tried again; `None` when it is not in service any more.
    pub(super) fn put_aside(&self, farm: &Arc<Farm>, reason: &str) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State::InService(serving) = &*state else {
            return None;
        };
        if !Arc::ptr_eq(&serving.farm, farm) {
            return None;
        }
        let failures = if now.saturating_duration_since(serving.since) >= HEALTHY_AFTER {
            0
        } else {
            serving.failures
        };
        let pause = pause(failures);
        *state = State::SetAside(Aside {
            reason: reason.to_string(),
            since: now,
            was: Arc::downgrade(&serving.farm),
            identity: Some(serving.farm.shared_identity()),
            failures: failures.saturating_add(1),
            retry_at: now + pause,
            trying: false,
        });
        Some(pause)
    }

    /// Whether an attempt is due; if so it has begun.
    pub(super) fn begin_attempt(&self, now: Instant) -> bool {
        match &mut *self.state.lock() {
            State::SetAside(aside) if !aside.trying && now >= aside.retry_at => {
                aside.trying = true;
                true
            }
            _ => false,
        }
    }

    /// Whether somebody still works with the farm as it was before it was set aside.
    pub(super) fn is_still_held(&self) -> bool {
        match &*self.state.lock() {
            State::InService(_) => true,
            State::SetAside(aside) => aside.was.strong_count() > 0,
        }
    }

    /// The attempt failed: the pause until the next one, and whether the reason is another one than before.
    pub(super) fn still_aside(&self, reason: &str) -> (Duration, bool) {
        match &mut *self.state.lock() {
            State::InService(_) => (Duration::ZERO, false),
            State::SetAside(aside) => {
                let pause = pause(aside.failures);
                aside.failures = aside.failures.saturating_add(1);
                aside.retry_at = Instant::now() + pause;
                aside.trying = false;
                let is_news = aside.reason != reason;
                if is_news {
                    aside.reason = reason.to_string();
                }
                (pause, is_news)
            }
        }
    }

    /// The attempt succeeded; gives how long the farm was away.
    pub(super) fn back_in_service(&self, farm: Arc<Farm>) -> Duration {
        let mut state = self.state.lock();
        let (away, failures) = match &*state {
            State::InService(_) => (Duration::ZERO, 0),
            State::SetAside(aside) => (aside.since.elapsed(), aside.failures),
        };
        *state = State::InService(Serving::begin(farm, failures));
        away
    }
}

impl Serving {
    fn begin(farm: Arc<Farm>, failures: u32) -> Self {
        Self {
            farm,
            since: Instant::now(),
            failures,
            unreadable: Vec::new(),
            mostly_unreadable: 0,
        }
    }
}

/// Pause after so many failures.
fn pause(failures: u32) -> Duration {
    PAUSE.0.saturating_mul(1 << failures.min(16)).min(PAUSE.1)
}
