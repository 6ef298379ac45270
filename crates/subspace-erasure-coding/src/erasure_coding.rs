//! Extension and recovery of single codewords, extension of commitments.

use crate::recovery;
use std::num::NonZeroUsize;
use subspace_kzg::transform::{self, DomainError};
use subspace_kzg::{Arithmetic, Commitment, PointError, Polynomial, Scalar, group_transform};

/// Why values cannot be extended or recovered.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErasureCodingError {
    /// The scale asks for a domain that does not exist.
    #[error(
        "scale {scale} is not supported: codewords have at most {} values",
        transform::MAX_DOMAIN_SIZE
    )]
    Scale {
        /// Logarithm of the number of values that was asked for.
        scale: usize,
    },
    /// Not a number of values that can be coded.
    #[error(
        "{given} values cannot be coded: the number must be a power of two and a codeword has at most {max_shards} values"
    )]
    Length {
        /// Values that were given.
        given: usize,
        /// Most values of a codeword.
        max_shards: usize,
    },
    /// Too little is left.
    #[error(
        "{present} of {total} values are present, half of them are needed; get more pieces or chunks and try again"
    )]
    TooManyMissing {
        /// Values that are there.
        present: usize,
        /// Values of the codeword.
        total: usize,
    },
    /// A commitment that nothing can be computed with.
    #[error("commitment {index}: {source}")]
    Commitment {
        /// Index of the commitment.
        index: usize,
        /// What is wrong with it.
        source: PointError,
    },
    /// A chunk that is not a canonical scalar.
    #[error(
        "record {record}, chunk {chunk} is not a canonical scalar; the piece is damaged, get it from another source"
    )]
    NotCanonical {
        /// Position of the record among those given.
        record: usize,
        /// Chunk offset in the record.
        chunk: usize,
    },
    /// Records or buffers of different lengths.
    #[error("records of {given} chunks were given together with records of {expected} chunks")]
    RecordLength {
        /// Chunks of the first record.
        expected: usize,
        /// Chunks of another one.
        given: usize,
    },
}

/// Erasure coding of up to `2^scale` values, source and parity together. Results do not depend on the scale.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct ErasureCoding {
    max_shards: usize,
    arithmetic: Arithmetic,
}

impl ErasureCoding {
    /// Erasure coding of up to `2^scale` values; records need scale 16.
    ///
    /// # Errors
    /// [`ErasureCodingError::Scale`] above 16.
    pub fn new(scale: NonZeroUsize) -> Result<Self, ErasureCodingError> {
        let scale = scale.get();
        if scale > transform::MAX_DOMAIN_SIZE.trailing_zeros() as usize {
            return Err(ErasureCodingError::Scale { scale });
        }
        Ok(Self {
            max_shards: 1 << scale,
            arithmetic: Arithmetic::from_environment(),
        })
    }

    /// The same with other instructions; results do not depend on them.
    #[must_use]
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// The instructions it uses.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Most values of a codeword.
    pub fn max_shards(&self) -> usize {
        self.max_shards
    }

    /// Checks the number of values of a whole codeword.
    pub(crate) fn check_shards(&self, total: usize) -> Result<(), ErasureCodingError> {
        if total.is_power_of_two() && total >= 2 && total <= self.max_shards {
            Ok(())
        } else {
            Err(ErasureCodingError::Length {
                given: total,
                max_shards: self.max_shards,
            })
        }
    }

    /// Checks the number of source values.
    pub(crate) fn check_source(&self, source: usize) -> Result<(), ErasureCodingError> {
        if source.is_power_of_two() && source <= self.max_shards / 2 {
            Ok(())
        } else {
            Err(ErasureCodingError::Length {
                given: source,
                max_shards: self.max_shards,
            })
        }
    }

    /// The parity values (only them, as many as `source`).
    ///
    /// # Errors
    /// [`ErasureCodingError::Length`] when the number of values is zero, no power of two, or more than half a codeword.
    pub fn extend(&self, source: &[Scalar]) -> Result<Vec<Scalar>, ErasureCodingError> {
        let mut parity = source.to_vec();
        self.extend_in_place(&mut parity)?;
        Ok(parity)
    }

    /// Replaces source values by their parity values, without allocation.
    ///
    /// # Errors
    /// As [`ErasureCoding::extend`]; the values are unchanged then.
    pub fn extend_in_place(&self, values: &mut [Scalar]) -> Result<(), ErasureCodingError> {
        self.check_source(values.len())?;
        self.arithmetic
            .to_odd_coset(values)
            .map_err(|error| self.length_error(error))
    }

    /// Replaces parity values by their source values, without allocation.
    ///
    /// # Errors
    /// As [`ErasureCoding::extend`]; the values are unchanged then.
    pub fn source_from_parity_in_place(&self, values: &mut [Scalar]) -> Result<(), ErasureCodingError> {
        self.check_source(values.len())?;
        self.arithmetic
            .from_odd_coset(values)
            .map_err(|error| self.length_error(error))
    }

    pub(crate) fn length_error(&self, error: DomainError) -> ErasureCodingError {
        ErasureCodingError::Length {
            given: error.length,
            max_shards: self.max_shards,
        }
    }

    /// All values of a codeword (interleaved: source 0, parity 0, source 1, ...) from those present.
    ///
    /// Present values are trusted. When more than half are present and they do not belong to one codeword, the result is the
    /// values of the polynomial through all of them; notice that with [`ErasureCoding::recover_poly`], whose result then has
    /// more coefficients than there are source values.
    ///
    /// # Errors
    /// [`ErasureCodingError::Length`] or [`ErasureCodingError::TooManyMissing`].
    pub fn recover(&self, shards: &[Option<Scalar>]) -> Result<Vec<Scalar>, ErasureCodingError> {
        self.check_shards(shards.len())?;
        let (even, odd) = completeness(shards);
        if even && odd {
            return Ok(shards.iter().flatten().copied().collect());
        }
        if let Some((source, parity)) = self.recover_halves(shards, even, odd)? {
            return Ok(source
                .into_iter()
                .zip(parity)
                .flat_map(|(source, parity)| [source, parity])
                .collect());
        }
        let mut values = recovery::coefficients(shards, self.max_shards, self.arithmetic, false)?;
        values.resize(shards.len(), Scalar::ZERO);
        self.arithmetic
            .forward(&mut values)
            .map_err(|error| self.length_error(error))?;
        Ok(values)
    }

    /// The source values (the even positions of [`ErasureCoding::recover`]).
    ///
    /// # Errors
    /// As [`ErasureCoding::recover`].
    pub fn recover_source(&self, shards: &[Option<Scalar>]) -> Result<Vec<Scalar>, ErasureCodingError> {
        self.check_shards(shards.len())?;
        let (even, odd) = completeness(shards);
        if even {
            return Ok(shards.iter().step_by(2).flatten().copied().collect());
        }
        if let Some((source, _)) = self.recover_halves(shards, even, odd)? {
            return Ok(source);
        }
        let mut values = recovery::coefficients(shards, self.max_shards, self.arithmetic, false)?;
        let half = shards.len() / 2;
        if values.len() > half {
            // On the domain of the source values x^half is one.
            for index in half..values.len() {
                let high = values[index];
                values[index - half] += high;
            }
        }
        values.resize(half, Scalar::ZERO);
        self.arithmetic
            .forward(&mut values)
            .map_err(|error| self.length_error(error))?;
        Ok(values)
    }

    /// The polynomial behind a codeword: trailing zero coefficients removed, at least one coefficient left. More coefficients
    /// than half the values mean that the present values do not belong to one codeword.
    ///
    /// # Errors
    /// As [`ErasureCoding::recover`].
    pub fn recover_poly(&self, shards: &[Option<Scalar>]) -> Result<Polynomial, ErasureCodingError> {
        self.recover_poly_with(shards, false)
    }

    /// [`ErasureCoding::recover_poly`] on all threads of `pool`, for when its latency counts.
    ///
    /// # Errors
    /// As [`ErasureCoding::recover`].
    pub fn recover_poly_parallel(
        &self,
        shards: &[Option<Scalar>],
        pool: &rayon::ThreadPool,
    ) -> Result<Polynomial, ErasureCodingError> {
        pool.install(|| self.recover_poly_with(shards, true))
    }

    fn recover_poly_with(
        &self,
        shards: &[Option<Scalar>],
        parallel: bool,
    ) -> Result<Polynomial, ErasureCodingError> {
        self.check_shards(shards.len())?;
        let (even, odd) = completeness(shards);
        let coefficients = if exactly_half(shards) && (even || odd) {
            let mut values = shards
                .iter()
                .skip(usize::from(odd))
                .step_by(2)
                .flatten()
                .copied()
                .collect::<Vec<_>>();
            let length = values.len();
            self.arithmetic
                .inverse(&mut values)
                .map_err(|error| self.length_error(error))?;
            if odd {
                let powers =
                    transform::inverse_coset_powers(length).map_err(|error| self.length_error(error))?;
                self.arithmetic.multiply(&mut values, powers);
            }
            values
        } else if even && odd {
            let mut values = shards.iter().flatten().copied().collect::<Vec<_>>();
            self.arithmetic
                .inverse(&mut values)
                .map_err(|error| self.length_error(error))?;
            values
        } else {
            recovery::coefficients(shards, self.max_shards, self.arithmetic, parallel)?
        };
        Ok(Polynomial::from_coefficients(coefficients).trimmed())
    }

    /// Source and parity values when exactly one half of them is what is present.
    #[allow(clippy::type_complexity)]
    fn recover_halves(
        &self,
        shards: &[Option<Scalar>],
        even: bool,
        odd: bool,
    ) -> Result<Option<(Vec<Scalar>, Vec<Scalar>)>, ErasureCodingError> {
        if !exactly_half(shards) || !(even || odd) {
            return Ok(None);
        }
        let present = shards.iter().flatten().copied().collect::<Vec<_>>();
        let mut other = present.clone();
        Ok(Some(if even {
            self.extend_in_place(&mut other)?;
            (present, other)
        } else {
            self.source_from_parity_in_place(&mut other)?;
            (other, present)
        }))
    }

    /// Commitments of source and parity records (interleaved) from those of the source records: commitments are linear, so
    /// these are exactly the commitments of the parity records. On a thread of a rayon pool the pool helps.
    ///
    /// # Errors
    /// [`ErasureCodingError::Length`], or [`ErasureCodingError::Commitment`] for a point outside the prime-order subgroup.
    pub fn extend_commitments(&self, source: &[Commitment]) -> Result<Vec<Commitment>, ErasureCodingError> {
        let length = source.len();
        self.check_source(length)?;
        let mut points = source
            .iter()
            .enumerate()
            .map(|(index, commitment)| {
                commitment
                    .to_point()
                    .map_err(|source| ErasureCodingError::Commitment { index, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let domain = |error| self.length_error(error);
        group_transform::inverse_unscaled(&mut points).map_err(domain)?;
        let scale = transform::inverse_size(length);
        let powers = transform::coset_powers(length).map_err(domain)?;
        group_transform::multiply(&mut points, |index| powers[index] * scale);
        group_transform::forward(&mut points).map_err(domain)?;
        let parity = Commitment::from_points(&points);
        Ok(source
            .iter()
            .zip(parity)
            .flat_map(|(source, parity)| [*source, parity])
            .collect())
    }
}

/// Whether all even and whether all odd positions are present.
fn completeness(shards: &[Option<Scalar>]) -> (bool, bool) {
    (
        shards.iter().step_by(2).all(Option::is_some),
        shards.iter().skip(1).step_by(2).all(Option::is_some),
    )
}

fn exactly_half(shards: &[Option<Scalar>]) -> bool {
    2 * shards.iter().flatten().count() == shards.len()
}
