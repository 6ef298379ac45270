//! Blocks of the leader: read, handed to the author, who checks and imports them.

use super::{FollowError, Leader};
use crate::consensus::author::Order;
use crate::shared::Shared;
use autonomys_node_rpc::chain_types::{HexHash, RpcHeader};
use futures::{StreamExt, TryStreamExt};
use jsonrpsee::core::client::Subscription;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Hashes asked for at once.
const HASHES: u32 = 256;
/// Blocks read ahead of the import: at most 4 MB of extrinsics each.
const READ_AHEAD: usize = 4;
/// Heads that wait for the delay of the node to pass: a head every millisecond for a minute.
const MAX_HELD: usize = 60_000;

/// Looks whether the best block here is one of the leader's.
pub(super) async fn check_same_chain(shared: &Shared, leader: &Leader) -> Result<(), FollowError> {
    let (number, hash) = {
        let best = shared.best.borrow();
        (best.state.number, HexHash(best.hash))
    };
    let theirs = leader.block_hashes(vec![number]).await?;
    if theirs == [Some(hash)] {
        return Ok(());
    }
    let what = match theirs.first() {
        Some(Some(theirs)) => format!("its block {number} is {theirs}"),
        _ => format!("its chain ends before block {number}"),
    };
    Err(FollowError::Fatal(format!(
        "{what}, but here it is {hash}: the chains have parted; remove the directory of one of the two nodes"
    )))
}

/// Imports everything up to the leader's best block.
pub(super) async fn catch_up(shared: &Arc<Shared>, leader: &Leader) -> Result<(), FollowError> {
    let best = leader.best_number().await?;
    note_head(shared, best);
    sync_to(shared, leader, best).await
}

/// Imports every new head, `delay` after it became known. Ends with the connection.
pub(super) async fn follow(
    shared: &Arc<Shared>,
    leader: &Leader,
    mut heads: Subscription<RpcHeader>,
    delay: Duration,
) -> FollowError {
    let mut held: VecDeque<(Instant, u32)> = VecDeque::new();
    loop {
        let due = held.front().map(|(due, _)| *due);
        tokio::select! {
            head = heads.next() => {
                let number = match head {
                    Some(Ok(head)) => head.number.0,
                    Some(Err(error)) => return FollowError::Lost(format!("a head does not decode ({error})")),
                    None => return FollowError::Lost("its heads ended".to_string()),
                };
                note_head(shared, number);
                if held.len() == MAX_HELD {
                    return FollowError::Lost("too many heads at once".to_string());
                }
                held.push_back((Instant::now() + delay, number));
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                // Those that became due while a long import ran lie behind each other: only the last matters.
                let mut newest = 0;
                while let Some((_, number)) = held.pop_front_if(|(due, _)| *due <= Instant::now()) {
                    newest = newest.max(number);
                }
                if let Err(error) = sync_to(shared, leader, newest).await {
                    return error;
                }
            }
        }
    }
}

fn note_head(shared: &Shared, number: u32) {
    if let Some(following) = &shared.following {
        following.send_modify(|state| state.leader_is_at(number));
    }
}

/// Reads and imports blocks up to the one with number `target`.
async fn sync_to(shared: &Arc<Shared>, leader: &Leader, target: u32) -> Result<(), FollowError> {
    let stopping = || FollowError::Lost("this node is stopping".to_string());
    let mut best = shared.best.subscribe();
    loop {
        let number = best.borrow_and_update().state.number;
        if number >= target {
            return Ok(());
        }
        let last = target.min(number.saturating_add(HASHES));
        let numbers: Vec<u32> = (number + 1..=last).collect();
        let hashes = leader.block_hashes(numbers.clone()).await?;
        let mut blocks = futures::stream::iter(numbers.into_iter().zip(hashes))
            .map(|(number, hash)| async move {
                let hash = hash.ok_or_else(|| FollowError::Lost(format!("it has no block {number}")))?;
                leader.block(number, hash).await
            })
            .buffered(READ_AHEAD);
        while let Some(block) = blocks.try_next().await? {
            let number = block.header.number;
            let (reply, taken) = oneshot::channel();
            let order = Order::Import(Box::new(block), reply);
            shared.orders.send(order).await.map_err(|_| stopping())?;
            let taken = taken.await.map_err(|_| stopping())?;
            taken.map_err(|error| FollowError::Lost(format!("its block {number} is refused: {error}")))?;
        }
        // The last one may still be archived.
        best.wait_for(|best| best.state.number >= last)
            .await
            .map_err(|_| stopping())?;
    }
}
