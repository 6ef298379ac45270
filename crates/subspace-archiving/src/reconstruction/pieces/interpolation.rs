//! The commitment of one position of the 256 as a linear combination of 128 known ones.

use subspace_core_primitives::pieces::Piece;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, NUM_RAW_RECORDS};
use subspace_kzg::{Scalar, transform};

/// Lagrange interpolation from the first 128 present positions: the commitments of a segment are the values of a
/// polynomial with 128 coefficients (points of the group) on the domain of 256, as its columns are.
pub(super) struct Interpolation {
    points: Vec<Scalar>,
    /// `1 / Π (x_k - x_j)` over all `j` other than `k`.
    weights: Vec<Scalar>,
}

impl Interpolation {
    /// From the first 128 of the present pieces, of which there must be as many.
    pub(super) fn of_present(pieces: &[Option<Piece>]) -> Self {
        let present = (0..pieces.len()).filter(|position| pieces[*position].is_some());
        Self::new(present.take(NUM_RAW_RECORDS))
    }

    fn new(known: impl Iterator<Item = usize>) -> Self {
        let points: Vec<_> = known.map(point).collect();
        let mut weights: Vec<_> = points
            .iter()
            .map(|x| product_of_differences(*x, &points))
            .collect();
        Scalar::batch_inverse(&mut weights);
        Self { points, weights }
    }

    /// Coefficient of each known position; `position` must not be one of them.
    pub(super) fn coefficients(&self, position: usize) -> Vec<Scalar> {
        let x = point(position);
        let product = product_of_differences(x, &self.points);
        let mut coefficients: Vec<_> = self.points.iter().map(|known| x - *known).collect();
        Scalar::batch_inverse(&mut coefficients);
        for (coefficient, weight) in coefficients.iter_mut().zip(&self.weights) {
            *coefficient *= product * *weight;
        }
        coefficients
    }
}

fn point(position: usize) -> Scalar {
    transform::domain_point(NUM_PIECES_IN_SEGMENT, position).expect("the domain of 256 exists")
}

/// `Π (x - x_j)` over all points other than `x`.
fn product_of_differences(x: Scalar, points: &[Scalar]) -> Scalar {
    points
        .iter()
        .filter(|other| **other != x)
        .fold(Scalar::ONE, |product, other| product * (x - *other))
}
