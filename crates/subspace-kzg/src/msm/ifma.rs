//! Sums of points with the 52-bit multiplier of AVX-512.

mod field;
mod points;

pub(super) use points::PackedPoint;

use super::instructions::{Instructions, LANES};
use super::sums;
use blst::blst_fp;
use field::Fp8;
use points::Places;
use std::arch::is_x86_feature_detected;

/// Proof that the processor has the instructions.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Ifma(());

impl Ifma {
    /// The proof, when it holds.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")).then_some(Self(()))
    }
}

// Every call below is sound for the same reason.
macro_rules! with_proof {
    ($expression:expr) => {
        // SAFETY: the processor has the instructions, which is what the proof is for.
        unsafe { $expression }
    };
}

impl Instructions for Ifma {
    type Numbers = Fp8;
    type Packed = PackedPoint;
    type Places = Places;

    const ZERO: Fp8 = Fp8::ZERO;

    const ONE: Fp8 = Fp8::ONE;

    #[inline(always)]
    fn places(indexes: &[u32; LANES]) -> Places {
        Places::new(indexes)
    }

    #[inline(always)]
    fn gather_x(self, points: &[PackedPoint], places: &Places) -> Fp8 {
        with_proof!(points::gather_x(points, places))
    }

    #[inline(always)]
    fn gather_y(self, points: &[PackedPoint], places: &Places, negative: u8) -> Fp8 {
        with_proof!(points::gather_y(points, places).negated_where(negative))
    }

    #[inline(always)]
    fn difference(self, a: &Fp8, b: &Fp8) -> Fp8 {
        with_proof!(a.minus_carried_64(b))
    }

    #[inline(always)]
    fn times(self, a: &Fp8, b: &Fp8) -> Fp8 {
        with_proof!(a.times(b))
    }

    #[inline(always)]
    fn add(self, first: (&Fp8, &Fp8), second: (&Fp8, &Fp8), inverse: &Fp8) -> (Fp8, Fp8) {
        with_proof!(add(first, second, inverse))
    }

    #[inline(always)]
    fn select(self, mask: u8, a: &Fp8, b: &Fp8) -> Fp8 {
        with_proof!(Fp8::select(mask, a, b))
    }

    #[inline(always)]
    fn inverted(self, numbers: &Fp8) -> Option<Fp8> {
        with_proof!(numbers.inverted())
    }

    fn lanes(self, numbers: &Fp8) -> [blst_fp; LANES] {
        with_proof!(numbers.lanes())
    }

    fn set_lane(self, numbers: &mut Fp8, lane: usize, number: &blst_fp) {
        numbers.set_lane(lane, number);
    }

    #[inline(always)]
    fn pack(self, x: &Fp8, y: &Fp8, identity: u8) -> [PackedPoint; LANES] {
        with_proof!(points::pack(x, y, identity))
    }

    fn sum_runs(self, points: &[PackedPoint], entries: &[u32], starts: &[u32]) -> Vec<PackedPoint> {
        with_proof!(sum_runs(self, points, entries, starts))
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn sum_runs(proof: Ifma, points: &[PackedPoint], entries: &[u32], starts: &[u32]) -> Vec<PackedPoint> {
    sums::sum_runs(proof, points, entries, starts)
}

/// Coordinates grow by p with each addition.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add(first: (&Fp8, &Fp8), second: (&Fp8, &Fp8), inverse: &Fp8) -> (Fp8, Fp8) {
    let slope = second.1.minus_carried_64(first.1).times(inverse);
    let x = slope.squared().minus(first.0).minus(second.0);
    let y = first.0.minus_carried_128(&x).times(&slope).minus(first.1);
    (x, y)
}
