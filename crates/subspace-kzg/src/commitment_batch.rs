//! Verification of many commitments to known values with one multi-scalar multiplication.

use crate::g1::G1Point;
use crate::kzg::{Kzg, KzgError, check_length};
use crate::msm::{RANDOM_BITS, multi_scalar_mult};
use crate::opening_batch::random_coefficients;
use crate::transform::{self, DomainError};
use crate::{Arithmetic, Commitment, PointError, Scalar, ScalarError};
use blst::blst_p1_affine;

/// Why values and commitment cannot be taken into a batch.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentBatchError {
    /// The commitment is not a point of the prime-order subgroup.
    #[error(transparent)]
    Point(#[from] PointError),
    /// A value is not a canonical scalar.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
    /// Not the number of values that the batch is for.
    #[error("{given} values were given to a batch of commitments to {expected} values each")]
    Length {
        /// Values the batch expects.
        expected: usize,
        /// Values that were given.
        given: usize,
    },
    /// The operating system has no random numbers.
    #[error("the operating system gave no random numbers; check each commitment on its own")]
    NoRandomness,
}

/// Checks that commitments commit to the values they come with: `commit(Σ ρ_i f_i) = Σ ρ_i C_i` with random `ρ_i`.
///
/// One batch costs one commitment whatever the number of records, plus one multiplication a value. Commitments must lie in
/// the prime-order subgroup (checked). Memory: one set of values (1 MiB for a record).
pub struct CommitmentBatch {
    combined: Vec<Scalar>,
    commitments: Vec<blst_p1_affine>,
    random: Vec<Scalar>,
}

impl CommitmentBatch {
    /// A batch of commitments to `num_values` values each.
    ///
    /// # Errors
    /// [`DomainError`] when `num_values` is no power of two or too large.
    pub fn new(num_values: usize) -> Result<Self, DomainError> {
        transform::check_domain(num_values)?;
        Ok(Self {
            combined: vec![Scalar::ZERO; num_values],
            commitments: Vec::new(),
            random: Vec::new(),
        })
    }

    /// Takes in one claim: `commitment` commits to the polynomial through `values`.
    ///
    /// # Errors
    /// The batch is unchanged when the claim cannot be taken in.
    pub fn add(&mut self, values: &[Scalar], commitment: &Commitment) -> Result<(), CommitmentBatchError> {
        let random = self.begin(values.len(), commitment)?;
        for (combined, value) in self.combined.iter_mut().zip(values) {
            *combined += random * *value;
        }
        self.commitments.push(commitment.0);
        self.random.push(random);
        Ok(())
    }

    /// Like [`CommitmentBatch::add`], from the encoded values of a record.
    ///
    /// # Errors
    /// The batch is unchanged when the claim cannot be taken in.
    pub fn add_bytes(
        &mut self,
        values: &[[u8; 32]],
        commitment: &Commitment,
    ) -> Result<(), CommitmentBatchError> {
        let random = self.begin(values.len(), commitment)?;
        Arithmetic::from_environment().add_encoded(&mut self.combined, values, random)?;
        self.commitments.push(commitment.0);
        self.random.push(random);
        Ok(())
    }

    /// Takes in all claims of another batch, which must be for the same number of values.
    ///
    /// # Errors
    /// [`CommitmentBatchError::Length`]; the batch is unchanged then.
    pub fn append(&mut self, other: Self) -> Result<(), CommitmentBatchError> {
        if other.combined.len() != self.combined.len() {
            return Err(CommitmentBatchError::Length {
                expected: self.combined.len(),
                given: other.combined.len(),
            });
        }
        for (combined, value) in self.combined.iter_mut().zip(other.combined) {
            *combined += value;
        }
        self.commitments.extend(other.commitments);
        self.random.extend(other.random);
        Ok(())
    }

    fn begin(&self, length: usize, commitment: &Commitment) -> Result<Scalar, CommitmentBatchError> {
        if length != self.combined.len() {
            return Err(CommitmentBatchError::Length {
                expected: self.combined.len(),
                given: length,
            });
        }
        commitment.to_point()?;
        random_coefficients(1)
            .and_then(|random| random.first().copied())
            .ok_or(CommitmentBatchError::NoRandomness)
    }

    /// Claims taken in so far.
    pub fn len(&self) -> usize {
        self.commitments.len()
    }

    /// Whether there are no claims.
    pub fn is_empty(&self) -> bool {
        self.commitments.is_empty()
    }

    /// Whether **all** claims are true (an empty batch is).
    ///
    /// # Errors
    /// [`KzgError`] when there are more values than the reference string has powers.
    pub fn verify(self, kzg: &Kzg) -> Result<bool, KzgError> {
        self.verify_with(|coefficients| kzg.commit_to_point(coefficients))
    }

    /// Like [`CommitmentBatch::verify`], with the one commitment spread over `pool`.
    ///
    /// # Errors
    /// As [`CommitmentBatch::verify`].
    pub fn verify_parallel(self, kzg: &Kzg, pool: &rayon::ThreadPool) -> Result<bool, KzgError> {
        self.verify_with(|coefficients| {
            check_length(coefficients.len())?;
            Ok(pool.install(|| kzg.sum_of_powers_parallel(coefficients)))
        })
    }

    fn verify_with(
        mut self,
        commit: impl FnOnce(&[Scalar]) -> Result<G1Point, KzgError>,
    ) -> Result<bool, KzgError> {
        transform::inverse(&mut self.combined)?;
        let expected = commit(&self.combined)?;
        Ok(multi_scalar_mult(&self.commitments, &self.random, RANDOM_BITS) == expected)
    }
}
