//! Affine points as they lie in tables, and how eight of them get from there to the arithmetic and back.

use super::super::instructions::{self, LANES};
use super::field::{self, Fp8};
use crate::batch_affine::INFINITY;
use blst::blst_p1_affine;
use std::arch::x86_64::*;
use std::mem;

/// 64-bit words of a point.
const WORDS: usize = 12;

/// Coordinates in the form of [`Fp8`], canonical, packed to 96 bytes; two cache lines for any place in a table. The identity
/// is all zeroes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(C, align(32))]
pub(crate) struct PackedPoint([u64; WORDS]);

impl instructions::PackedPoint for PackedPoint {
    const IDENTITY: Self = Self([0; WORDS]);

    fn new(point: &blst_p1_affine) -> Self {
        let mut words = [0; WORDS];
        let (x, y) = words.split_at_mut(WORDS / 2);
        x.copy_from_slice(&field::to_words(&point.x));
        y.copy_from_slice(&field::to_words(&point.y));
        Self(words)
    }

    fn to_affine(self) -> blst_p1_affine {
        if self.is_identity() {
            return INFINITY;
        }
        let coordinate = |first| field::from_words(std::array::from_fn(|index| self.0[first + index]));
        blst_p1_affine {
            x: coordinate(0),
            y: coordinate(WORDS / 2),
        }
    }

    fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }
}

/// Which points of a table are wanted, one a lane: places of their first words.
#[derive(Copy, Clone)]
pub(in crate::msm) struct Places([u64; LANES]);

impl Places {
    /// Places of the points with the given indexes.
    #[inline]
    pub(super) fn new(indexes: &[u32; LANES]) -> Self {
        Self(indexes.map(|index| u64::from(index) * WORDS as u64))
    }
}

/// Six words from `first` on of the point at each place.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn gather(points: &[PackedPoint], places: &Places, first: usize) -> Fp8 {
    // SAFETY: both types are 64 bytes of which every bit pattern is valid.
    let places = unsafe { mem::transmute::<[u64; LANES], __m512i>(places.0) };
    let end = _mm512_set1_epi64((points.len() * WORDS) as i64);
    let inside = _mm512_cmplt_epu64_mask(places, end);
    assert!(
        inside == u8::MAX && first <= WORDS / 2,
        "entries are indexes of points of the table"
    );
    let base = points.as_ptr().cast::<i64>();
    let mut words = [_mm512_setzero_si512(); WORDS / 2];
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: places are multiples of the words of a point and inside of the table, as was just seen, and of each point
        // one of its words is read.
        *word = unsafe { _mm512_i64gather_epi64::<8>(places, base.add(first + index)) };
    }
    Fp8::from_words(&words)
}

/// First coordinates of the points at the places.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn gather_x(points: &[PackedPoint], places: &Places) -> Fp8 {
    gather(points, places, 0)
}

/// Second coordinates of the points at the places.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn gather_y(points: &[PackedPoint], places: &Places) -> Fp8 {
    gather(points, places, WORDS / 2)
}

/// Points with these coordinates; the identity in the lanes of `identity`.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn pack(x: &Fp8, y: &Fp8, identity: u8) -> [PackedPoint; LANES] {
    let mut points = [PackedPoint([0; WORDS]); LANES];
    let (x, y) = (x.to_words(), y.to_words());
    for (index, word) in x.into_iter().chain(y).enumerate() {
        // SAFETY: both types are 64 bytes of which every bit pattern is valid.
        let lanes = unsafe { mem::transmute::<__m512i, [u64; LANES]>(word) };
        for (lane, (point, word)) in points.iter_mut().zip(lanes).enumerate() {
            if identity >> lane & 1 == 0 {
                point.0[index] = word;
            }
        }
    }
    points
}
