//! Many short transforms at once, of numbers in their encoded form: column `c` is made of element `c` of every row.

mod portable;

use crate::arithmetic::Kind;
#[cfg(target_arch = "x86_64")]
use crate::lanes::LaneColumns;
#[cfg(target_arch = "x86_64")]
use crate::quads::QuadColumns;
use crate::transform::{DomainError, check_domain, coset_powers, inverse_coset_powers, inverse_size};
use crate::{Arithmetic, Scalar};
use portable::PortableColumns;

/// Encoded scalar.
type Chunk = [u8; Scalar::BYTES];

/// Equal transforms of all columns of a table. A row is given and taken as encoded scalars, one for each column; rows have the
/// natural order of transforms.
#[derive(Clone)]
pub struct Columns {
    rows: usize,
    width: usize,
    store: Store,
}

#[derive(Clone)]
enum Store {
    Portable(PortableColumns),
    #[cfg(target_arch = "x86_64")]
    Quads(QuadColumns),
    #[cfg(target_arch = "x86_64")]
    Lanes(LaneColumns),
}

macro_rules! with_store {
    ($columns:expr, $store:ident => $result:expr) => {
        match $columns {
            Store::Portable($store) => $result,
            #[cfg(target_arch = "x86_64")]
            Store::Quads($store) => $result,
            #[cfg(target_arch = "x86_64")]
            Store::Lanes($store) => $result,
        }
    };
}

impl Columns {
    /// A table of zeroes.
    ///
    /// # Errors
    /// [`DomainError`] when the number of rows has no domain.
    pub fn new(arithmetic: Arithmetic, rows: usize, width: usize) -> Result<Self, DomainError> {
        check_domain(rows)?;
        let store = match arithmetic.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) if rows <= crate::lanes::MAX_ROWS => {
                Store::Lanes(LaneColumns::new(token, rows, width))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(proof) if rows <= crate::quads::MAX_ROWS => {
                Store::Quads(QuadColumns::new(proof, rows, width))
            }
            _ => Store::Portable(PortableColumns::new(rows, width)),
        };
        Ok(Self { rows, width, store })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Sets a row, which must exist, from as many chunks as there are columns.
    ///
    /// # Errors
    /// The index of a chunk that is not canonical.
    pub fn read_row(&mut self, row: usize, chunks: &[Chunk]) -> Result<(), usize> {
        with_store!(&mut self.store, store => store.read_row(row, chunks))
    }

    /// Writes a row, which must exist, to as many chunks as there are columns.
    pub fn write_row(&self, row: usize, chunks: &mut [Chunk]) {
        with_store!(&self.store, store => store.write_row(row, chunks));
    }

    /// Writes the sum of all rows, each multiplied by its weight.
    pub fn write_weighted(&self, weights: &[Scalar], chunks: &mut [Chunk]) {
        with_store!(&self.store, store => store.write_weighted(weights, chunks));
    }

    /// Coefficients to values, column by column.
    pub fn forward(&mut self) {
        with_store!(&mut self.store, store => store.forward());
    }

    /// Values to coefficients, column by column, row `i` then multiplied by power `i`; without `powers` by nothing.
    pub fn inverse_and_multiply(&mut self, powers: Option<&[Scalar]>) {
        let scale = inverse_size(self.rows);
        with_store!(&mut self.store, store => {
            store.inverse_unscaled();
            match powers {
                Some(powers) => store.multiply_rows(powers.iter().map(|power| *power * scale)),
                None => store.multiply_rows(std::iter::repeat_n(scale, self.rows)),
            }
        });
    }

    /// Multiplies row `i` by factor `i`; rows beyond the factors stay.
    pub fn multiply_rows(&mut self, factors: &[Scalar]) {
        let factors = &factors[..factors.len().min(self.rows)];
        with_store!(&mut self.store, store => store.multiply_rows(factors.iter().copied()));
    }

    /// Adds the second half of the rows, multiplied by `wrap`, to the first half and removes it.
    pub fn fold(&mut self, wrap: Scalar) {
        if self.rows > 1 {
            with_store!(&mut self.store, store => store.fold(wrap));
            self.rows /= 2;
        }
    }

    /// From the values on `w_n^i` of polynomials of `n` coefficients to those on `w_2n^(2i + 1)`.
    ///
    /// # Errors
    /// [`DomainError`] when twice the number of rows has no domain.
    pub fn to_odd_coset(&mut self) -> Result<(), DomainError> {
        self.inverse_and_multiply(Some(coset_powers(self.rows)?));
        self.forward();
        Ok(())
    }

    /// From the values on `w_2n^(2i + 1)` of polynomials of `n` coefficients to the coefficients.
    ///
    /// # Errors
    /// [`DomainError`] when twice the number of rows has no domain.
    pub fn interpolate_odd_coset(&mut self) -> Result<(), DomainError> {
        self.inverse_and_multiply(Some(inverse_coset_powers(self.rows)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
