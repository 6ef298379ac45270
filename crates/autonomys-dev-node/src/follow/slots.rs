//! Slots out of the leader's proofs of time: verified, held back for the delay of the node, announced by its own clock.

use super::leader::decode_proof;
use super::{FollowError, FollowStage, Leader};
use crate::consensus::clock::Clock;
use crate::rpc::development::SlotProof;
use crate::shared::Shared;
use autonomys_node_rpc::limits::SILENT_SLOTS_AFTER;
use jsonrpsee::core::client::Subscription;
use std::collections::VecDeque;
use std::time::Duration;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::pot::PotCheckpoints;
use subspace_proof_of_time::verify;
use tokio::time::Instant;

/// Proofs that wait for the delay to pass: one every millisecond for a minute, 150 bytes each.
const MAX_HELD: usize = 60_000;

/// Announces slots as the leader proves them, `delay` later. What was proved before is taken without being announced: nobody can farm it
/// any more. Ends with the connection.
pub(super) async fn follow(
    clock: &mut Clock,
    leader: &Leader,
    mut proofs: Subscription<SlotProof>,
    delay: Duration,
) -> FollowError {
    if let Err(error) = catch_up(clock, leader, None).await {
        return error;
    }
    let mut entered = clock.pot.lock().last_slot();
    enter_stage(&clock.shared, FollowStage::Following, None);
    tracing::info!(slot = entered, "following");
    let mut held: VecDeque<(Instant, SlotNumber, PotCheckpoints)> = VecDeque::new();
    let mut heard = Instant::now();
    loop {
        let due = held.front().map(|(due, ..)| *due);
        tokio::select! {
            proof = proofs.next() => {
                let decoded = match proof {
                    Some(Ok(proof)) => decode_proof(&proof),
                    Some(Err(error)) => Err(FollowError::Lost(format!("a proof of time does not decode ({error})"))),
                    None => Err(FollowError::Lost("its proofs of time ended".to_string())),
                };
                heard = Instant::now();
                match decoded {
                    Ok(_) if held.len() == MAX_HELD => {
                        return FollowError::Lost("too many proofs of time at once".to_string());
                    }
                    Ok((slot, checkpoints)) => held.push_back((heard + delay, slot, checkpoints)),
                    Err(error) => return error,
                }
            }
            () = tokio::time::sleep_until(due.unwrap_or(heard)), if due.is_some() => {
                let Some((_, slot, checkpoints)) = held.pop_front() else { continue };
                if slot > entered {
                    if let Err(error) = enter(clock, leader, slot, checkpoints).await {
                        return error;
                    }
                    entered = slot;
                }
            }
            () = tokio::time::sleep_until(heard + SILENT_SLOTS_AFTER) => {
                // Slots may be long; a leader that hangs does not answer either.
                if let Err(error) = leader.probe().await {
                    return error;
                }
                heard = Instant::now();
            }
        }
    }
}

/// Takes the proof of a slot and announces the slot.
async fn enter(
    clock: &mut Clock,
    leader: &Leader,
    slot: SlotNumber,
    checkpoints: PotCheckpoints,
) -> Result<(), FollowError> {
    // Proofs in between did not arrive: the node was too slow for the leader's buffer.
    if clock.pot.lock().last_slot() + 1 < slot {
        catch_up(clock, leader, Some(slot)).await?;
    }
    take(clock, slot, checkpoints).await?;
    clock.enter(slot).await?;
    Ok(())
}

/// Takes the proofs that the leader has and this node has not, up to `end` (exclusive).
async fn catch_up(clock: &mut Clock, leader: &Leader, end: Option<SlotNumber>) -> Result<(), FollowError> {
    loop {
        let next = clock.pot.lock().last_slot() + 1;
        if end.is_some_and(|end| next >= end) {
            return Ok(());
        }
        let page = leader.proofs_of_time(next).await?;
        match page.first() {
            None => return Ok(()),
            // A block that was imported meanwhile may have brought some of them.
            Some((first, _)) if *first > clock.pot.lock().last_slot() + 1 => {
                return Err(FollowError::Lost(format!(
                    "it gives the proof of slot {first} where that of slot {next} was asked for"
                )));
            }
            Some(_) => {}
        }
        for (slot, checkpoints) in page {
            take(clock, slot, checkpoints).await?;
        }
    }
}

/// Verifies a proof and adds it. One that does not verify may belong to a change that a block announces which is not here yet: it waits
/// for that block.
async fn take(clock: &mut Clock, slot: SlotNumber, checkpoints: PotCheckpoints) -> Result<(), FollowError> {
    let mut waiting = false;
    loop {
        let change = *clock.change.borrow_and_update();
        let input = {
            let pot = clock.pot.lock();
            if slot <= pot.last_slot() {
                return match pot.proof(slot) {
                    Some((_, known)) if known != checkpoints => Err(FollowError::Lost(format!(
                        "its proof of time of slot {slot} is another one than a block has"
                    ))),
                    _ => Ok(()),
                };
            }
            pot.next(change.as_ref())?
        };
        if input.slot != slot {
            return Err(FollowError::Lost(format!(
                "it gives the proof of slot {slot} where that of slot {} is next",
                input.slot
            )));
        }
        let verifying =
            tokio::task::spawn_blocking(move || verify(input.seed, input.slot_iterations, &checkpoints));
        let verified = verifying
            .await
            .map_err(|error| FollowError::Lost(error.to_string()))?;
        if matches!(verified, Ok(true)) {
            let mut pot = clock.pot.lock();
            // Unless a block has brought it meanwhile.
            if pot.last_slot() + 1 == slot {
                pot.push(&input, checkpoints);
            }
            drop(pot);
            if waiting {
                enter_stage(&clock.shared, FollowStage::Following, None);
            }
            return Ok(());
        }
        if !waiting {
            waiting = true;
            let error = format!(
                "the proof of slot {slot} does not follow from the blocks that are here; waiting for the next block"
            );
            tracing::warn!("{error}");
            enter_stage(&clock.shared, FollowStage::CatchingUp, Some(error));
        }
        let stopping = || FollowError::Lost("this node is stopping".to_string());
        clock.change.changed().await.map_err(|_| stopping())?;
    }
}

/// Shows the stage.
pub(super) fn enter_stage(shared: &Shared, stage: FollowStage, error: Option<String>) {
    if let Some(following) = &shared.following {
        following.send_modify(|state| state.enter(stage, error));
    }
}
