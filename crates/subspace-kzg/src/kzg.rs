//! Commitments and witnesses over one reference string.

use crate::g1::G1Point;
use crate::msm::{FixedBaseTables, SCALAR_BITS, multi_scalar_mult};
use crate::pairing::PreparedPairings;
use crate::reference_string::{NUM_G1_POWERS, ReferenceString};
use crate::transform::{self, DomainError};
use crate::witnesses::WitnessSetup;
use crate::{Commitment, Polynomial, Scalar, SimdLevel, Witness};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Why a commitment or witness cannot be made.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KzgError {
    /// More coefficients than the reference string has powers.
    #[error(
        "a polynomial of {coefficients} coefficients cannot be committed to: the reference string has \
        {NUM_G1_POWERS} powers, so the data it came from is damaged"
    )]
    TooManyCoefficients {
        /// Coefficients of the polynomial.
        coefficients: usize,
    },
    /// The number of values has no domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// An index outside the domain.
    #[error("index {index} is outside of the domain of {num_values} values")]
    IndexOutOfRange {
        /// The index that was asked for.
        index: u32,
        /// Size of the domain.
        num_values: usize,
    },
}

struct Inner {
    reference_string: ReferenceString,
    simd_level: SimdLevel,
    tables: OnceLock<FixedBaseTables>,
    pairings: OnceLock<PreparedPairings>,
    /// What [`Kzg::create_all_witnesses`] prepares once for each number of values (sizes are powers of two up to
    /// [`Kzg::MAX_ALL_WITNESSES`], so there are few entries).
    witness_setups: Mutex<BTreeMap<usize, Arc<WitnessSetup>>>,
}

/// KZG over one reference string. Cheap to clone; everything runs on the calling thread unless a pool is taken.
#[derive(Clone)]
pub struct Kzg {
    inner: Arc<Inner>,
}

impl Kzg {
    /// Most values that [`Kzg::create_all_witnesses`] takes (a segment has 256).
    pub const MAX_ALL_WITNESSES: usize = 1024;

    /// KZG without precomputed tables, with [`SimdLevel::from_environment`].
    pub fn new(reference_string: ReferenceString) -> Self {
        Self::with_simd_level(reference_string, SimdLevel::from_environment())
    }

    /// KZG without precomputed tables that computes with the given instructions (or [`SimdLevel::Portable`] ones where the
    /// processor does not have them). Results are the same.
    pub fn with_simd_level(reference_string: ReferenceString, simd_level: SimdLevel) -> Self {
        let simd_level = if simd_level.is_supported() {
            simd_level
        } else {
            SimdLevel::Portable
        };
        Self {
            inner: Arc::new(Inner {
                reference_string,
                simd_level,
                tables: OnceLock::new(),
                pairings: OnceLock::new(),
                witness_setups: Mutex::default(),
            }),
        }
    }

    /// Builds the fixed-base tables on `pool`, unless they exist already: seconds of computation and 48 MiB (64 with
    /// [`SimdLevel::Avx2`]), shared by all clones, that make every later commitment and witness many times as fast with vectors
    /// and almost twice as fast otherwise. Results are the same.
    #[must_use]
    pub fn with_precomputation(self, pool: &rayon::ThreadPool) -> Self {
        self.precompute(pool);
        self
    }

    /// Like [`Kzg::with_precomputation`], for a shared instance. Do not call it from a task of `pool`: other tasks that wait for
    /// the tables could keep the pool from building them.
    pub fn precompute(&self, pool: &rayon::ThreadPool) {
        self.tables_or_init(|| {
            let powers = self.inner.reference_string.g1_powers();
            FixedBaseTables::new(powers, self.inner.simd_level, pool)
        });
    }

    pub(crate) fn tables_or_init(&self, tables: impl FnOnce() -> FixedBaseTables) {
        self.inner.tables.get_or_init(tables);
    }

    /// Whether the fixed-base tables exist.
    pub fn is_precomputed(&self) -> bool {
        self.inner.tables.get().is_some()
    }

    /// The instructions that commitments are computed with.
    pub fn simd_level(&self) -> SimdLevel {
        self.inner.simd_level
    }

    /// The reference string.
    pub fn reference_string(&self) -> &ReferenceString {
        &self.inner.reference_string
    }

    /// Commits to a polynomial; the empty one gives the identity.
    ///
    /// # Errors
    /// [`KzgError::TooManyCoefficients`] above 32 768 coefficients.
    pub fn commit(&self, polynomial: &Polynomial) -> Result<Commitment, KzgError> {
        Ok(Commitment::from(self.commit_to_point(polynomial.coefficients())?))
    }

    /// Like [`Kzg::commit`], with the work spread over `pool`.
    ///
    /// # Errors
    /// [`KzgError::TooManyCoefficients`] above 32 768 coefficients.
    pub fn commit_parallel(
        &self,
        polynomial: &Polynomial,
        pool: &rayon::ThreadPool,
    ) -> Result<Commitment, KzgError> {
        check_length(polynomial.coefficients().len())?;
        Ok(Commitment::from(pool.install(|| {
            self.sum_of_powers_parallel(polynomial.coefficients())
        })))
    }

    /// The commitment to not too many coefficients as a point, with the work spread over the pool of the calling thread.
    pub(crate) fn sum_of_powers_parallel(&self, coefficients: &[Scalar]) -> G1Point {
        use rayon::prelude::*;

        // Below this many coefficients a part takes a few milliseconds, not worth another pass over its own buckets.
        const MIN_PART: usize = 1 << 10;

        let part = coefficients
            .len()
            .div_ceil(rayon::current_num_threads())
            .max(MIN_PART);
        let sums = coefficients
            .par_chunks(part)
            .enumerate()
            .map(|(index, coefficients)| self.sum_of_powers(index * part, coefficients))
            .collect::<Vec<_>>();
        let mut sum = G1Point::IDENTITY;
        for part in &sums {
            sum.add_assign(part);
        }
        sum
    }

    /// Commits to the polynomial through `values` (see [`Polynomial::interpolate`]).
    ///
    /// # Errors
    /// When the number of values is no power of two or above 32 768.
    pub fn commit_values(&self, values: &[Scalar]) -> Result<Commitment, KzgError> {
        check_length(values.len())?;
        self.commit(&Polynomial::interpolate(values)?)
    }

    pub(crate) fn commit_to_point(&self, coefficients: &[Scalar]) -> Result<G1Point, KzgError> {
        check_length(coefficients.len())?;
        Ok(self.sum_of_powers(0, coefficients))
    }

    /// `Σ coefficients[i] · [s^(first + i)]G1`
    fn sum_of_powers(&self, first: usize, coefficients: &[Scalar]) -> G1Point {
        // Below this many coefficients the pass over all buckets of the tables costs more than it saves.
        const MIN_TABLE_LENGTH: usize = 1 << 11;

        match self.inner.tables.get() {
            Some(tables) if coefficients.len() >= MIN_TABLE_LENGTH => {
                tables.multi_scalar_mult(first, coefficients)
            }
            _ => {
                let powers = &self.inner.reference_string.g1_powers()[first..];
                multi_scalar_mult(powers, coefficients, SCALAR_BITS)
            }
        }
    }

    /// Witness for the value at point `w_num_values^index`; `num_values` is rounded up to a power of two.
    ///
    /// # Errors
    /// When the domain is too large, the index is outside of it, or the polynomial has more than 32 768 coefficients.
    pub fn create_witness(
        &self,
        polynomial: &Polynomial,
        num_values: usize,
        index: u32,
    ) -> Result<Witness, KzgError> {
        let quotient = self.quotient(polynomial, num_values, index)?;
        Ok(Witness::from(self.commit_to_point(quotient.coefficients())?))
    }

    /// Like [`Kzg::create_witness`], with the work spread over `pool` (when latency counts).
    ///
    /// # Errors
    /// As [`Kzg::create_witness`].
    pub fn create_witness_parallel(
        &self,
        polynomial: &Polynomial,
        num_values: usize,
        index: u32,
        pool: &rayon::ThreadPool,
    ) -> Result<Witness, KzgError> {
        let quotient = self.quotient(polynomial, num_values, index)?;
        let Commitment(point) = self.commit_parallel(&quotient, pool)?;
        Ok(Witness(point))
    }

    fn quotient(
        &self,
        polynomial: &Polynomial,
        num_values: usize,
        index: u32,
    ) -> Result<Polynomial, KzgError> {
        check_length(polynomial.coefficients().len())?;
        Ok(polynomial.quotient_at(point_of_index(num_values, index)?))
    }

    /// The witnesses of all values of a polynomial of `n` coefficients on the domain of `n`, in order, many times faster
    /// than one by one: `n` must be a power of two up to [`Kzg::MAX_ALL_WITNESSES`]. The first call for a size prepares a
    /// table (`2n` points, kept).
    ///
    /// # Errors
    /// When the number of coefficients is not as said.
    pub fn create_all_witnesses(
        &self,
        polynomial: &Polynomial,
        pool: &rayon::ThreadPool,
    ) -> Result<Vec<Witness>, KzgError> {
        let length = polynomial.coefficients().len();
        transform::check_domain(length)?;
        if length > Self::MAX_ALL_WITNESSES {
            return Err(KzgError::TooManyCoefficients { coefficients: length });
        }
        // A panic cannot leave the map half changed, so a poisoned lock is as good as any.
        let known = {
            let setups = self
                .inner
                .witness_setups
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            setups.get(&length).cloned()
        };
        let setup = match known {
            Some(setup) => setup,
            None => {
                let setup = Arc::new(WitnessSetup::new(
                    &self.inner.reference_string.g1_powers()[..length],
                    pool,
                )?);
                let mut setups = self
                    .inner
                    .witness_setups
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                Arc::clone(setups.entry(length).or_insert(setup))
            }
        };
        Ok(setup.create(polynomial.coefficients(), pool)?)
    }

    pub(crate) fn pairings(&self) -> &PreparedPairings {
        let prepare = || PreparedPairings::new(self.inner.reference_string.g2_powers());
        self.inner.pairings.get_or_init(prepare)
    }
}

impl std::fmt::Debug for Kzg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kzg")
            .field("reference_string", &self.inner.reference_string)
            .field("precomputed", &self.is_precomputed())
            .finish()
    }
}

pub(crate) fn check_length(coefficients: usize) -> Result<(), KzgError> {
    if coefficients > NUM_G1_POWERS {
        return Err(KzgError::TooManyCoefficients { coefficients });
    }
    Ok(())
}

/// The point of value `index` on the domain of `num_values` rounded up to a power of two.
pub(crate) fn point_of_index(num_values: usize, index: u32) -> Result<Scalar, KzgError> {
    let size = num_values
        .checked_next_power_of_two()
        .ok_or(DomainError { length: num_values })?;
    transform::check_domain(size)?;
    if index as usize >= size {
        return Err(KzgError::IndexOutOfRange { index, num_values });
    }
    Ok(transform::domain_point(size, index as usize)?)
}
