//! Looks after all nodes of a client, those that stand by as well: how each one is, and when another one is the better choice.

use super::link::{Lane, Link, identity_of};
use super::{ConnectionState, Inner};
use crate::{NodeRpcError, limits, names};
use jsonrpsee::core::params::ArrayParams;
use std::fmt;
use std::sync::Arc;
use subspace_core_primitives::rpc::FarmerAppInfo;

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCondition {
    /// It was not looked at yet.
    Unknown,
    /// It answers and is where the chain is.
    Healthy,
    /// It answers and says that it is syncing.
    Syncing,
    /// It does not answer.
    Unreachable,
    /// It is on another chain.
    OtherChain,
}

impl NodeCondition {
    /// Whether it answers and is on our chain.
    pub fn answers(self) -> bool {
        matches!(self, Self::Healthy | Self::Syncing)
    }
}

impl fmt::Display for NodeCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "has not been asked yet",
            Self::Healthy => "is healthy",
            Self::Syncing => "is syncing",
            Self::Unreachable => "does not answer",
            Self::OtherChain => "is on another chain",
        })
    }
}

/// One node of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// Its address.
    pub url: String,
    /// How it was the last time.
    pub condition: NodeCondition,
    /// For how many looks in a row it has been so.
    pub looks: u32,
    /// It is the one that is connected.
    pub in_use: bool,
}

/// Looks at all nodes again and again.
pub(super) async fn run(inner: Arc<Inner>) {
    let cancel = inner.cancel.clone();
    let mut interval = tokio::time::interval(inner.look_every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let look = async {
            interval.tick().await;
            look(&inner).await;
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = look => {}
        }
    }
}

async fn look(inner: &Inner) {
    let link = inner.link.borrow().clone();
    let link = &link;
    let looks = inner.urls.iter().map(|url| async move {
        match link {
            Some(link) if link.url == *url => (condition(inner, ask(link).await), true),
            // With a single node the supervisor knocks at its door already.
            None if inner.urls.len() == 1 => (NodeCondition::Unreachable, false),
            _ => (condition(inner, identity_of(url).await), false),
        }
    });
    let found = futures::future::join_all(looks).await;
    inner.health.send_if_modified(|health| {
        let mut changed = false;
        for (node, (condition, in_use)) in health.iter_mut().zip(found) {
            changed |= node.condition != condition || node.in_use != in_use;
            if node.condition == condition {
                node.looks = node.looks.saturating_add(1);
            } else {
                tracing::debug!(url = node.url, "a node {condition}");
                node.looks = 1;
            }
            node.condition = condition;
            node.in_use = in_use;
            // Whoever waits for a node to be bad for long enough has to see every look.
            changed |= condition != NodeCondition::Healthy;
        }
        changed
    });
}

async fn ask(link: &Link) -> Result<FarmerAppInfo, NodeRpcError> {
    link.call(
        Lane::Slots,
        names::GET_FARMER_APP_INFO,
        ArrayParams::new(),
        limits::LOOK_TIMEOUT,
    )
    .await
}

fn condition(inner: &Inner, answer: Result<FarmerAppInfo, NodeRpcError>) -> NodeCondition {
    match answer {
        Err(_) => NodeCondition::Unreachable,
        Ok(info)
            if inner
                .genesis_hash
                .borrow()
                .is_some_and(|genesis| genesis != info.genesis_hash) =>
        {
            NodeCondition::OtherChain
        }
        Ok(info) if info.syncing => NodeCondition::Syncing,
        Ok(_) => NodeCondition::Healthy,
    }
}

/// Why the node in use should give way: it has been unwell for long enough, and another one is well.
pub(super) fn should_give_way(health: &[NodeHealth], url: &str) -> Option<NodeRpcError> {
    let current = health.iter().find(|node| node.url == url && node.in_use)?;
    let unwell = matches!(
        current.condition,
        NodeCondition::Syncing | NodeCondition::Unreachable | NodeCondition::OtherChain
    ) && current.looks >= limits::UNWELL_LOOKS;
    let other_is_well = health
        .iter()
        .any(|node| node.url != url && node.condition == NodeCondition::Healthy);
    (unwell && other_is_well).then(|| NodeRpcError::GaveWay {
        url: url.to_string(),
        condition: current.condition,
    })
}

/// In which order to try the nodes: those that are not known to be unwell first, each kind as the operator wrote them.
pub(super) fn order(health: &[NodeHealth]) -> Vec<String> {
    let mut nodes: Vec<&NodeHealth> = health.iter().collect();
    nodes.sort_by_key(|node| match node.condition {
        NodeCondition::Unknown | NodeCondition::Healthy => 0,
        NodeCondition::Syncing => 1,
        NodeCondition::Unreachable | NodeCondition::OtherChain => 2,
    });
    nodes.into_iter().map(|node| node.url.clone()).collect()
}

impl super::NodeClient {
    /// How all nodes of this client are, in the order in which they were given. Looked at every [`limits::LOOK_INTERVAL`].
    pub fn health(&self) -> Vec<NodeHealth> {
        let mut health = self.inner.health.borrow().clone();
        // The connection knows sooner than the next look.
        let connected = match &*self.inner.state.borrow() {
            ConnectionState::Connected { url, .. } => Some(url.clone()),
            _ => None,
        };
        for node in &mut health {
            node.in_use = Some(&node.url) == connected.as_ref();
            if node.in_use && !node.condition.answers() {
                node.condition = NodeCondition::Healthy;
            }
        }
        health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(url: &str, condition: NodeCondition, looks: u32, in_use: bool) -> NodeHealth {
        NodeHealth {
            url: url.to_string(),
            condition,
            looks,
            in_use,
        }
    }

    #[test]
    fn a_node_gives_way_when_it_is_unwell_and_another_one_is_well() {
        use NodeCondition::{Healthy, OtherChain, Syncing, Unreachable};
        let long = limits::UNWELL_LOOKS;
        for (current, looks, other, expected) in [
            (Syncing, long, Healthy, true),
            (Unreachable, long, Healthy, true),
            (Syncing, long - 1, Healthy, false),
            (Healthy, 100, Healthy, false),
            (Syncing, 100, Syncing, false),
            (OtherChain, long, Healthy, true),
            (Unreachable, 100, OtherChain, false),
        ] {
            let health = [node("a", current, looks, true), node("b", other, 9, false)];
            assert_eq!(should_give_way(&health, "a").is_some(), expected, "{health:?}");
        }
        let health = [
            node("a", Unreachable, 1, false),
            node("b", Syncing, 1, false),
            node("c", Healthy, 1, false),
            node("d", NodeCondition::Unknown, 0, false),
        ];
        assert_eq!(order(&health), ["c", "d", "b", "a"]);
    }
}
