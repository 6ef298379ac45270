//! Polynomials that vanish at given points, by a tree of products.

use subspace_kzg::Scalar;
use subspace_kzg::transform::{self, DomainError};

/// Roots of a leaf of the tree, multiplied out one by one.
const LEAF_ROOTS: usize = 64;

/// Coefficients of `Π (x - root)`, lowest power first: one more than there are roots, the last one is one.
pub(crate) fn vanishing_polynomial(roots: &[Scalar]) -> Result<Vec<Scalar>, DomainError> {
    // Roots at zero fill up to a power of two: they only shift the coefficients, which is undone at the end.
    let degree = roots.len().next_power_of_two().max(1);
    let padding = degree - roots.len();
    let mut node = degree.min(LEAF_ROOTS);
    let mut level = Level {
        coefficients: vec![Scalar::ZERO; degree],
        values: vec![Scalar::ZERO; degree],
        scratch: vec![Scalar::ZERO; degree],
    };
    for (leaf, roots) in level.coefficients.chunks_exact_mut(node).zip(roots.chunks(node)) {
        multiply_out(leaf, roots);
    }
    if node < degree {
        level.values.copy_from_slice(&level.coefficients);
        for values in level.values.chunks_exact_mut(node) {
            values[0] += Scalar::ONE;
            transform::forward(values)?;
        }
    }
    while node < degree {
        level.multiply_neighbours(node)?;
        node *= 2;
    }
    let mut level = level.coefficients;
    level.push(Scalar::ONE);
    level.drain(..padding);
    Ok(level)
}

/// The monic polynomial of degree `leaf.len()` with these roots, the remaining roots being zero, without its leading one.
fn multiply_out(leaf: &mut [Scalar], roots: &[Scalar]) {
    let degree = leaf.len();
    // Highest powers are filled first: `leaf[degree - k ..]` holds the product of `k` roots, shifted to the top.
    for (count, root) in roots.iter().enumerate() {
        // The coefficient above the highest one kept is the leading one.
        for index in degree - count - 1..degree {
            let above = if index + 1 < degree {
                leaf[index + 1]
            } else {
                Scalar::ONE
            };
            leaf[index] -= *root * above;
        }
    }
}

/// The monic polynomials of one level of the tree side by side, all of one degree `node`.
struct Level {
    /// Coefficients without the leading one.
    coefficients: Vec<Scalar>,
    /// Values on the domain `w_node`.
    values: Vec<Scalar>,
    scratch: Vec<Scalar>,
}

impl Level {
    /// Replaces each pair of neighbours by their product.
    ///
    /// The product is known from its values on `w_(2 node)`. At the even points these come from the values that the factors
    /// have already; at the odd points, where `x^node = -1`, they take one transform a factor. The values of the product are
    /// in turn what the next level needs at its even points.
    fn multiply_neighbours(&mut self, node: usize) -> Result<(), DomainError> {
        let powers = transform::coset_powers(node)?;
        let inverse_powers = transform::inverse_coset_powers(node)?;
        let half = transform::inverse_size(2);
        let pairs = self.coefficients.chunks_exact_mut(2 * node);
        let values = self.values.chunks_exact_mut(2 * node);
        for ((pair, values), scratch) in pairs.zip(values).zip(self.scratch.chunks_exact_mut(2 * node)) {
            for (factor, odd) in pair.chunks_exact_mut(node).zip(scratch.chunks_exact_mut(node)) {
                odd.copy_from_slice(factor);
                odd[0] -= Scalar::ONE;
                for (coefficient, power) in odd.iter_mut().zip(powers) {
                    *coefficient *= *power;
                }
                transform::forward(odd)?;
            }
            multiply_halves(values);
            multiply_halves(scratch);
            let (even, high) = pair.split_at_mut(node);
            let (odd, interleaved) = scratch.split_at_mut(node);
            even.copy_from_slice(&values[..node]);
            interleaved.copy_from_slice(even);
            for (index, value) in values.iter_mut().enumerate() {
                *value = if index % 2 == 0 {
                    interleaved[index / 2]
                } else {
                    odd[index / 2]
                };
            }
            // Coefficients of the product modulo x^node - 1 and modulo x^node + 1, where x^(2 node) is one.
            transform::inverse(even)?;
            transform::inverse(odd)?;
            for (((low, high), odd), power) in even.iter_mut().zip(high).zip(odd).zip(inverse_powers) {
                let odd = *odd * *power;
                *high = (*low - odd) * half;
                *low = (*low + odd) * half;
            }
            even[0] -= Scalar::ONE;
        }
        Ok(())
    }
}

/// Multiplies the first half of the values by the second.
fn multiply_halves(values: &mut [Scalar]) {
    let (first, second) = values.split_at_mut(values.len() / 2);
    for (first, second) in first.iter_mut().zip(second) {
        *first *= *second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_kzg::Polynomial;

    #[test]
    fn vanishes_at_its_roots_and_nowhere_else() {
        for count in [0_usize, 1, 2, 3, 63, 64, 65, 127, 128, 200, 1000] {
            let roots = (0..count)
                .map(|index| transform::domain_point(4096, 3 * index + 1).unwrap())
                .collect::<Vec<_>>();
            let coefficients = vanishing_polynomial(&roots).unwrap();
            assert_eq!(coefficients.len(), count + 1);
            let polynomial = Polynomial::from_coefficients(coefficients);
            let point = Scalar::from_u64(1_234_567);
            let expected = roots
                .iter()
                .fold(Scalar::ONE, |product, root| product * (point - *root));
            assert_eq!(polynomial.evaluate(point), expected, "{count} roots");
            if let Some(root) = roots.last() {
                assert_eq!(polynomial.evaluate(*root), Scalar::ZERO, "{count} roots");
            }
        }
    }
}
