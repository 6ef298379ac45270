//! Proving: from winning chunks of an audit to solutions.
//!
//! The work is split so that another machine can do the heavy part:
//!
//! 1. the farm drops candidates that cannot win ([`provable_candidates`]) and reads what a proof needs of the sector
//!    ([`read_proof_input`]): a [`ProofRequest`] of about 1 MiB, and a [`SolutionPart`] that stays with it;
//! 2. a prover, here or elsewhere, makes the [`ProofPart`] of the request ([`prove`]): proof-of-space table, decoding,
//!    polynomial, witness;
//! 3. the farm puts the [`Solution`](subspace_core_primitives::solutions::Solution) together
//!    ([`SolutionPart::into_solution`]).

mod candidates;
mod part;
mod prove;
mod request;

pub use candidates::{ProofInput, ProvableCandidate, SolutionPart, provable_candidates, read_proof_input};
pub use part::ProofPart;
pub use prove::{ProvingError, check_request, prove, prove_with_table};
pub use request::{ProofRequest, ProofRequestError, ProofRequestV0};
