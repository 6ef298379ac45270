//! Polynomials with given roots, four at a time: a tree of products in each lane.
//!
//! Numbers are times 2^258, so products keep the form.

use super::dft::transform_lanes;
use super::factor;
use super::fr4::{self, Fr4, add, canonical, product, reduce, splat, sub};
use super::layout::{LANES, load, store, transpose};
use super::twiddles::Twiddles;
use crate::Scalar;
use crate::msm::Avx2;
use crate::transform::{bit_reverse_permute, bit_reversed, inverse_size};
use rayon::prelude::*;

/// Roots of a leaf, multiplied out one by one. An eighth of the product and `1.1 r` are added with each, which is `60 r` at most.
const LEAF_ROOTS: usize = 16;

/// Nodes below this have too little work to be given to another thread.
const MIN_PARALLEL_NODE: usize = 128;

/// Fewest roots this is for: a leaf in each lane, and whole blocks of vectors.
pub(crate) const MIN_ROOTS: usize = LANES * LEAF_ROOTS;

/// Replaces the roots (a power of two of them, [`MIN_ROOTS`] at least, at most half the largest domain) of each quarter by the
/// coefficients of the monic polynomial with these roots, without the leading one. With `parallel` the threads of the current
/// pool help.
pub(crate) fn monic_products(proof: Avx2, roots: &mut [Scalar], parallel: bool) {
    // SAFETY: the proof is that the processor has the instructions.
    unsafe { monic_products_with(proof, roots, parallel) }
}

#[target_feature(enable = "avx2,fma")]
fn monic_products_with(proof: Avx2, roots: &mut [Scalar], parallel: bool) {
    let groups = roots.as_chunks_mut::<LANES>().0;
    let stride = groups.len() / LANES;
    let mut tree = Tree {
        coefficients: Vec::with_capacity(groups.len()),
        values: vec![fr4::ZERO; groups.len()],
        scratch: vec![fr4::ZERO; groups.len()],
        parameters: Parameters {
            forward: Twiddles::forward(proof),
            inverse: Twiddles::inverse(proof),
            one: splat(&factor(Scalar::ONE)),
        },
    };
    // From numbers times 2^256 in memory, and back.
    let from_memory = splat(&factor(Scalar::from_u64(4)));
    let to_memory = splat(&fr4::limbs_of(Scalar::ONE.0.l));
    for index in 0..stride {
        let mut block = [fr4::ZERO; LANES];
        for (lane, vector) in block.iter_mut().enumerate() {
            *vector = product(&load(&groups[lane * stride + index]), &from_memory);
        }
        transpose(&mut block);
        tree.coefficients.extend_from_slice(&block);
    }
    tree.multiply_all(parallel);
    let blocks = tree.coefficients.as_chunks_mut::<LANES>().0;
    for (index, block) in blocks.iter_mut().enumerate() {
        transpose(block);
        for (lane, vector) in block.iter().enumerate() {
            let coefficients = canonical(&product(vector, &to_memory));
            store(&mut groups[lane * stride + index], &coefficients);
        }
    }
}

/// The polynomials of one level of the tree side by side. Coefficients are data of `3 r`, values are carried and `1.1 r`.
struct Tree {
    /// Without the leading one.
    coefficients: Vec<Fr4>,
    /// On the domain of as many points as the polynomial has coefficients here.
    values: Vec<Fr4>,
    scratch: Vec<Fr4>,
    parameters: Parameters,
}

#[derive(Copy, Clone)]
struct Parameters {
    forward: &'static Twiddles,
    inverse: &'static Twiddles,
    one: Fr4,
}

/// A pair of nodes of the same degree, and what belongs to them.
type Pair<'a> = ((&'a mut [Fr4], &'a mut [Fr4]), &'a mut [Fr4]);

impl Tree {
    /// From roots to one polynomial a lane.
    #[target_feature(enable = "avx2,fma")]
    fn multiply_all(&mut self, parallel: bool) {
        let parameters = self.parameters;
        let leaves = self.coefficients.chunks_exact_mut(LEAF_ROOTS);
        for (leaf, values) in leaves.zip(self.values.chunks_exact_mut(LEAF_ROOTS)) {
            parameters.multiply_out(leaf);
            values.copy_from_slice(leaf);
            values[0] = add(&values[0], &parameters.one);
            parameters.evaluate(values, parameters.forward);
        }
        let mut node = LEAF_ROOTS;
        while node < self.coefficients.len() {
            let multiply = |((pair, values), scratch): Pair<'_>| {
                parameters.multiply_pair(pair, values, scratch, parallel && node >= MIN_PARALLEL_NODE);
            };
            if parallel {
                // Several small pairs make one piece of work.
                let least = MIN_PARALLEL_NODE.div_ceil(node);
                self.coefficients
                    .par_chunks_exact_mut(2 * node)
                    .zip(self.values.par_chunks_exact_mut(2 * node))
                    .zip(self.scratch.par_chunks_exact_mut(2 * node))
                    .with_min_len(least)
                    .for_each(multiply);
            } else {
                self.coefficients
                    .chunks_exact_mut(2 * node)
                    .zip(self.values.chunks_exact_mut(2 * node))
                    .zip(self.scratch.chunks_exact_mut(2 * node))
                    .for_each(multiply);
            }
            node *= 2;
        }
    }
}

impl Parameters {
    /// Roots to the coefficients of the monic polynomial without the leading one.
    #[target_feature(enable = "avx2,fma")]
    fn multiply_out(&self, leaf: &mut [Fr4]) {
        let mut coefficients = [fr4::ZERO; LEAF_ROOTS];
        // The highest powers are filled first: the last `k` places hold the product of `k` roots.
        for (count, root) in leaf.iter().enumerate() {
            for index in LEAF_ROOTS - count - 1..LEAF_ROOTS {
                let above = coefficients.get(index + 1).unwrap_or(&self.one);
                coefficients[index] = sub(&coefficients[index], &product(above, root));
            }
        }
        for (coefficient, result) in leaf.iter_mut().zip(&coefficients) {
            *coefficient = reduce(result);
        }
    }

    /// A transform in natural order.
    #[target_feature(enable = "avx2,fma")]
    fn evaluate(&self, values: &mut [Fr4], twiddles: &Twiddles) {
        for value in &mut *values {
            *value = reduce(value);
        }
        bit_reverse_permute(values);
        transform_lanes(values, twiddles);
        for value in values {
            *value = reduce(value);
        }
    }

    /// Replaces two neighbours by their product.
    ///
    /// It is known from its values on the domain of twice the size. At the even points these come from the values that the
    /// factors have already; at the odd points, where `x^node` is -1, they take one transform a factor.
    #[target_feature(enable = "avx2,fma")]
    fn multiply_pair(&self, pair: &mut [Fr4], values: &mut [Fr4], scratch: &mut [Fr4], parallel: bool) {
        let node = pair.len() / 2;
        let (first, second) = pair.split_at_mut(node);
        let (odd, other_odd) = scratch.split_at_mut(node);
        join(
            parallel,
            || self.odd_values(first, odd),
            || self.odd_values(second, other_odd),
        );
        let (even, other_even) = values.split_at_mut(node);
        for ((even, other_even), (odd, other_odd)) in even
            .iter_mut()
            .zip(&*other_even)
            .zip(odd.iter_mut().zip(&*other_odd))
        {
            *even = product(even, other_even);
            *odd = product(odd, other_odd);
        }
        first.copy_from_slice(even);
        second.copy_from_slice(odd);
        for index in (0..node).rev() {
            values[2 * index] = first[index];
            values[2 * index + 1] = second[index];
        }
        // Coefficients of the product modulo x^node - 1 and modulo x^node + 1, where x^(2 node) is one.
        join(
            parallel,
            || self.evaluate(first, self.inverse),
            || self.evaluate(second, self.inverse),
        );
        let scale = splat(&factor(inverse_size(2 * node)));
        let powers = &self.inverse.single[node..2 * node];
        for ((low, high), power) in first.iter_mut().zip(second).zip(powers) {
            let even = product(low, &scale);
            let odd = product(&product(high, &splat(power)), &scale);
            *high = sub(&even, &odd);
            *low = add(&even, &odd);
        }
        pair[0] = sub(&pair[0], &self.one);
    }

    /// Values of `x^node + ...` at the odd points of the domain of `2 node`.
    #[target_feature(enable = "avx2,fma")]
    fn odd_values(&self, coefficients: &[Fr4], values: &mut [Fr4]) {
        let node = coefficients.len();
        for (index, power) in self.forward.single[node..2 * node].iter().enumerate() {
            let coefficient = if index == 0 {
                sub(&coefficients[0], &self.one)
            } else {
                coefficients[index]
            };
            values[bit_reversed(index, node)] = product(&coefficient, &splat(power));
        }
        transform_lanes(values, self.forward);
        for value in values {
            *value = reduce(value);
        }
    }
}

fn join(parallel: bool, first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    if parallel {
        rayon::join(first, second);
    } else {
        first();
        second();
    }
}
