//! The clock: computes proofs of time, announces slots, opens and closes mailboxes.

use super::author::{Claim, Order};
use super::pot::PotChain;
use crate::error::DevNodeError;
use crate::faults::FaultKind;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use crate::shared::Shared;
use crate::store::directory::Directory;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::rpc::{RewardSigningInfo, SlotInfo};
use subspace_proof_of_time::{NextSlotInput, PotParametersChange, prove};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

/// When the next slot comes.
#[derive(Debug)]
pub enum Pace {
    /// By time; after a stall the missed slots follow in a burst.
    Timer(Interval),
    /// One slot for each permit that a driver adds.
    Manual(Arc<Semaphore>),
}

impl Pace {
    /// Slots of this length.
    pub fn timer(slot_duration: Duration) -> Self {
        let mut interval = tokio::time::interval(slot_duration.max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self::Timer(interval)
    }

    async fn wait(&mut self) {
        match self {
            Self::Timer(interval) => {
                interval.tick().await;
            }
            Self::Manual(steps) => match steps.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The task of the clock.
pub struct Clock {
    /// Shared parts.
    pub shared: Arc<Shared>,
    /// Where the slot is remembered.
    pub directory: Arc<Directory>,
    /// Proofs.
    pub pot: Arc<Mutex<PotChain>>,
    /// Change of parameters that the newest block announces.
    pub change: watch::Receiver<Option<PotParametersChange>>,
    /// To the author.
    pub orders: mpsc::Sender<Order>,
    /// When slots come.
    pub pace: Pace,
    /// Announcements held back by an injected fault.
    pub held: Vec<SlotInfo>,
}

impl Clock {
    /// Computes proofs without announcing them until the slot that was reached before the restart.
    ///
    /// # Errors
    /// When the chain of proofs cannot go on.
    pub async fn catch_up(&mut self, slot: SlotNumber) -> Result<(), DevNodeError> {
        while self.pot.lock().last_slot() < slot {
            self.prove_next().await?;
        }
        Ok(())
    }

    /// Runs until it fails or is dropped.
    ///
    /// # Errors
    /// When the chain of proofs cannot go on or the slot cannot be remembered.
    pub async fn run(mut self) -> Result<(), DevNodeError> {
        loop {
            self.pace.wait().await;
            let slot = self.prove_next().await?;
            self.enter(slot).await?;
        }
    }

    /// What happens in a slot whose proof is there: it is announced, remembered, and the one that can be built on now is claimed.
    ///
    /// # Errors
    /// When the slot cannot be remembered.
    pub async fn enter(&mut self, slot: SlotNumber) -> Result<(), DevNodeError> {
        self.shared.faults.enter_slot(slot);
        self.announce(slot).await;
        self.directory.write_slot(slot)?;
        self.claim(slot).await;
        self.shared.slot.send_replace(slot);
        Ok(())
    }

    /// Hands the solutions of the slot that may be built on now to the author.
    async fn claim(&self, slot: SlotNumber) {
        let Some(claimed) = slot
            .checked_sub(BLOCK_AUTHORING_DELAY)
            .filter(|claimed| *claimed > 0)
        else {
            return;
        };
        let solutions = self.shared.mailboxes.lock().close(claimed);
        if solutions.is_empty() {
            return;
        }
        let claim = Order::Claim(Claim {
            slot: claimed,
            solutions,
        });
        match self.pace {
            // Whoever steps by hand wants every claim to be looked at.
            Pace::Manual(_) => {
                let _ = self.orders.send(claim).await;
            }
            Pace::Timer(_) => {
                if self.orders.try_send(claim).is_err() {
                    tracing::debug!(
                        slot = claimed,
                        "a block is still being imported, the slot is lost"
                    );
                }
            }
        }
    }

    async fn prove_next(&self) -> Result<SlotNumber, DevNodeError> {
        let input = self.pot.lock().next(self.change.borrow().as_ref())?;
        let NextSlotInput {
            slot,
            slot_iterations,
            seed,
        } = input;
        let checkpoints = tokio::task::spawn_blocking(move || prove(seed, slot_iterations))
            .await
            .map_err(|_| DevNodeError::Aborted)?
            .map_err(|error| DevNodeError::ProofOfTime(error.to_string()))?;
        self.pot.lock().push(&input, checkpoints);
        // Nobody may follow this node.
        let _ = self.shared.proofs.send((slot, checkpoints));
        Ok(slot)
    }

    async fn announce(&mut self, slot: SlotNumber) {
        let Some(output) = self.pot.lock().output(slot) else {
            return;
        };
        let (solution_range, voting_solution_range) = {
            let best = self.shared.best.borrow();
            (best.state.solution_range(), best.state.voting_solution_range())
        };
        let info = SlotInfo {
            slot_number: slot,
            global_challenge: output.derive_global_challenge(slot),
            solution_range,
            voting_solution_range,
        };
        let faults = Arc::clone(&self.shared.faults);
        if let Some(late) = faults.find(|kind| match kind {
            FaultKind::LateSlots(late) => Some(*late),
            _ => None,
        }) {
            tokio::time::sleep(late).await;
        }
        if faults.acts(&FaultKind::CloseSockets) {
            self.shared
                .socket_generation
                .send_modify(|generation| *generation += 1);
        }
        self.inject_signing(&info);
        if faults.acts(&FaultKind::Syncing) || faults.acts(&FaultKind::SkipSlots) {
            return;
        }
        if let Some(last) = faults.burst_until(slot) {
            self.held.push(info);
            if slot < last {
                return;
            }
            for info in std::mem::take(&mut self.held) {
                self.send(info);
            }
            return;
        }
        if faults.acts(&FaultKind::PotReorg) {
            self.send(SlotInfo {
                global_challenge: blake3_hash(info.global_challenge.as_ref()),
                ..info
            });
        }
        self.send(info);
    }

    /// Hands a slot to the subscribers and opens its mailbox when there are any.
    fn send(&self, info: SlotInfo) {
        if self.shared.slots.receiver_count() == 0 {
            return;
        }
        if self.shared.behaviour.unsafe_allowed {
            self.shared.mailboxes.lock().open(info.slot_number);
        }
        let _ = self.shared.slots.send(info);
    }

    fn inject_signing(&self, info: &SlotInfo) {
        let hash = blake3_hash(info.global_challenge.as_ref());
        if self.shared.faults.acts(&FaultKind::ForeignSigning) {
            let public_key = Blake3Hash::default().0.into();
            self.shared
                .signing
                .announce(RewardSigningInfo { hash, public_key });
        }
        if self.shared.faults.acts(&FaultKind::EarlySigning)
            && let Some(public_key) = *self.shared.last_key.lock()
        {
            self.shared
                .signing
                .announce(RewardSigningInfo { hash, public_key });
        }
    }
}
