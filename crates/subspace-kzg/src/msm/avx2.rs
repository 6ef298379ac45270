//! Sums of points with the 256-bit vectors of AVX2, whose fastest multiplier is that of floating-point numbers.

mod field;
mod multiply;
mod points;

pub(super) use points::PackedPoint;

use super::instructions::{Instructions, LANES};
use super::sums;
use blst::blst_fp;
use field::Fp8;
use std::arch::is_x86_feature_detected;

/// Proof that the processor has the instructions.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, when it holds.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

// Every call below is sound for the same reason.
macro_rules! with_proof {
    ($expression:expr) => {
        // SAFETY: the processor has the instructions, which is what the proof is for.
        unsafe { $expression }
    };
}

impl Instructions for Avx2 {
    type Numbers = Fp8;
    type Packed = PackedPoint;
    type Places = [u32; LANES];

    const ZERO: Fp8 = Fp8::ZERO;

    const ONE: Fp8 = Fp8::ONE;

    #[inline(always)]
    fn places(indexes: &[u32; LANES]) -> [u32; LANES] {
        *indexes
    }

    #[inline(always)]
    fn gather_x(self, points: &[PackedPoint], places: &[u32; LANES]) -> Fp8 {
        with_proof!(points::gather_x(points, places))
    }

    #[inline(always)]
    fn gather_y(self, points: &[PackedPoint], places: &[u32; LANES], negative: u8) -> Fp8 {
        with_proof!(points::gather_y(points, places).negated_where(negative))
    }

    #[inline(always)]
    fn difference(self, a: &Fp8, b: &Fp8) -> Fp8 {
        with_proof!(a.minus(b))
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

    fn inverted(self, numbers: &Fp8) -> Option<Fp8> {
        numbers.inverted()
    }

    fn lanes(self, numbers: &Fp8) -> [blst_fp; LANES] {
        numbers.to_lanes().map(|limbs| field::from_limbs(&limbs))
    }

    fn set_lane(self, numbers: &mut Fp8, lane: usize, number: &blst_fp) {
        let mut lanes = numbers.to_lanes();
        lanes[lane] = field::to_limbs(number);
        *numbers = Fp8::from_lanes(&lanes);
    }

    fn pack(self, x: &Fp8, y: &Fp8, identity: u8) -> [PackedPoint; LANES] {
        points::pack(x, y, identity)
    }

    fn sum_runs(self, points: &[PackedPoint], entries: &[u32], starts: &[u32]) -> Vec<PackedPoint> {
        with_proof!(sum_runs(self, points, entries, starts))
    }
}

#[target_feature(enable = "avx2,fma")]
fn sum_runs(proof: Avx2, points: &[PackedPoint], entries: &[u32], starts: &[u32]) -> Vec<PackedPoint> {
    sums::sum_runs(proof, points, entries, starts)
}

/// The slope is a product, its square and the last product `1.45 p` (not carried), so what is reduced is `2.5 p` at most.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(first: (&Fp8, &Fp8), second: (&Fp8, &Fp8), inverse: &Fp8) -> (Fp8, Fp8) {
    let slope = inverse.times(&second.1.minus(first.1));
    let x = slope
        .times_uncarried(&slope)
        .minus(first.0)
        .minus(second.0)
        .reduced();
    let y = slope.times_uncarried(&first.0.minus(&x)).minus(first.1).reduced();
    (x, y)
}
