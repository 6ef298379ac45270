//! Verification of solutions the way the network does it, votes, reward signatures and the ranges they are judged by.
//!
//! * [`verify_solution`]: whether a solution is accepted, and its distance.
//! * [`judging`]: what becomes of the solutions of one slot: block, vote or nothing.
//! * [`ranges`]: solution and voting range from era to era.
//! * [`reward_signing`]: signatures of block and vote hashes.
//! * [`vote`]: votes and their hash.
//!
//! The set of accepted solutions is a rule of consensus: nothing here is stricter or looser than the network. The rules are
//! described in `docs/protocol/solution-verification.md`.

pub mod judging;
pub mod ranges;
pub mod reward_signing;
pub mod solution;
pub mod vote;

pub use judging::{SlotJudge, Verdict};
pub use ranges::{SolutionRanges, voting_solution_range};
pub use reward_signing::{RewardSignatureError, check_reward_signature, sign_reward_hash};
pub use solution::{SolutionError, verify_solution};
pub use subspace_core_primitives::solutions::{PieceCheckParams, VerifySolutionParams};
pub use vote::{SignedVote, Vote};
