//! Polynomials with given roots, by a tree of products.

use crate::arithmetic::Kind;
#[cfg(target_arch = "x86_64")]
use crate::lanes;
#[cfg(target_arch = "x86_64")]
use crate::quads;
use crate::transform::{self, DomainError};
use crate::{Arithmetic, Scalar};
use rayon::prelude::*;

/// Roots of a leaf of the tree, multiplied out one by one.
const LEAF_ROOTS: usize = 64;

impl Arithmetic {
    /// Coefficients of `Π (x - root)`, lowest power first: one more than there are roots, the last one is one. With `parallel`
    /// the threads of the pool that this runs in help; call it inside of [`rayon::ThreadPool::install`] then.
    ///
    /// # Errors
    /// [`DomainError`] for more roots than half the largest domain.
    pub fn polynomial_with_roots(self, roots: &[Scalar], parallel: bool) -> Result<Vec<Scalar>, DomainError> {
        // Roots at zero fill up to a power of two: they only shift the coefficients, which is undone at the end.
        let degree = roots.len().next_power_of_two();
        transform::check_domain(2 * degree)?;
        let mut coefficients = roots.to_vec();
        coefficients.resize(degree, Scalar::ZERO);
        let mut node = self.first_level(&mut coefficients, parallel);
        if node < degree {
            let mut level = Level {
                arithmetic: self,
                parallel,
                values: coefficients.clone(),
                scratch: vec![Scalar::ZERO; degree],
                coefficients,
            };
            for values in level.values.chunks_exact_mut(node) {
                values[0] += Scalar::ONE;
                self.forward(values)?;
            }
            while node < degree {
                level.multiply_neighbours(node)?;
                node *= 2;
            }
            coefficients = level.coefficients;
        }
        coefficients.push(Scalar::ONE);
        coefficients.drain(..degree - roots.len());
        Ok(coefficients)
    }

    /// Replaces roots, part by part, by the monic polynomials with these roots without their leading one; returns the size of
    /// the parts.
    fn first_level(self, roots: &mut [Scalar], parallel: bool) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) if roots.len() >= lanes::MIN_ROOTS => {
                lanes::monic_products(token, roots, parallel);
                roots.len() / 8
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(proof) if roots.len() >= quads::MIN_ROOTS => {
                quads::monic_products(proof, roots, parallel);
                roots.len() / 4
            }
            _ => {
                let node = roots.len().min(LEAF_ROOTS);
                if parallel {
                    roots.par_chunks_exact_mut(node).for_each(multiply_out);
                } else {
                    roots.chunks_exact_mut(node).for_each(multiply_out);
                }
                node
            }
        }
    }
}

/// Roots to the monic polynomial without its leading one.
fn multiply_out(leaf: &mut [Scalar]) {
    let degree = leaf.len();
    let roots = leaf.to_vec();
    leaf.fill(Scalar::ZERO);
    // Highest powers are filled first: `leaf[degree - k ..]` holds the product of `k` roots, shifted to the top.
    for (count, root) in roots.into_iter().enumerate() {
        // The coefficient above the highest one kept is the leading one.
        for index in degree - count - 1..degree {
            let above = leaf.get(index + 1).copied().unwrap_or(Scalar::ONE);
            leaf[index] -= root * above;
        }
    }
}

/// The monic polynomials of one level of the tree side by side, all of one degree `node`.
struct Level {
    arithmetic: Arithmetic,
    parallel: bool,
    /// Coefficients without the leading one.
    coefficients: Vec<Scalar>,
    /// Values on the domain `w_node`.
    values: Vec<Scalar>,
    scratch: Vec<Scalar>,
}

impl Level {
    /// Replaces each pair of neighbours by their product.
    fn multiply_neighbours(&mut self, node: usize) -> Result<(), DomainError> {
        let (arithmetic, parallel) = (self.arithmetic, self.parallel);
        if parallel {
            return self
                .coefficients
                .par_chunks_exact_mut(2 * node)
                .zip(self.values.par_chunks_exact_mut(2 * node))
                .zip(self.scratch.par_chunks_exact_mut(2 * node))
                .try_for_each(|((pair, values), scratch)| {
                    multiply_pair(arithmetic, parallel, pair, values, scratch)
                });
        }
        let pairs = self.coefficients.chunks_exact_mut(2 * node);
        let values = self.values.chunks_exact_mut(2 * node);
        pairs
            .zip(values)
            .zip(self.scratch.chunks_exact_mut(2 * node))
            .try_for_each(|((pair, values), scratch)| {
                multiply_pair(arithmetic, parallel, pair, values, scratch)
            })
    }
}

/// Replaces two neighbours by their product.
///
/// It is known from its values on `w_(2 node)`. At the even points these come from the values that the factors have already; at
/// the odd points, where `x^node = -1`, they take one transform a factor. The values of the product are in turn what the next
/// level needs at its even points.
fn multiply_pair(
    arithmetic: Arithmetic,
    parallel: bool,
    pair: &mut [Scalar],
    values: &mut [Scalar],
    scratch: &mut [Scalar],
) -> Result<(), DomainError> {
    let node = pair.len() / 2;
    let powers = transform::coset_powers(node)?;
    let inverse_powers = transform::inverse_coset_powers(node)?;
    let odd_values = |factor: &[Scalar], odd: &mut [Scalar]| {
        odd.copy_from_slice(factor);
        odd[0] -= Scalar::ONE;
        arithmetic.multiply(odd, powers);
        arithmetic.forward(odd)
    };
    let (first, second) = pair.split_at_mut(node);
    let (odd, other_odd) = scratch.split_at_mut(node);
    join(
        parallel,
        || odd_values(first, odd),
        || odd_values(second, other_odd),
    )?;
    let (even, other_even) = values.split_at_mut(node);
    arithmetic.multiply(even, other_even);
    arithmetic.multiply(odd, other_odd);
    first.copy_from_slice(even);
    second.copy_from_slice(odd);
    for (pair, (even, odd)) in values.chunks_exact_mut(2).zip(first.iter().zip(&*second)) {
        pair.copy_from_slice(&[*even, *odd]);
    }
    // Coefficients of the product modulo x^node - 1 and modulo x^node + 1, where x^(2 node) is one.
    join(
        parallel,
        || arithmetic.inverse(first),
        || arithmetic.inverse(second),
    )?;
    arithmetic.multiply(second, inverse_powers);
    for (low, high) in first.iter_mut().zip(second) {
        let (even, odd) = (*low, *high);
        *low = even + odd;
        *high = even - odd;
    }
    arithmetic.scale(pair, transform::inverse_size(2));
    pair[0] -= Scalar::ONE;
    Ok(())
}

/// Does both, side by side when `parallel`.
fn join<E: Send>(
    parallel: bool,
    first: impl FnOnce() -> Result<(), E> + Send,
    second: impl FnOnce() -> Result<(), E> + Send,
) -> Result<(), E> {
    if parallel {
        let (first, second) = rayon::join(first, second);
        first.and(second)
    } else {
        first().and_then(|()| second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Polynomial;

    #[test]
    fn vanishes_at_its_roots_and_nowhere_else() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for count in [
            0_usize, 1, 2, 3, 63, 64, 65, 127, 128, 129, 200, 1000, 2048, 5000, 32_768,
        ] {
            let roots = (0..count)
                .map(|index| transform::domain_point(65_536, (3 * index + 1) % 65_536).unwrap())
                .collect::<Vec<_>>();
            let point = Scalar::from_u64(1_234_567);
            let expected = roots
                .iter()
                .fold(Scalar::ONE, |product, root| product * (point - *root));
            let of = |arithmetic: Arithmetic, parallel| {
                pool.install(|| arithmetic.polynomial_with_roots(&roots, parallel))
                    .unwrap()
            };
            let coefficients = of(Arithmetic::PORTABLE, false);
            for arithmetic in Arithmetic::supported() {
                assert!(
                    of(arithmetic, false) == coefficients,
                    "{count} roots, {arithmetic}"
                );
                assert!(
                    of(arithmetic, true) == coefficients,
                    "{count} roots, {arithmetic}, parallel"
                );
            }
            assert_eq!(coefficients.len(), count + 1);
            let polynomial = Polynomial::from_coefficients(coefficients);
            assert_eq!(polynomial.evaluate(point), expected, "{count} roots");
            if let Some(root) = roots.last() {
                assert_eq!(polynomial.evaluate(*root), Scalar::ZERO, "{count} roots");
            }
        }
        let many = vec![Scalar::ONE; transform::MAX_DOMAIN_SIZE];
        assert!(Arithmetic::PORTABLE.polynomial_with_roots(&many, false).is_err());
    }
}
