//! Sums of many runs of points, eight runs side by side.
//!
//! Each lane adds up the points of one run, one after the other, in affine form; the inversions of one step of all lanes of a
//! batch are shared. Runs are sorted by length so that lanes end together, and cut so that none goes on for long.
//!
//! Everything on the way to the arithmetic is inlined into [`Instructions::sum_runs`], which is compiled for the instructions.

use super::digits::{BUCKETS, NEGATIVE, SortedDigits};
use super::instructions::{Instructions, LANES, PackedPoint};
use super::weights;
use crate::batch_affine::{self, INFINITY};
use crate::g1::G1Point;
use blst::blst_p1_affine;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// The sum of the multiples that the digits ask for.
pub(super) fn sum_digits<I: Instructions>(
    instructions: I,
    multiples: &[I::Packed],
    sorted: &SortedDigits,
) -> G1Point {
    let buckets = instructions.sum_runs(multiples, &sorted.entries, &sorted.starts);
    let mut entries = Vec::with_capacity(2 * BUCKETS);
    let mut starts = vec![0];
    for line in weights::rows().chain(weights::columns()) {
        entries.extend(line.filter(|bucket| !buckets[*bucket as usize].is_identity()));
        starts.push(entries.len() as u32);
    }
    let lines = instructions.sum_runs(&buckets, &entries, &starts);
    let lines = lines.into_iter().map(PackedPoint::to_affine).collect::<Vec<_>>();
    let (rows, columns) = lines.split_at(weights::ROWS);
    weights::weighted_sum(rows, columns)
}

/// Points that one lane adds up at most. Coordinates may grow by p with each, and the arithmetic takes them up to 64 p; also no
/// batch takes more steps than this, however the runs are.
pub(super) const LONGEST_PART: u32 = 32;

/// Vectors that share inversions: 1024 lanes make the inversion (5 µs) cheap, and 0.6 MiB of operands fit a second-level
/// cache.
const BATCH_VECTORS: usize = 128;

/// Vectors between asking for points and using them, at the first step of a batch.
const PREFETCH_DISTANCE: usize = 4;

/// Part of a run, for one lane.
#[derive(Copy, Clone, Default)]
struct Part {
    /// First entry.
    start: u32,
    length: u32,
    /// Where the sum goes.
    target: u32,
}

/// Sums of runs of points: run `i` has the entries from `starts[i]` up to `starts[i + 1]`, and an entry is the index of a
/// point, with [`NEGATIVE`] where it enters negated. No point that is asked for may be the identity.
#[inline(always)]
pub(super) fn sum_runs<I: Instructions>(
    instructions: I,
    points: &[I::Packed],
    entries: &[u32],
    starts: &[u32],
) -> Vec<I::Packed> {
    let runs = starts.len().saturating_sub(1);
    let mut parts = Vec::with_capacity(runs);
    // Sums of parts of runs lie behind the sums of runs.
    let mut num_sums = runs as u32;
    let mut divided = Vec::new();
    for (run, bounds) in starts.windows(2).enumerate() {
        let (mut start, end) = (bounds[0], bounds[1]);
        let is_divided = end - start > LONGEST_PART;
        if is_divided {
            divided.push((run, num_sums));
        }
        while start < end {
            let length = (end - start).min(LONGEST_PART);
            let target = if is_divided {
                num_sums += 1;
                num_sums - 1
            } else {
                run as u32
            };
            parts.push(Part {
                start,
                length,
                target,
            });
            start += length;
        }
    }
    let mut sums = vec![I::Packed::IDENTITY; num_sums as usize];
    let mut batch = Batch {
        instructions,
        vectors: Vec::new(),
    };
    for parts in sorted_by_length(&parts).chunks(BATCH_VECTORS * LANES) {
        batch.sum(points, entries, parts, &mut sums);
    }

    if !divided.is_empty() {
        let ends = divided[1..].iter().map(|(_, first)| *first).chain([num_sums]);
        let mut entries = Vec::new();
        let mut starts = vec![0];
        for ((_, first), end) in divided.iter().zip(ends) {
            entries.extend((*first..end).filter(|index| !sums[*index as usize].is_identity()));
            starts.push(entries.len() as u32);
        }
        for ((run, _), sum) in divided
            .iter()
            .zip(instructions.sum_runs(&sums, &entries, &starts))
        {
            sums[*run] = sum;
        }
    }
    sums.truncate(runs);
    sums
}

/// Longest first.
fn sorted_by_length(parts: &[Part]) -> Vec<Part> {
    const LENGTHS: usize = LONGEST_PART as usize + 1;
    let rank = |part: &Part| LENGTHS - 1 - part.length as usize;
    let mut places = [0; LENGTHS + 1];
    for part in parts {
        places[rank(part) + 1] += 1;
    }
    for index in 1..places.len() {
        places[index] += places[index - 1];
    }
    let mut sorted = vec![Part::default(); parts.len()];
    for part in parts {
        let place = &mut places[rank(part)];
        sorted[*place] = *part;
        *place += 1;
    }
    sorted
}

/// Asks for a point that is needed soon: tables are larger than second-level caches.
#[inline(always)]
fn prefetch<P>(point: &P) {
    const LINE: usize = 64;

    let address = std::ptr::from_ref(point).cast::<i8>();
    for offset in (0..size_of::<P>()).step_by(LINE) {
        // SAFETY: a prefetch has no effect but on caches, and the addresses are inside a live value.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.add(offset)) };
    }
}

/// Eight parts that are summed side by side, and what one step of it needs.
struct Vector<I: Instructions> {
    parts: [Part; LANES],
    sum_x: I::Numbers,
    sum_y: I::Numbers,
    /// Lanes whose sum is the identity; their coordinates mean nothing.
    identity: u8,
    /// Lanes that take part in the addition of this step.
    active: u8,
    /// Lanes whose point enters negated.
    negative: u8,
    places: I::Places,
    /// First coordinates of the points to add.
    other_x: I::Numbers,
    /// Denominators of the slopes, one where there is no addition.
    denominator: I::Numbers,
    /// Product of the denominators of all vectors before this one.
    product: I::Numbers,
}

struct Batch<I: Instructions> {
    instructions: I,
    vectors: Vec<Vector<I>>,
}

impl<I: Instructions> Batch<I> {
    /// Sums the parts, which must be sorted by length, longest first.
    #[inline(always)]
    fn sum(&mut self, points: &[I::Packed], entries: &[u32], parts: &[Part], sums: &mut [I::Packed]) {
        let instructions = self.instructions;
        self.load(points, entries, parts);
        let steps = parts.first().map_or(0, |part| part.length);
        for step in 1..steps {
            let active = self
                .vectors
                .partition_point(|vector| vector.parts[0].length > step);
            let vectors = &mut self.vectors[..active];
            let mut product = I::ONE;
            for vector in vectors.iter_mut() {
                vector.find_denominators(instructions, points);
                vector.product = product;
                product = instructions.times(&product, &vector.denominator);
            }
            let mut remaining = match instructions.inverted(&product) {
                Some(inverted) => inverted,
                None => invert_special_pairs(instructions, vectors, points),
            };
            for vector in vectors.iter_mut().rev() {
                let inverse = instructions.times(&remaining, &vector.product);
                remaining = instructions.times(&remaining, &vector.denominator);
                vector.add(instructions, points, &inverse);
                vector.find_points(points, entries, step + 1);
            }
        }
        for vector in &self.vectors {
            let packed = instructions.pack(&vector.sum_x, &vector.sum_y, vector.identity);
            for (part, sum) in vector.parts.iter().zip(packed) {
                if part.length > 0 {
                    sums[part.target as usize] = sum;
                }
            }
        }
    }

    /// Starts with the first point of each part.
    #[inline(always)]
    fn load(&mut self, points: &[I::Packed], entries: &[u32], parts: &[Part]) {
        self.vectors.clear();
        for (index, lanes) in parts.chunks(LANES).enumerate() {
            for part in parts.iter().skip((index + PREFETCH_DISTANCE) * LANES).take(LANES) {
                let entry = entries[part.start as usize];
                prefetch(&points[(entry & !NEGATIVE) as usize]);
            }
            let mut vector = Vector::<I> {
                parts: [Part::default(); LANES],
                sum_x: I::ZERO,
                sum_y: I::ZERO,
                identity: u8::MAX,
                active: 0,
                negative: 0,
                places: I::places(&[0; LANES]),
                other_x: I::ZERO,
                denominator: I::ONE,
                product: I::ONE,
            };
            vector.parts[..lanes.len()].copy_from_slice(lanes);
            vector.find_points(points, entries, 0);
            vector.sum_x = self.instructions.gather_x(points, &vector.places);
            vector.sum_y = self
                .instructions
                .gather_y(points, &vector.places, vector.negative);
            vector.identity = !vector.active;
            vector.find_points(points, entries, 1);
            self.vectors.push(vector);
        }
    }
}

/// The inverse of the product of all denominators, when points of a pair are equal or opposite. Practically never, so there is
/// no need for speed.
#[cold]
fn invert_special_pairs<I: Instructions>(
    instructions: I,
    vectors: &mut [Vector<I>],
    points: &[I::Packed],
) -> I::Numbers {
    let mut product = I::ONE;
    for vector in vectors {
        vector.add_special_pairs(instructions, points);
        vector.product = product;
        product = instructions.times(&product, &vector.denominator);
    }
    instructions.inverted(&product).unwrap_or(I::ONE)
}

impl<I: Instructions> Vector<I> {
    /// Finds the points of the given step of all parts that are long enough, and asks for them: they lie anywhere in a table
    /// larger than second-level caches.
    #[inline(always)]
    fn find_points(&mut self, points: &[I::Packed], entries: &[u32], step: u32) {
        let mut indexes = [0; LANES];
        let (mut active, mut negative) = (0, 0);
        for (lane, (part, index)) in self.parts.iter().zip(&mut indexes).enumerate() {
            if step < part.length {
                let entry = entries[(part.start + step) as usize];
                *index = entry & !NEGATIVE;
                active |= 1 << lane;
                negative |= u8::from(entry & NEGATIVE != 0) << lane;
                prefetch(&points[*index as usize]);
            }
        }
        (self.active, self.negative) = (active, negative);
        self.places = I::places(&indexes);
    }

    #[inline(always)]
    fn find_denominators(&mut self, instructions: I, points: &[I::Packed]) {
        self.other_x = instructions.gather_x(points, &self.places);
        self.denominator = instructions.difference(&self.other_x, &self.sum_x);
        if self.identity & self.active != 0 {
            self.replace_identities(instructions, points);
        }
        if self.active != u8::MAX {
            self.denominator = instructions.select(self.active, &I::ONE, &self.denominator);
        }
    }

    /// Adds the points so far found. `inverse` holds the inverses of the denominators.
    #[inline(always)]
    fn add(&mut self, instructions: I, points: &[I::Packed], inverse: &I::Numbers) {
        let other_y = instructions.gather_y(points, &self.places, self.negative);
        let sum = (&self.sum_x, &self.sum_y);
        let (x, y) = instructions.add(sum, (&self.other_x, &other_y), inverse);
        if self.active == u8::MAX {
            (self.sum_x, self.sum_y) = (x, y);
        } else {
            self.sum_x = instructions.select(self.active, &self.sum_x, &x);
            self.sum_y = instructions.select(self.active, &self.sum_y, &y);
        }
    }

    /// A sum that has become the identity goes on with the next point.
    #[cold]
    fn replace_identities(&mut self, instructions: I, points: &[I::Packed]) {
        let replaced = self.identity & self.active;
        let y = instructions.gather_y(points, &self.places, self.negative);
        self.sum_x = instructions.select(replaced, &self.sum_x, &self.other_x);
        self.sum_y = instructions.select(replaced, &self.sum_y, &y);
        self.identity &= !replaced;
        self.active &= !replaced;
    }

    /// Adds points that are equal or opposite to the sums so far on their own, and takes their lanes out of the step.
    #[cold]
    fn add_special_pairs(&mut self, instructions: I, points: &[I::Packed]) {
        let denominators = instructions.lanes(&self.denominator);
        let other_x = instructions.lanes(&self.other_x);
        let other_y = instructions.lanes(&instructions.gather_y(points, &self.places, self.negative));
        let sum_x = instructions.lanes(&self.sum_x);
        let sum_y = instructions.lanes(&self.sum_y);
        for (lane, denominator) in denominators.iter().enumerate() {
            if *denominator != batch_affine::ZERO {
                continue;
            }
            let of_lane = |x: &[_; LANES], y: &[_; LANES]| blst_p1_affine {
                x: x[lane],
                y: y[lane],
            };
            let mut sum = match self.identity >> lane & 1 {
                1 => INFINITY,
                _ => of_lane(&sum_x, &sum_y),
            };
            let mut point = G1Point::from_affine(&sum);
            point.add_affine_assign(&of_lane(&other_x, &other_y));
            sum = batch_affine::normalize(&[point])[0];
            self.identity &= !(1 << lane);
            self.identity |= u8::from(batch_affine::is_infinity(&sum)) << lane;
            instructions.set_lane(&mut self.sum_x, lane, &sum.x);
            instructions.set_lane(&mut self.sum_y, lane, &sum.y);
            self.active &= !(1 << lane);
        }
        self.denominator = instructions.select(self.active, &I::ONE, &self.denominator);
    }
}

#[cfg(test)]
mod tests;
