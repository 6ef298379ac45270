//! Polynomials with given roots, eight at a time: a tree of products in each lane.
//!
//! Numbers are times 2^260, so products keep the form.

use super::dft::transform_lanes;
use super::fr8::{Fr8, add, canonical, mul, normalize, reduce, sub};
use super::layout::{LANES, load_factor, store, transpose};
use super::slices::TO_MEMORY;
use super::twiddles::Twiddles;
use super::{Token, factor};
use crate::Scalar;
use crate::transform::{bit_reverse_permute, bit_reversed, inverse_size};
use rayon::prelude::*;

/// Roots of a leaf, multiplied out one by one. Every root adds `2 r` at most, so the leaf needs no reduction meanwhile.
const LEAF_ROOTS: usize = 16;

/// Nodes below this have too little work to be given to another thread.
const MIN_PARALLEL_NODE: usize = 128;

/// Fewest roots this is for: a leaf in each lane, and whole blocks of vectors.
pub(crate) const MIN_ROOTS: usize = LANES * LEAF_ROOTS;

/// Replaces the roots (a power of two of them, [`MIN_ROOTS`] at least, at most half the largest domain) of each eighth by the
/// coefficients of the monic polynomial with these roots, without the leading one. With `parallel` the threads of the current
/// pool help.
pub(crate) fn monic_products(token: Token, roots: &mut [Scalar], parallel: bool) {
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { monic_products_with(token, roots, parallel) }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn monic_products_with(token: Token, roots: &mut [Scalar], parallel: bool) {
    let groups = roots.as_chunks_mut::<LANES>().0;
    let stride = groups.len() / LANES;
    let mut tree = Tree {
        coefficients: Vec::with_capacity(groups.len()),
        values: vec![Fr8::zero(); groups.len()],
        scratch: vec![Fr8::zero(); groups.len()],
        parameters: Parameters {
            forward: Twiddles::forward(token),
            inverse: Twiddles::inverse(token),
            one: Fr8::splat(&factor(Scalar::ONE)),
        },
    };
    for index in 0..stride {
        let mut block = [Fr8::zero(); LANES];
        for (lane, vector) in block.iter_mut().enumerate() {
            *vector = canonical(&reduce(&load_factor(&groups[lane * stride + index])));
        }
        transpose(&mut block);
        tree.coefficients.extend_from_slice(&block);
    }
    tree.multiply_all(parallel);
    for (index, block) in tree
        .coefficients
        .as_chunks_mut::<LANES>()
        .0
        .iter_mut()
        .enumerate()
    {
        transpose(block);
        for (lane, vector) in block.iter().enumerate() {
            let coefficients = normalize(&mul(vector, &Fr8::splat(&TO_MEMORY)));
            store(&mut groups[lane * stride + index], &canonical(&coefficients));
        }
    }
}

/// The polynomials of one level of the tree side by side. Numbers are normal, coefficients below `6 r` and values below `2 r`.
struct Tree {
    /// Without the leading one.
    coefficients: Vec<Fr8>,
    /// On the domain of as many points as the polynomial has coefficients here.
    values: Vec<Fr8>,
    scratch: Vec<Fr8>,
    parameters: Parameters,
}

#[derive(Copy, Clone)]
struct Parameters {
    forward: &'static Twiddles,
    inverse: &'static Twiddles,
    one: Fr8,
}

/// A pair of nodes of the same degree, and what belongs to them.
type Pair<'a> = ((&'a mut [Fr8], &'a mut [Fr8]), &'a mut [Fr8]);

impl Tree {
    /// From roots to one polynomial a lane.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_all(&mut self, parallel: bool) {
        let parameters = self.parameters;
        let leaves = self.coefficients.chunks_exact_mut(LEAF_ROOTS);
        for (leaf, values) in leaves.zip(self.values.chunks_exact_mut(LEAF_ROOTS)) {
            parameters.multiply_out(leaf);
            values.copy_from_slice(leaf);
            values[0] = normalize(&add(&values[0], &parameters.one));
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
    /// Roots below `r` to the coefficients of the monic polynomial without the leading one.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_out(&self, leaf: &mut [Fr8]) {
        let mut product = [Fr8::zero(); LEAF_ROOTS];
        // The highest powers are filled first: the last `k` places hold the product of `k` roots.
        for (count, root) in leaf.iter().enumerate() {
            for index in LEAF_ROOTS - count - 1..LEAF_ROOTS {
                let above = product.get(index + 1).unwrap_or(&self.one);
                product[index] = normalize(&sub(&product[index], &mul(above, root), 2));
            }
        }
        for (coefficient, product) in leaf.iter_mut().zip(&product) {
            *coefficient = reduce(product);
        }
    }

    /// A transform in natural order of numbers up to `6 r`; gives numbers below `2 r`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn evaluate(&self, values: &mut [Fr8], twiddles: &Twiddles) {
        for value in &mut *values {
            *value = reduce(value);
        }
        bit_reverse_permute(values);
        transform_lanes::<2>(values, twiddles);
        for value in values {
            *value = reduce(&normalize(value));
        }
    }

    /// Replaces two neighbours by their product.
    ///
    /// It is known from its values on the domain of twice the size. At the even points these come from the values that the
    /// factors have already; at the odd points, where `x^node` is -1, they take one transform a factor.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_pair(&self, pair: &mut [Fr8], values: &mut [Fr8], scratch: &mut [Fr8], parallel: bool) {
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
            *even = normalize(&mul(even, other_even));
            *odd = normalize(&mul(odd, other_odd));
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
        let scale = Fr8::splat(&factor(inverse_size(2 * node)));
        let powers = &self.inverse.single[node..2 * node];
        for ((low, high), power) in first.iter_mut().zip(second).zip(powers) {
            let even = mul(low, &scale);
            let odd = mul(&normalize(&mul(high, &Fr8::splat(power))), &scale);
            *high = normalize(&sub(&even, &odd, 2));
            *low = normalize(&add(&even, &odd));
        }
        pair[0] = normalize(&sub(&pair[0], &self.one, 1));
    }

    /// Values of `x^node + ...` at the odd points of the domain of `2 node`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn odd_values(&self, coefficients: &[Fr8], values: &mut [Fr8]) {
        let node = coefficients.len();
        for (index, power) in self.forward.single[node..2 * node].iter().enumerate() {
            let coefficient = if index == 0 {
                normalize(&sub(&coefficients[0], &self.one, 1))
            } else {
                coefficients[index]
            };
            values[bit_reversed(index, node)] = normalize(&mul(&coefficient, &Fr8::splat(power)));
        }
        transform_lanes::<2>(values, self.forward);
        for value in values {
            *value = reduce(&normalize(value));
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
