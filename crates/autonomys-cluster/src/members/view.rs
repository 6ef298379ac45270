//! The picture of the cluster that announcements paint, and who has been silent for too long.

use super::DEAD_AFTER;
use super::record::{IncompatibleMember, Member};
use crate::ids::{InstanceId, Role};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// Silent strangers are remembered no longer than members; more than this many are not remembered at all.
const MAX_MEMBERS: usize = 10_000;

/// Everybody at one moment.
#[derive(Debug, Clone, Default)]
pub struct MembersSnapshot {
    /// Live members by id.
    pub members: BTreeMap<InstanceId, Arc<Member>>,
    /// Live instances of other protocol versions, which must not be talked to, by id.
    pub incompatible: BTreeMap<String, IncompatibleMember>,
}

impl MembersSnapshot {
    /// The member, if it is alive.
    pub fn get(&self, id: InstanceId) -> Option<&Arc<Member>> {
        self.members.get(&id)
    }

    /// Whether the instance is alive.
    pub fn is_live(&self, id: InstanceId) -> bool {
        self.members.contains_key(&id)
    }

    /// Members of a role, in the order of their ids.
    pub fn role(&self, role: Role) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values().filter(move |member| member.role() == role)
    }
}

/// The members as they come and go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MembersView {
    receiver: watch::Receiver<Arc<MembersSnapshot>>,
}

impl MembersView {
    /// Everybody now.
    pub fn current(&self) -> Arc<MembersSnapshot> {
        Arc::clone(&self.receiver.borrow())
    }

    /// Waits for a change that this clone has not seen and returns the new picture; `None` when nobody follows the
    /// members any more.
    pub async fn changed(&mut self) -> Option<Arc<MembersSnapshot>> {
        self.receiver.changed().await.ok()?;
        Some(Arc::clone(&self.receiver.borrow_and_update()))
    }

    /// Waits until the picture satisfies `condition`; `None` when nobody follows the members any more.
    pub async fn wait_until(
        &mut self,
        mut condition: impl FnMut(&MembersSnapshot) -> bool,
    ) -> Option<Arc<MembersSnapshot>> {
        self.receiver
            .wait_for(|snapshot| condition(snapshot))
            .await
            .ok()
            .map(|snapshot| Arc::clone(&snapshot))
    }
}

/// Keeps the picture.
pub(super) struct Tracker {
    sender: watch::Sender<Arc<MembersSnapshot>>,
    last_heard: BTreeMap<String, Instant>,
}

impl Tracker {
    pub(super) fn new() -> (Self, MembersView) {
        let (sender, receiver) = watch::channel(Arc::default());
        (
            Self {
                sender,
                last_heard: BTreeMap::new(),
            },
            MembersView { receiver },
        )
    }

    /// Resolves when nobody looks at the picture any more.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    pub(super) fn heard(&mut self, member: Member, now: Instant) {
        if !self.note(member.id.to_string(), now) {
            return;
        }
        self.sender.send_if_modified(|snapshot| {
            let known = snapshot.members.get(&member.id);
            if known.is_some_and(|known| **known == member) {
                return false;
            }
            match known {
                None => {
                    info!(id = %member.id, host = member.host, version = member.version, "joined the cluster")
                }
                Some(known) if known.run != member.run => {
                    info!(id = %member.id, host = member.host, "restarted")
                }
                Some(_) => {}
            }
            let snapshot = Arc::make_mut(snapshot);
            snapshot.incompatible.remove(&member.id.to_string());
            snapshot.members.insert(member.id, Arc::new(member));
            true
        });
    }

    pub(super) fn heard_incompatible(&mut self, other: IncompatibleMember, now: Instant) {
        if !self.note(other.id.clone(), now) {
            return;
        }
        self.sender.send_if_modified(|snapshot| {
            if snapshot.incompatible.get(&other.id) == Some(&other) {
                return false;
            }
            warn!("{other}");
            let snapshot = Arc::make_mut(snapshot);
            if let Ok(id) = other.id.parse::<InstanceId>() {
                snapshot.members.remove(&id);
            }
            snapshot.incompatible.insert(other.id.clone(), other);
            true
        });
    }

    fn note(&mut self, id: String, now: Instant) -> bool {
        if self.last_heard.len() >= MAX_MEMBERS && !self.last_heard.contains_key(&id) {
            return false;
        }
        self.last_heard.insert(id, now);
        true
    }

    pub(super) fn goodbye(&mut self, id: InstanceId, run: u64) {
        self.sender.send_if_modified(|snapshot| {
            let leaves = snapshot.members.get(&id).is_some_and(|member| member.run == run);
            if leaves {
                info!(%id, "left the cluster");
                Arc::make_mut(snapshot).members.remove(&id);
                self.last_heard.remove(&id.to_string());
            }
            leaves
        });
    }

    /// Drops who has been silent for too long; while we are disconnected silence says nothing.
    pub(super) fn sweep(&mut self, now: Instant, connected: bool) {
        if !connected {
            return;
        }
        let mut dead = Vec::new();
        self.last_heard.retain(|id, heard| {
            let alive = now.saturating_duration_since(*heard) < DEAD_AFTER;
            if !alive {
                dead.push(id.clone());
            }
            alive
        });
        if dead.is_empty() {
            return;
        }
        self.sender.send_modify(|snapshot| {
            let snapshot = Arc::make_mut(snapshot);
            for id in &dead {
                let member = id
                    .parse::<InstanceId>()
                    .ok()
                    .and_then(|id| snapshot.members.remove(&id));
                match member {
                    Some(member) => warn!(id, host = member.host, "is silent and counts as dead"),
                    None => drop(snapshot.incompatible.remove(id)),
                }
            }
        });
    }

    /// Counts everybody as heard now.
    pub(super) fn forgive(&mut self, now: Instant) {
        for heard in self.last_heard.values_mut() {
            *heard = now;
        }
    }
}

#[cfg(test)]
mod tests {
    //! Joining, restarting, leaving and falling silent, on a clock of the test's own.

    use super::*;
    use std::time::Duration;

    fn member(role: Role) -> Member {
        Member::new(InstanceId::generate(role), "host", "1")
    }

    #[test]
    fn silence_counts_only_while_connected() {
        let (mut tracker, view) = Tracker::new();
        let start = Instant::now();
        let quiet = member(Role::PlotServer);
        let lively = member(Role::ShardedCache);
        tracker.heard(quiet.clone(), start);
        tracker.heard(lively.clone(), start);
        assert_eq!(view.current().role(Role::PlotServer).count(), 1);

        let later = start + DEAD_AFTER;
        tracker.heard(lively.clone(), later - Duration::from_secs(1));
        tracker.sweep(later, false);
        assert!(view.current().is_live(quiet.id), "we were the ones who were away");
        tracker.sweep(later - Duration::from_millis(1), true);
        assert!(view.current().is_live(quiet.id));
        tracker.sweep(later, true);
        assert!(!view.current().is_live(quiet.id));
        assert!(view.current().is_live(lively.id));

        tracker.forgive(later + DEAD_AFTER);
        tracker.sweep(later + DEAD_AFTER, true);
        assert!(view.current().is_live(lively.id));
    }

    #[test]
    fn goodbye_is_meant_for_one_run() {
        let (mut tracker, view) = Tracker::new();
        let now = Instant::now();
        let old = member(Role::PlotClient);
        let new = Member {
            run: old.run.wrapping_add(1),
            ..old.clone()
        };
        tracker.heard(old.clone(), now);
        tracker.heard(new.clone(), now);
        tracker.goodbye(old.id, old.run);
        assert_eq!(view.current().get(old.id).map(|member| member.run), Some(new.run));
        tracker.goodbye(new.id, new.run);
        assert!(!view.current().is_live(old.id));
    }

    #[test]
    fn strangers_are_shown_apart() {
        let (mut tracker, view) = Tracker::new();
        let now = Instant::now();
        let known = member(Role::ProofServer);
        let stranger = |id: &str| IncompatibleMember {
            id: id.to_owned(),
            host: "h".to_owned(),
            version: "9".to_owned(),
            protocol_version: 9,
        };
        tracker.heard(known.clone(), now);
        // The same instance comes back in another release, and then in ours again.
        tracker.heard_incompatible(stranger(&known.id.to_string()), now);
        assert!(!view.current().is_live(known.id));
        assert_eq!(view.current().incompatible.len(), 1);
        tracker.heard(known.clone(), now);
        assert!(view.current().is_live(known.id) && view.current().incompatible.is_empty());

        tracker.heard_incompatible(stranger("whatever"), now);
        tracker.sweep(now + DEAD_AFTER, true);
        assert!(view.current().incompatible.is_empty());
    }
}
