//! Affine points as they lie in tables, and eight of them as the arithmetic wants them.

use super::field::{self, Fp8, LANES};
use crate::batch_affine::{self, INFINITY};
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

impl PackedPoint {
    pub(crate) const IDENTITY: Self = Self([0; WORDS]);

    pub(crate) fn new(point: &blst_p1_affine) -> Self {
        let mut words = [0; WORDS];
        let (x, y) = words.split_at_mut(WORDS / 2);
        x.copy_from_slice(&field::to_words(&point.x));
        y.copy_from_slice(&field::to_words(&point.y));
        Self(words)
    }

    pub(crate) fn to_affine(self) -> blst_p1_affine {
        if self.is_identity() {
            return INFINITY;
        }
        let coordinate = |first| field::from_words(std::array::from_fn(|index| self.0[first + index]));
        blst_p1_affine {
            x: coordinate(0),
            y: coordinate(WORDS / 2),
        }
    }

    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }
}

/// Which points of a table are wanted, one a lane: places of their first words.
#[derive(Copy, Clone)]
pub(super) struct Places([u64; LANES]);

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

/// Asks for a point that is needed soon: tables are larger than second-level caches.
#[inline]
pub(super) fn prefetch(point: &PackedPoint) {
    let address = std::ptr::from_ref(point).cast::<i8>();
    // SAFETY: a prefetch has no effect but on caches, and the addresses are inside a live value of 96 bytes.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(address);
        _mm_prefetch::<_MM_HINT_T0>(address.add(64));
    }
}

/// Eight points.
#[derive(Copy, Clone)]
pub(super) struct Point8 {
    pub(super) x: Fp8,
    pub(super) y: Fp8,
    /// Lanes whose point is the identity; their coordinates mean nothing.
    pub(super) identity: u8,
}

impl Point8 {
    pub(super) const IDENTITY: Self = Self {
        x: Fp8::ZERO,
        y: Fp8::ZERO,
        identity: u8::MAX,
    };

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn packed(&self) -> [PackedPoint; LANES] {
        let mut points = [PackedPoint::IDENTITY; LANES];
        let (x, y) = (self.x.to_words(), self.y.to_words());
        for (index, word) in x.into_iter().chain(y).enumerate() {
            // SAFETY: both types are 64 bytes of which every bit pattern is valid.
            let lanes = unsafe { mem::transmute::<__m512i, [u64; LANES]>(word) };
            for (lane, (point, word)) in points.iter_mut().zip(lanes).enumerate() {
                if self.identity >> lane & 1 == 0 {
                    point.0[index] = word;
                }
            }
        }
        points
    }

    /// The point in one lane.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn lane(&self, lane: usize) -> blst_p1_affine {
        if self.identity >> lane & 1 == 1 {
            return INFINITY;
        }
        blst_p1_affine {
            x: self.x.lane(lane),
            y: self.y.lane(lane),
        }
    }

    /// Replaces the point in one lane.
    pub(super) fn set_lane(&mut self, lane: usize, point: &blst_p1_affine) {
        self.identity &= !(1 << lane);
        self.identity |= u8::from(batch_affine::is_infinity(point)) << lane;
        self.x.set_lane(lane, &point.x);
        self.y.set_lane(lane, &point.y);
    }
}
