//! Erasure coding of scalars and commitments.
//!
//! `n` source values are the values of a polynomial of `n` coefficients on the domain `w_n`; the codeword is its values on
//! `w_2n`, so position `2i` is source value `i` and position `2i + 1` is parity value `i`. Any `n` of the `2n` values give
//! all of them back (docs/protocol/erasure-coding.md).
//!
//! * [`ErasureCoding`]: one codeword at a time (records while plotting and proving), and commitments.
//! * [`columns`]: many short codewords at once, across records (archiving and reconstruction of segments).

pub mod columns;

mod erasure_coding;
mod recovery;

pub use erasure_coding::{ErasureCoding, ErasureCodingError};
