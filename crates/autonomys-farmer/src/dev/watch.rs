//! Follows a development cluster from outside: members for what the roles do, the chain's blocks for rewards.

use super::Goal;
use super::layout::Layout;
use anyhow::{Context, Result};
use autonomys_cluster::members::{MembersSnapshot, MembersView, RoleStatus};
use autonomys_cluster::{Cluster, ClusterName, InstanceId, NatsOptions, Role};
use autonomys_node_rpc::chain_types::RpcHeader;
use autonomys_node_rpc::{NodeClient, NodeRpcError};
use parity_scale_codec::{Compact, Decode};
use std::time::Duration;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::solutions::Solution;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often the chain is asked for new blocks.
const CHAIN_POLL: Duration = Duration::from_millis(500);
/// Digest item of a block's author: pre-runtime, engine `SUB_`.
const PRE_DIGEST_PREFIX: [u8; 5] = [6, b'S', b'U', b'B', b'_'];

/// What is seen of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) segments: u64,
    pub(super) cached_pieces: u64,
    pub(super) sectors: u64,
    pub(super) target_sectors: u64,
    pub(super) audited_slots: u64,
    pub(super) solutions: u64,
    /// Blocks that reward this cluster, since it was started this time.
    pub(super) rewards: u64,
    /// Their numbers.
    pub(super) rewarded_blocks: Vec<u32>,
}

/// Follows until it is dropped.
pub(super) struct Watch {
    receiver: watch::Receiver<State>,
    state: State,
    goal: Option<Goal>,
    _stop: DropGuard,
}

impl Watch {
    /// Starts to follow. Blocks that exist already do not count.
    pub(super) async fn start(layout: &Layout, goal: Option<Goal>) -> Result<Self> {
        let cancel = CancellationToken::new();
        let options = NatsOptions::new(
            vec![layout.nats_url()],
            ClusterName::default(),
            // A look from outside: it never announces itself.
            InstanceId::generate(Role::Controller),
        );
        let cluster = Cluster::connect(options).await?;
        let members = MembersView::observe(&cluster).await?;
        let node = NodeClient::new([layout.node_url()], cancel.clone())?;
        let best = best_number(&node).await?;
        let (sender, receiver) = watch::channel(State::default());
        tokio::spawn(
            cancel
                .clone()
                .run_until_cancelled_owned(follow(cluster, members, node, best, sender)),
        );
        Ok(Self {
            receiver,
            state: State::default(),
            goal,
            _stop: cancel.drop_guard(),
        })
    }

    /// Waits for a change.
    pub(super) async fn changed(&mut self) -> Result<&State> {
        self.receiver
            .changed()
            .await
            .context("the cluster is not followed any more")?;
        self.state = self.receiver.borrow_and_update().clone();
        Ok(&self.state)
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn has_enough(&self) -> bool {
        match self.goal {
            Some(Goal::Rewards(wanted)) => self.state.rewards >= wanted,
            // Before the farm is known there is no target either.
            Some(Goal::Plotted) => {
                self.state.target_sectors > 0 && self.state.sectors >= self.state.target_sectors
            }
            None => false,
        }
    }
}

async fn follow(
    // Kept because the members come over it.
    _cluster: Cluster,
    mut members: MembersView,
    node: NodeClient,
    mut best: u32,
    sender: watch::Sender<State>,
) {
    let mut poll = tokio::time::interval(CHAIN_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            snapshot = members.changed() => match snapshot {
                Some(snapshot) => {
                    sender.send_if_modified(|state| count_members(state, &snapshot));
                }
                None => return,
            },
            _ = poll.tick() => match new_rewards(&node, &mut best).await {
                Ok(blocks) if blocks.is_empty() => {}
                Ok(blocks) => sender.send_modify(|state| {
                    state.rewards += blocks.len() as u64;
                    state.rewarded_blocks.extend(blocks);
                }),
                Err(error) => tracing::debug!(%error, "the chain does not answer"),
            },
        }
    }
}

/// Puts what the members say into the state; `true` when something changed.
fn count_members(state: &mut State, snapshot: &MembersSnapshot) -> bool {
    let mut seen = State {
        rewards: state.rewards,
        rewarded_blocks: state.rewarded_blocks.clone(),
        ..State::default()
    };
    for member in snapshot.members.values() {
        match &member.status {
            RoleStatus::Controller(_) | RoleStatus::ProofServer(_) | RoleStatus::PlotServer(_) => {}
            RoleStatus::ShardedCache(status) => seen.cached_pieces += status.items,
            RoleStatus::FullPieceShardedCache(status) => {
                seen.segments += status.segments.iter().map(|range| range.count).sum::<u64>();
            }
            RoleStatus::PlotClient(status) => {
                seen.sectors += status.sectors;
                seen.target_sectors += status.target_sectors;
                seen.audited_slots += status.audited_slots;
                seen.solutions += status.solutions;
            }
        }
    }
    let changed = *state != seen;
    *state = seen;
    changed
}

async fn best_number(node: &NodeClient) -> Result<u32, NodeRpcError> {
    Ok(node.header(None).await?.map_or(0, |header| header.number.0))
}

/// Numbers of the blocks after `best` that reward the development account; moves `best` on.
async fn new_rewards(node: &NodeClient, best: &mut u32) -> Result<Vec<u32>, NodeRpcError> {
    let mut rewarded = Vec::new();
    let newest = best_number(node).await?;
    while *best < newest {
        let number = *best + 1;
        let Some(hash) = node.block_hash(number).await? else {
            break;
        };
        let Some(header) = node.header(Some(hash)).await? else {
            break;
        };
        if solution_of(&header).is_some_and(|solution| *solution.reward_address == Layout::reward_account()) {
            rewarded.push(number);
        }
        *best = number;
    }
    Ok(rewarded)
}

/// The solution that a block was made with.
fn solution_of(header: &RpcHeader) -> Option<Solution> {
    let item = header
        .digest
        .logs
        .iter()
        .find(|log| log.0.starts_with(&PRE_DIGEST_PREFIX))?;
    let mut rest = &item.0[PRE_DIGEST_PREFIX.len()..];
    let Compact(_length) = Compact::<u32>::decode(&mut rest).ok()?;
    let version = u8::decode(&mut rest).ok()?;
    let _slot = SlotNumber::decode(&mut rest).ok()?;
    (version == 0).then(|| Solution::decode(&mut rest).ok()).flatten()
}
