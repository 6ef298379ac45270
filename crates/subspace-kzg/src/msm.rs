//! Multi-scalar multiplication: a general one, and one over a fixed base with precomputed tables.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod digits;
mod fixed_base;
mod huge_pages;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
mod instructions;
mod portable;
#[cfg(target_arch = "x86_64")]
mod sums;
mod weights;

pub(crate) use fixed_base::FixedBaseTables;
#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::Avx2, ifma::Ifma};

use crate::Scalar;
use crate::g1::G1Point;
use blst::{blst_p1_affine, blst_p1s_mult_pippenger, blst_p1s_mult_pippenger_scratch_sizeof};
use std::ptr;

/// Bits of any scalar.
pub(crate) const SCALAR_BITS: usize = 255;

/// Bits of the random coefficients of batch verification.
pub(crate) const RANDOM_BITS: usize = 128;

/// `Σ scalars[i] · points[i]` over the shorter of both, for points of the prime-order subgroup, on the calling thread.
/// Scalars must have no more than `bits` bits.
pub(crate) fn multi_scalar_mult(points: &[blst_p1_affine], scalars: &[Scalar], bits: usize) -> G1Point {
    let mut length = points.len().min(scalars.len());
    while length > 0 && scalars[length - 1] == Scalar::ZERO {
        length -= 1;
    }
    if length == 0 {
        return G1Point::IDENTITY;
    }
    if length == 1 {
        return G1Point::from_affine(&points[0]).multiplied(&scalars[0]);
    }
    let bytes_per_scalar = bits.div_ceil(8);
    let mut scalar_bytes = Vec::with_capacity(length * bytes_per_scalar);
    for scalar in &scalars[..length] {
        scalar_bytes.extend_from_slice(&scalar.to_little_endian()[..bytes_per_scalar]);
    }
    // A null second pointer means that the rest follows the first contiguously.
    let points: [*const blst_p1_affine; 2] = [points.as_ptr(), ptr::null()];
    let scalars: [*const u8; 2] = [scalar_bytes.as_ptr(), ptr::null()];
    let mut result = G1Point::IDENTITY;
    // SAFETY: `points` and `scalars` start `length` contiguous points and scalars of `bits.div_ceil(8)` bytes, and the
    // scratch has as many bytes as the library asks for (in units of its 8-byte limbs).
    unsafe {
        let mut scratch = vec![0_u64; blst_p1s_mult_pippenger_scratch_sizeof(length).div_ceil(8)];
        blst_p1s_mult_pippenger(
            &mut result.0,
            points.as_ptr(),
            length,
            scalars.as_ptr(),
            bits,
            scratch.as_mut_ptr(),
        );
    }
    result
}
