//! What a controller tells the others about itself and its nodes: how many are well, whether the one in use is behind, how far it is.

use super::Shared;
use crate::roles::context::RoleContext;
use anyhow::{Context, Result, bail};
use autonomys_cluster::leader::LeaderElection;
use autonomys_cluster::members::{ControllerStatus, MembersSnapshot, MembersView, RoleStatus};
use autonomys_cluster::{ControllerId, Role};
use autonomys_node_rpc::{ConnectionState, NodeClient, NodeCondition};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use subspace_core_primitives::SlotNumber;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// A node whose slots come this much after those of other controllers' nodes is behind: when its solutions are judged, the others have
/// built on the slot. That is the farming time.
const BEHIND_SLOTS: SlotNumber = 4;
/// How often nodes and other controllers are compared; the nodes themselves are looked at every 2 s.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Puts the status together and logs when the node in use falls behind or comes back.
pub(super) struct Reporter {
    node: NodeClient,
    members: MembersView,
    /// Segments of the chain.
    segments: Arc<AtomicU64>,
    id: ControllerId,
    last_slot: SlotNumber,
    /// What was last logged about the node in use.
    behind: Option<Behind>,
}

/// In what way a node is not where the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// It says so itself.
    Syncing,
    /// Other controllers have announced later slots.
    Slots(SlotNumber),
}

impl Reporter {
    pub(super) fn new(
        node: NodeClient,
        members: MembersView,
        segments: Arc<AtomicU64>,
        id: ControllerId,
    ) -> Self {
        Self {
            node,
            members,
            segments,
            id,
            last_slot: 0,
            behind: None,
        }
    }

    fn status(&mut self, leader: bool) -> ControllerStatus {
        let nodes = self.node.health();
        let in_use = nodes.iter().find(|node| node.in_use);
        let syncing = in_use.is_some_and(|node| node.condition == NodeCondition::Syncing);
        let behind = if syncing {
            Some(Behind::Syncing)
        } else {
            // Without a node there is nothing to be behind with: healthy_nodes says so.
            in_use.and_then(|_| behind(&self.members.current(), self.id, self.last_slot))
        };
        let url = in_use.map_or("", |node| node.url.as_str());
        match (self.behind, behind) {
            (None, Some(Behind::Syncing)) => {
                tracing::warn!(
                    url,
                    "the node is syncing: nothing can be farmed with it until it has caught up"
                );
            }
            (None, Some(Behind::Slots(slots))) => tracing::warn!(
                url,
                slots,
                "the node is behind those of other controllers: what is farmed with it comes too late"
            ),
            (Some(_), None) if in_use.is_some() => tracing::info!(url, "the node has caught up"),
            _ => {}
        }
        self.behind = behind;
        let count = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        ControllerStatus {
            nodes: count(nodes.len()),
            healthy_nodes: count(nodes.iter().filter(|node| node.condition.answers()).count()),
            syncing: behind.is_some(),
            last_slot: self.last_slot,
            segments: self.segments.load(Ordering::Relaxed),
            leader,
        }
    }
}

/// How far the slot is behind the newest one of other controllers, when that is too far.
fn behind(snapshot: &MembersSnapshot, own: ControllerId, last_slot: SlotNumber) -> Option<Behind> {
    let newest = snapshot
        .role(Role::Controller)
        .filter(|member| member.id != own.instance())
        .filter_map(|member| match &member.status {
            // One that is behind itself proves nothing, whatever slots its node has.
            RoleStatus::Controller(status) if !status.syncing => Some(status.last_slot),
            _ => None,
        })
        .max()?;
    let slots = newest.saturating_sub(last_slot);
    // Before its first slot a node has not begun to be behind.
    (last_slot > 0 && slots > BEHIND_SLOTS).then_some(Behind::Slots(slots))
}

/// Keeps the member record up to date until told to stop, or until a loop ends that should not.
pub(super) async fn supervise(
    context: &RoleContext,
    shared: &Shared,
    election: &LeaderElection,
    mut reporter: Reporter,
    mut tasks: JoinSet<Result<()>>,
) -> Result<()> {
    let mut state = shared.node.state();
    let mut leading = election.leading();
    let mut slots = Box::pin(shared.node.slot_info());
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let ConnectionState::Failed(error) = &*state.borrow_and_update() {
            bail!("{error}");
        }
        let status = reporter.status(*leading.borrow_and_update());
        context.update(|member| {
            if let RoleStatus::Controller(known) = &mut member.status {
                *known = status;
            }
        });
        tokio::select! {
            () = shared.cancel.cancelled() => break,
            ended = tasks.join_next() => match ended {
                Some(outcome) => outcome.context("a loop of the controller crashed")??,
                None => break,
            },
            changed = state.changed() => changed.context("the node client is gone")?,
            changed = leading.changed() => changed.context("the leader election is gone")?,
            Some(slot) = slots.next() => reporter.last_slot = slot.slot_info.slot_number,
            _ = look.tick() => {}
        }
    }
    // Told to stop: the loops see the same token and end by themselves.
    while let Some(outcome) = tasks.join_next().await {
        outcome.context("a loop of the controller crashed")??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::InstanceId;
    use autonomys_cluster::members::Member;

    fn controller(last_slot: SlotNumber, syncing: bool) -> Member {
        let mut member = Member::new(InstanceId::generate(Role::Controller), "host", "0");
        if let RoleStatus::Controller(status) = &mut member.status {
            status.last_slot = last_slot;
            status.syncing = syncing;
        }
        member
    }

    #[test]
    fn a_node_is_behind_when_others_have_later_slots() {
        let own = controller(100, false);
        let id = ControllerId::try_from(own.id).expect("a controller");
        let snapshot = |others: &[Member]| MembersSnapshot {
            members: others
                .iter()
                .chain([&own])
                .map(|member| (member.id, Arc::new(member.clone())))
                .collect(),
            ..MembersSnapshot::default()
        };
        let others = [controller(104, false), controller(90, false)];
        assert_eq!(behind(&snapshot(&others), id, 100), None);
        assert_eq!(behind(&snapshot(&others), id, 99), Some(Behind::Slots(5)));
        // Alone, or with others that are behind themselves, nothing can be said.
        assert_eq!(behind(&snapshot(&[]), id, 100), None);
        assert_eq!(behind(&snapshot(&others), id, 0), None);
        assert_eq!(behind(&snapshot(&[controller(200, true)]), id, 100), None);
    }
}
