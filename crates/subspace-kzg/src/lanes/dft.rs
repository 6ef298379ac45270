//! Transforms of lanes (eight at once) and of single vectors of scalars.
//!
//! A single transform of `8 m` values in bit-reversed order is eight transforms of `m` values, one a lane, and three stages
//! across the lanes, for which lanes and vectors are exchanged.

use super::Token;
use super::fr8::{Fr8, butterflies, butterfly, canonical, mul, normalize, plain_butterfly, reduce};
use super::layout::{LANES, load_bit_reversed, store, transpose};
use super::twiddles::Twiddles;
use crate::Scalar;
use crate::transform::bit_reversed;
use std::cell::Cell;

/// Vectors (of 320 bytes) that go through five stages before the next ones are touched: 10 KiB.
const BLOCK: usize = 32;

thread_local! {
    /// Room for the vectors of a transform, kept by each thread: up to 2.6 MiB, and a transform allocates nothing.
    static WORK: Cell<Vec<Fr8>> = const { Cell::new(Vec::new()) };
}

/// What happens to the results of a transform; they are canonical in any case.
#[derive(Copy, Clone)]
pub(super) enum Finish<'a> {
    /// Nothing more.
    Nothing,
    /// Multiplied by a number that is given times 2^260.
    Scale(&'a [u64; 5]),
    /// Multiplied by the number and by the factor at the same index.
    Powers(&'a [u64; 5], &'a [Fr8]),
}

/// Transforms in each lane, from bit-reversed order, of a power of two of vectors.
///
/// Takes normal numbers up to `BOUND * r`. Gives numbers up to `(8 BOUND + 2 (log2(length) - 3)) * r` whose limbs are not
/// normal: that is enough room for 8 192 vectors and three more stages with bound 1, and for 4 096 vectors with bound 2.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn transform_lanes<const BOUND: u64>(work: &mut [Fr8], twiddles: &Twiddles) {
    let single = &twiddles.single;
    if work.len() < LANES {
        let mut half = 1;
        while half < work.len() {
            stage(work, half, single);
            half *= 2;
        }
        return;
    }
    for block in work.chunks_mut(BLOCK) {
        first_stages::<BOUND>(block, single);
        if block.len() == 2 * LANES {
            stage(block, 8, single);
        } else if block.len() == BLOCK {
            two_stages(block, 8, single);
        }
    }
    let mut half = BLOCK;
    while 2 * half < work.len() {
        two_stages(work, half, single);
        half *= 4;
    }
    if half < work.len() {
        stage(work, half, single);
    }
}

/// The stages 1, 2 and 4.
#[target_feature(enable = "avx512f,avx512ifma")]
fn first_stages<const BOUND: u64>(work: &mut [Fr8], single: &[[u64; 5]]) {
    let quarter = Fr8::splat(&single[3]);
    let eighth = Fr8::splat(&single[5]);
    let three_eighths = Fr8::splat(&single[7]);
    for block in work.as_chunks_mut::<LANES>().0 {
        let [x0, x1, x2, x3, x4, x5, x6, x7] = block;
        plain_butterfly(x0, x1, BOUND);
        plain_butterfly(x2, x3, BOUND);
        plain_butterfly(x4, x5, BOUND);
        plain_butterfly(x6, x7, BOUND);
        plain_butterfly(x0, x2, 2 * BOUND);
        plain_butterfly(x4, x6, 2 * BOUND);
        butterflies([x1, x5], [x3, x7], [&quarter, &quarter]);
        plain_butterfly(x0, x4, 4 * BOUND);
        butterflies([x1, x2], [x5, x6], [&eighth, &quarter]);
        butterfly(x3, x7, &three_eighths);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn stage(work: &mut [Fr8], half: usize, single: &[[u64; 5]]) {
    let factors = &single[half..2 * half];
    for block in work.chunks_exact_mut(2 * half) {
        let (low, high) = block.split_at_mut(half);
        for ((a, b), factor) in low.iter_mut().zip(high).zip(factors) {
            butterfly(a, b, &Fr8::splat(factor));
        }
    }
}

/// The stages `half` and `2 half`.
#[target_feature(enable = "avx512f,avx512ifma")]
fn two_stages(work: &mut [Fr8], half: usize, single: &[[u64; 5]]) {
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
            let first = Fr8::splat(first);
            butterflies([x0, x2], [x1, x3], [&first, &first]);
            butterflies([x0, x1], [x2, x3], [&Fr8::splat(second), &Fr8::splat(third)]);
        }
    }
}

/// Transform of `values` in natural order; their number is a power of two from 64 to the largest domain.
pub(super) fn transform(token: Token, values: &mut [Scalar], twiddles: &Twiddles, finish: Finish<'_>) {
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { transform_with(token, values, twiddles, finish) }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn transform_with(_: Token, values: &mut [Scalar], twiddles: &Twiddles, finish: Finish<'_>) {
    let groups = values.as_chunks_mut::<LANES>().0;
    // Vectors, and values of each lane.
    let length = groups.len();
    let mut work = WORK.take();
    work.clear();
    work.reserve(length);
    for index in 0..length {
        work.push(load_bit_reversed(&groups[bit_reversed(index, length)]));
    }
    transform_lanes::<1>(&mut work, twiddles);
    // Groups of lane i of the vectors begin at `i * stride`.
    let stride = length / LANES;
    for (index, block) in work.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        transpose(block);
        // Stage `m` lanes apart, lane `j` of its lower half: index `(m + j) * length + 8 * index` of the powers.
        let factor = |place: usize| &twiddles.vectors[place * stride + index];
        let [x0, x1, x2, x3, x4, x5, x6, x7] = block;
        butterflies([x0, x2], [x1, x3], [factor(1), factor(1)]);
        butterflies([x4, x6], [x5, x7], [factor(1), factor(1)]);
        butterflies([x0, x1], [x2, x3], [factor(2), factor(3)]);
        butterflies([x4, x5], [x6, x7], [factor(2), factor(3)]);
        butterflies([x0, x1], [x4, x5], [factor(4), factor(5)]);
        butterflies([x2, x3], [x6, x7], [factor(6), factor(7)]);
        for (lane, vector) in block.iter().enumerate() {
            let place = lane * stride + index;
            store(&mut groups[place], &finished(vector, finish, place));
        }
    }
    WORK.set(work);
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn finished(vector: &Fr8, finish: Finish<'_>, place: usize) -> Fr8 {
    let vector = normalize(vector);
    canonical(&match finish {
        Finish::Nothing => reduce(&vector),
        Finish::Scale(scale) => normalize(&mul(&vector, &Fr8::splat(scale))),
        Finish::Powers(scale, powers) => {
            let scaled = normalize(&mul(&vector, &Fr8::splat(scale)));
            normalize(&mul(&scaled, &powers[place]))
        }
    })
}
