//! Sums of many runs of points, eight runs side by side.
//!
//! Each lane adds up the points of one run, one after the other, in affine form; the inversions of one step of all lanes of a
//! batch are shared. Runs are sorted by length so that lanes end together, and cut so that none goes on for long.

use super::super::digits::NEGATIVE;
use super::field::{Fp8, LANES};
use super::points::{self, PackedPoint, Places, Point8};
use crate::batch_affine;
use crate::g1::G1Point;
use blst::blst_p1_affine;

/// Points that one lane adds up at most. Coordinates grow by p with each, and the arithmetic takes them up to 64 p; also no
/// batch takes more steps than this, however the runs are.
const LONGEST_PART: u32 = 32;

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
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn sum_runs(points: &[PackedPoint], entries: &[u32], starts: &[u32]) -> Vec<PackedPoint> {
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
    let mut sums = vec![PackedPoint::IDENTITY; num_sums as usize];
    let mut batch = Batch::default();
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
        for ((run, _), sum) in divided.iter().zip(sum_runs(&sums, &entries, &starts)) {
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

/// Eight parts that are summed side by side, and what one step of it needs.
struct Vector {
    parts: [Part; LANES],
    sum: Point8,
    /// Lanes that take part in the addition of this step.
    active: u8,
    /// Lanes whose point enters negated.
    negative: u8,
    places: Places,
    /// First coordinates of the points to add.
    other_x: Fp8,
    /// Denominators of the slopes, one where there is no addition.
    denominator: Fp8,
    /// Product of the denominators of all vectors before this one.
    product: Fp8,
}

#[derive(Default)]
struct Batch {
    vectors: Vec<Vector>,
}

impl Batch {
    /// Sums the parts, which must be sorted by length, longest first.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn sum(&mut self, points: &[PackedPoint], entries: &[u32], parts: &[Part], sums: &mut [PackedPoint]) {
        self.load(points, entries, parts);
        let steps = parts.first().map_or(0, |part| part.length);
        for step in 1..steps {
            let active = self
                .vectors
                .partition_point(|vector| vector.parts[0].length > step);
            let vectors = &mut self.vectors[..active];
            let mut product = Fp8::ONE;
            for vector in vectors.iter_mut() {
                vector.find_denominators(points);
                vector.product = product;
                product = product.times(&vector.denominator);
            }
            let mut remaining = match product.inverted() {
                Some(inverted) => inverted,
                None => {
                    // Points of a pair are equal or opposite. Practically never, so there is no need for speed.
                    let mut product = Fp8::ONE;
                    for vector in vectors.iter_mut() {
                        vector.add_special_pairs(points);
                        vector.product = product;
                        product = product.times(&vector.denominator);
                    }
                    product.inverted().unwrap_or(Fp8::ONE)
                }
            };
            for vector in vectors.iter_mut().rev() {
                let inverse = remaining.times(&vector.product);
                remaining = remaining.times(&vector.denominator);
                vector.add(points, &inverse);
                vector.find_points(points, entries, step + 1);
            }
        }
        for vector in &self.vectors {
            for (part, sum) in vector.parts.iter().zip(vector.sum.packed()) {
                if part.length > 0 {
                    sums[part.target as usize] = sum;
                }
            }
        }
    }

    /// Starts with the first point of each part.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn load(&mut self, points: &[PackedPoint], entries: &[u32], parts: &[Part]) {
        self.vectors.clear();
        for (index, lanes) in parts.chunks(LANES).enumerate() {
            for part in parts.iter().skip((index + PREFETCH_DISTANCE) * LANES).take(LANES) {
                let entry = entries[part.start as usize];
                points::prefetch(&points[(entry & !NEGATIVE) as usize]);
            }
            let mut vector = Vector {
                parts: [Part::default(); LANES],
                sum: Point8::IDENTITY,
                active: 0,
                negative: 0,
                places: Places::new(&[0; LANES]),
                other_x: Fp8::ZERO,
                denominator: Fp8::ONE,
                product: Fp8::ONE,
            };
            vector.parts[..lanes.len()].copy_from_slice(lanes);
            vector.find_points(points, entries, 0);
            vector.sum = Point8 {
                x: points::gather_x(points, &vector.places),
                y: points::gather_y(points, &vector.places).negated_where(vector.negative),
                identity: !vector.active,
            };
            vector.find_points(points, entries, 1);
            self.vectors.push(vector);
        }
    }
}

impl Vector {
    /// Finds the points of the given step of all parts that are long enough, and asks for them: they lie anywhere in a table
    /// larger than second-level caches.
    #[inline]
    fn find_points(&mut self, points: &[PackedPoint], entries: &[u32], step: u32) {
        let mut indexes = [0; LANES];
        let (mut active, mut negative) = (0, 0);
        for (lane, (part, index)) in self.parts.iter().zip(&mut indexes).enumerate() {
            if step < part.length {
                let entry = entries[(part.start + step) as usize];
                *index = entry & !NEGATIVE;
                active |= 1 << lane;
                negative |= u8::from(entry & NEGATIVE != 0) << lane;
                points::prefetch(&points[*index as usize]);
            }
        }
        (self.active, self.negative) = (active, negative);
        self.places = Places::new(&indexes);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn find_denominators(&mut self, points: &[PackedPoint]) {
        self.other_x = points::gather_x(points, &self.places);
        self.denominator = self.other_x.minus_carried_64(&self.sum.x);
        if self.sum.identity & self.active != 0 {
            self.replace_identities(points);
        }
        if self.active != u8::MAX {
            self.denominator = Fp8::select(self.active, &Fp8::ONE, &self.denominator);
        }
    }

    /// Adds the points so far found. `inverse` holds the inverses of the denominators.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add(&mut self, points: &[PackedPoint], inverse: &Fp8) {
        let other_y = points::gather_y(points, &self.places).negated_where(self.negative);
        let slope = other_y.minus_carried_64(&self.sum.y).times(inverse);
        let x = slope.squared().minus(&self.sum.x).minus(&self.other_x);
        let y = self.sum.x.minus_carried_128(&x).times(&slope).minus(&self.sum.y);
        if self.active == u8::MAX {
            (self.sum.x, self.sum.y) = (x, y);
        } else {
            self.sum.x = Fp8::select(self.active, &self.sum.x, &x);
            self.sum.y = Fp8::select(self.active, &self.sum.y, &y);
        }
    }

    /// A sum that has become the identity goes on with the next point.
    #[cold]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn replace_identities(&mut self, points: &[PackedPoint]) {
        let replaced = self.sum.identity & self.active;
        let y = points::gather_y(points, &self.places).negated_where(self.negative);
        self.sum.x = Fp8::select(replaced, &self.sum.x, &self.other_x);
        self.sum.y = Fp8::select(replaced, &self.sum.y, &y);
        self.sum.identity &= !replaced;
        self.active &= !replaced;
    }

    /// Adds points that are equal or opposite to the sums so far on their own, and takes their lanes out of the step.
    #[cold]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add_special_pairs(&mut self, points: &[PackedPoint]) {
        let denominators = self.denominator.lanes();
        let other_y = points::gather_y(points, &self.places).negated_where(self.negative);
        for (lane, denominator) in denominators.iter().enumerate() {
            if *denominator != batch_affine::ZERO {
                continue;
            }
            let mut sum = G1Point::from_affine(&self.sum.lane(lane));
            sum.add_affine_assign(&blst_p1_affine {
                x: self.other_x.lane(lane),
                y: other_y.lane(lane),
            });
            let sum = batch_affine::normalize(&[sum])[0];
            self.sum.set_lane(lane, &sum);
            self.active &= !(1 << lane);
        }
        self.denominator = Fp8::select(self.active, &Fp8::ONE, &self.denominator);
    }
}

#[cfg(test)]
mod tests;
