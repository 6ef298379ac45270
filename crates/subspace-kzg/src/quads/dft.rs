//! Transforms of lanes (four at once) and of single vectors of scalars.
//!
//! A single transform of `4 m` values in bit-reversed order is four transforms of `m` values, one a lane, and two stages across
//! the lanes, for which lanes and vectors are exchanged.

use super::fr4::{Fr4, Limbs, butterfly, canonical, plain_butterfly, product, splat};
use super::layout::{LANES, load_bit_reversed, store, transpose};
use super::twiddles::Twiddles;
use crate::Scalar;
use crate::msm::Avx2;
use crate::transform::bit_reversed;
use std::cell::Cell;

/// Vectors (of 192 bytes) that go through five stages before the next ones are touched: 6 KiB.
const BLOCK: usize = 32;

thread_local! {
    /// Room for the vectors of a transform, kept by each thread: up to 3 MiB, and a transform allocates nothing.
    static WORK: Cell<Vec<Fr4>> = const { Cell::new(Vec::new()) };
}

/// What happens to the results of a transform; they are canonical in any case.
#[derive(Copy, Clone)]
pub(super) enum Finish<'a> {
    /// Nothing more.
    Nothing,
    /// Multiplied by a factor.
    Scale(&'a Limbs),
    /// Multiplied by the factor and by the factor at the same index.
    Powers(&'a Limbs, &'a [Fr4]),
}

/// Transforms in each lane, from bit-reversed order, of a power of two of vectors, up to 2^14.
///
/// Takes numbers of `1.2 r` with limbs up to 2^43. The first two stages double both at most; each other one adds a product, which
/// is 0.06 of the number and `r`, and has limbs of 2^42. So 16 stages, two of them after this, give `32 r` at most, and limbs
/// below 2^47.
#[target_feature(enable = "avx2,fma")]
pub(super) fn transform_lanes(work: &mut [Fr4], twiddles: &Twiddles) {
    let single = &twiddles.single;
    for block in work.chunks_mut(BLOCK) {
        first_stages(block, single);
        let mut half = 4;
        while 4 * half <= block.len() {
            two_stages(block, half, single);
            half *= 4;
        }
        if 2 * half <= block.len() {
            stage(block, half, single);
        }
    }
    let mut half = BLOCK;
    while 4 * half <= work.len() {
        two_stages(work, half, single);
        half *= 4;
    }
    if 2 * half <= work.len() {
        stage(work, half, single);
    }
}

/// The stages 1 and 2.
#[target_feature(enable = "avx2,fma")]
fn first_stages(work: &mut [Fr4], single: &[Limbs]) {
    if let [x0, x1] = work {
        return plain_butterfly(x0, x1);
    }
    let quarter = splat(&single[3]);
    for [x0, x1, x2, x3] in work.as_chunks_mut::<4>().0 {
        plain_butterfly(x0, x1);
        plain_butterfly(x2, x3);
        plain_butterfly(x0, x2);
        butterfly(x1, x3, &quarter);
    }
}

#[target_feature(enable = "avx2,fma")]
fn stage(work: &mut [Fr4], half: usize, single: &[Limbs]) {
    let factors = &single[half..2 * half];
    for block in work.chunks_exact_mut(2 * half) {
        let (low, high) = block.split_at_mut(half);
        for ((a, b), factor) in low.iter_mut().zip(high).zip(factors) {
            butterfly(a, b, &splat(factor));
        }
    }
}

/// The stages `half` and `2 half`.
#[target_feature(enable = "avx2,fma")]
fn two_stages(work: &mut [Fr4], half: usize, single: &[Limbs]) {
    let first = &single[half..2 * half];
    let (second, third) = single[2 * half..4 * half].split_at(half);
    for block in work.chunks_exact_mut(4 * half) {
        let (low, high) = block.split_at_mut(2 * half);
        let (x0, x1) = low.split_at_mut(half);
        let (x2, x3) = high.split_at_mut(half);
        let elements = x0.iter_mut().zip(x1).zip(x2.iter_mut().zip(x3));
        for (((x0, x1), (x2, x3)), ((first, second), third)) in
            elements.zip(first.iter().zip(second).zip(third))
        {
            let first = splat(first);
            butterfly(x0, x1, &first);
            butterfly(x2, x3, &first);
            butterfly(x0, x2, &splat(second));
            butterfly(x1, x3, &splat(third));
        }
    }
}

/// Transform of `values` in natural order; their number is a power of two from 16 to the largest domain.
pub(super) fn transform(_: Avx2, values: &mut [Scalar], twiddles: &Twiddles, finish: Finish<'_>) {
    // SAFETY: the proof is that the processor has the instructions.
    unsafe { transform_with(values, twiddles, finish) }
}

#[target_feature(enable = "avx2,fma")]
fn transform_with(values: &mut [Scalar], twiddles: &Twiddles, finish: Finish<'_>) {
    let groups = values.as_chunks_mut::<LANES>().0;
    // Vectors, and values of each lane.
    let length = groups.len();
    let mut work = WORK.take();
    work.clear();
    work.reserve(length);
    for index in 0..length {
        work.push(load_bit_reversed(&groups[bit_reversed(index, length)]));
    }
    transform_lanes(&mut work, twiddles);
    // Groups of lane i of the vectors begin at `i * stride`.
    let stride = length / LANES;
    for (index, block) in work.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        transpose(block);
        // Stage `m` lanes apart, lane `j` of its lower half: index `(m + j) * length + 4 * index` of the powers.
        let factor = |place: usize| &twiddles.vectors[place * stride + index];
        let [x0, x1, x2, x3] = block;
        butterfly(x0, x1, factor(1));
        butterfly(x2, x3, factor(1));
        butterfly(x0, x2, factor(2));
        butterfly(x1, x3, factor(3));
        for (lane, vector) in block.iter().enumerate() {
            let place = lane * stride + index;
            store(&mut groups[place], &finished(vector, finish, place));
        }
    }
    WORK.set(work);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn finished(vector: &Fr4, finish: Finish<'_>, place: usize) -> Fr4 {
    canonical(&match finish {
        Finish::Nothing => *vector,
        Finish::Scale(scale) => product(vector, &splat(scale)),
        Finish::Powers(scale, powers) => product(&product(vector, &splat(scale)), &powers[place]),
    })
}
