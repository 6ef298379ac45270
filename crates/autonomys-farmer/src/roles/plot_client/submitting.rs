//! Hands a solution to exactly one controller, recorded before it is sent.

use super::one_controller::OneController;
use super::slot::Slot;
use anyhow::{Result, bail};
use autonomys_cluster::journal::{SolutionCourse, SolutionJournal, SolutionKey, SolutionOutcome};
use autonomys_cluster::messages::SubmitSolution;
use autonomys_cluster::{Cluster, ControllerId, RequestError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::SolutionResponse;
use subspace_core_primitives::solutions::Solution;

/// A signature is given only to a controller that was given a solution of the farm within this time.
const SIGNING_WINDOW: Duration = Duration::from_secs(60);

/// The next winner waits for the journal at most this long.
const SETTLE_WITHIN: Duration = Duration::from_secs(1);

/// A solution on its way.
pub(super) struct Submission<'a> {
    pub(super) slot: &'a Slot,
    pub(super) solution: Solution,
    /// How it came about.
    pub(super) course: SolutionCourse,
    /// Who gets it: one that has announced the slot.
    pub(super) controller: ControllerId,
}

/// Sends solutions and remembers to whom.
pub(super) struct Submitter {
    cluster: Cluster,
    journal: SolutionJournal,
    /// When a controller was last given a solution of a farm; forgotten after [`SIGNING_WINDOW`].
    given: Mutex<HashMap<(PublicKey, ControllerId), Instant>>,
    /// To whom the solutions of a slot go.
    slots: OneController,
}

impl Submitter {
    pub(super) fn new(cluster: Cluster, journal: SolutionJournal) -> Self {
        Self {
            cluster,
            journal,
            given: Mutex::default(),
            slots: OneController::default(),
        }
    }

    /// Records, sends, and records what came of it. Only after [`SolutionOutcome::NotReceived`] another controller may be tried.
    ///
    /// # Errors
    /// When it could not be recorded, was recorded before, or another controller may have a solution of the farm's slot; then it was not sent.
    pub(super) async fn submit(&self, submission: Submission<'_>) -> Result<SolutionOutcome> {
        let Submission {
            slot,
            solution,
            course,
            controller,
        } = submission;
        let slot_number = slot.number();
        let key = SolutionKey {
            public_key: solution.public_key,
            slot: slot_number,
            sector_index: solution.sector_index,
            piece_offset: solution.piece_offset,
        };
        let under_way = match self.slots.send(solution.public_key, slot_number, controller) {
            Ok(under_way) => under_way,
            Err(other) => {
                bail!("{other} may have another solution of the slot, so nobody else gets this one")
            }
        };
        let permit = match self.journal.record(&key, controller, course).await {
            Ok(permit) => permit,
            Err(error) => {
                // It was not sent.
                under_way.was_not_received();
                return Err(error.into());
            }
        };
        // Before it is sent: the node may ask for a signature before the reply is here.
        {
            let mut given = self.given.lock();
            given.retain(|_, given| given.elapsed() <= SIGNING_WINDOW);
            given.insert((solution.public_key, controller), Instant::now());
        }
        let request = SubmitSolution {
            response: SolutionResponse {
                slot_number,
                solution,
            },
        };
        let outcome = match self.cluster.request(controller.instance(), &request).await {
            Ok(reply) => SolutionOutcome::from(reply),
            Err(RequestError::NoResponders { .. }) => SolutionOutcome::NotReceived,
            Err(error) => {
                tracing::warn!(slot = slot_number, %error, "the fate of a solution is unknown; it is not sent elsewhere");
                SolutionOutcome::Unknown
            }
        };
        match outcome {
            SolutionOutcome::NotReceived => under_way.was_not_received(),
            _ => drop(under_way),
        }
        if let SolutionOutcome::Refused { code, message } = &outcome {
            tracing::warn!(slot = slot_number, code, message, "the node refused a solution");
        }
        // What the node did is not undone by a journal that cannot be reached: without this the record stays as final as unknown.
        match tokio::time::timeout(SETTLE_WITHIN, permit.settle(outcome.clone(), slot.ms_now())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(slot = slot_number, %error, "the fate of a solution could not be recorded")
            }
            Err(_) => tracing::warn!(
                slot = slot_number,
                "the fate of a solution could not be recorded in time"
            ),
        }
        Ok(outcome)
    }

    /// Whether the controller was given a solution of the farm a moment ago.
    pub(super) fn may_sign(&self, public_key: &PublicKey, controller: ControllerId) -> bool {
        self.given
            .lock()
            .get(&(*public_key, controller))
            .is_some_and(|given| given.elapsed() <= SIGNING_WINDOW)
    }
}
