//! Hands a solution to exactly one controller, recorded before it is sent.

use anyhow::Result;
use autonomys_cluster::journal::{SolutionJournal, SolutionKey, SolutionOutcome};
use autonomys_cluster::messages::SubmitSolution;
use autonomys_cluster::{Cluster, ControllerId, RequestError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use subspace_core_primitives::rpc::SolutionResponse;
use subspace_core_primitives::solutions::Solution;
use subspace_core_primitives::{PublicKey, SlotNumber};

/// A signature is given only to a controller that was given a solution of the farm within this time.
const SIGNING_WINDOW: Duration = Duration::from_secs(60);

/// A solution on its way.
pub(super) struct Submission {
    pub(super) slot: SlotNumber,
    pub(super) solution: Solution,
    /// Whose announcement of the slot came first.
    pub(super) controller: ControllerId,
}

/// Sends solutions and remembers to whom.
pub(super) struct Submitter {
    cluster: Cluster,
    journal: SolutionJournal,
    /// When a controller was last given a solution of a farm; as many entries as farms times controllers.
    given: Mutex<HashMap<(PublicKey, ControllerId), Instant>>,
}

impl Submitter {
    pub(super) fn new(cluster: Cluster, journal: SolutionJournal) -> Self {
        Self {
            cluster,
            journal,
            given: Mutex::default(),
        }
    }

    /// Records, sends, and records what came of it; `true` when the node took the solution.
    pub(super) async fn submit(&self, submission: Submission) -> Result<bool> {
        let Submission {
            slot,
            solution,
            controller,
        } = submission;
        let key = SolutionKey {
            public_key: solution.public_key,
            slot,
            sector_index: solution.sector_index,
            piece_offset: solution.piece_offset,
        };
        let permit = self.journal.record(&key, controller).await?;
        // Before it is sent: the node may ask for a signature before the reply is here.
        self.given
            .lock()
            .insert((solution.public_key, controller), Instant::now());
        let request = SubmitSolution {
            response: SolutionResponse {
                slot_number: slot,
                solution,
            },
        };
        let outcome = match self.cluster.request(controller.instance(), &request).await {
            Ok(reply) => SolutionOutcome::from(reply),
            Err(RequestError::NoResponders { .. }) => SolutionOutcome::NotReceived,
            Err(error) => {
                tracing::warn!(slot, %error, "the fate of a solution is unknown; it is not sent elsewhere");
                SolutionOutcome::Unknown
            }
        };
        let accepted = outcome == SolutionOutcome::Accepted;
        if let SolutionOutcome::Refused { code, message } = &outcome {
            tracing::warn!(slot, code, message, "the node refused a solution");
        }
        permit.settle(outcome).await?;
        Ok(accepted)
    }

    /// Whether the controller was given a solution of the farm a moment ago.
    pub(super) fn may_sign(&self, public_key: &PublicKey, controller: ControllerId) -> bool {
        self.given
            .lock()
            .get(&(*public_key, controller))
            .is_some_and(|given| given.elapsed() <= SIGNING_WINDOW)
    }
}
