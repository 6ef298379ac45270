//! What sums of points need of a set of instructions.

use blst::{blst_fp, blst_p1_affine};

/// Numbers that are computed with at once.
pub(super) const LANES: usize = 8;

/// A point as it lies in tables.
pub(super) trait PackedPoint: Copy {
    const IDENTITY: Self;

    fn new(point: &blst_p1_affine) -> Self;

    fn to_affine(self) -> blst_p1_affine;

    fn is_identity(&self) -> bool;
}

/// Instructions that compute with eight numbers of the base field at once. A value is the proof that the processor has them.
///
/// Numbers need not be reduced. Each of these functions takes what the others give, and coordinates that are the sum of at most
/// [`LONGEST_PART`](super::sums::LONGEST_PART) points.
pub(super) trait Instructions: Copy {
    /// Eight numbers.
    type Numbers: Copy;

    /// A point in a table.
    type Packed: PackedPoint;

    /// Where eight points lie in a table.
    type Places: Copy;

    const ZERO: Self::Numbers;

    const ONE: Self::Numbers;

    /// Places of the points with the given indexes.
    fn places(indexes: &[u32; LANES]) -> Self::Places;

    /// First coordinates of the points at the places.
    fn gather_x(self, points: &[Self::Packed], places: &Self::Places) -> Self::Numbers;

    /// Second coordinates of the points at the places, those of the opposite points in the lanes of `negative`.
    fn gather_y(self, points: &[Self::Packed], places: &Self::Places, negative: u8) -> Self::Numbers;

    /// `a - b` for two coordinates.
    fn difference(self, a: &Self::Numbers, b: &Self::Numbers) -> Self::Numbers;

    /// `a * b`: each of them a product, an inverse, or one, and one of them perhaps a difference.
    fn times(self, a: &Self::Numbers, b: &Self::Numbers) -> Self::Numbers;

    /// Sums of points that differ in their first coordinates; `inverse` is that of `second.0 - first.0`.
    fn add(
        self,
        first: (&Self::Numbers, &Self::Numbers),
        second: (&Self::Numbers, &Self::Numbers),
        inverse: &Self::Numbers,
    ) -> (Self::Numbers, Self::Numbers);

    /// `b` in the lanes of `mask`, `a` in the others.
    fn select(self, mask: u8, a: &Self::Numbers, b: &Self::Numbers) -> Self::Numbers;

    /// The inverses, computed with one inversion; `None` when a number is zero.
    fn inverted(self, numbers: &Self::Numbers) -> Option<Self::Numbers>;

    /// All numbers, in the library's form.
    fn lanes(self, numbers: &Self::Numbers) -> [blst_fp; LANES];

    /// Replaces the number in one lane by one in the library's form.
    fn set_lane(self, numbers: &mut Self::Numbers, lane: usize, number: &blst_fp);

    /// Points as they lie in tables; those in the lanes of `identity` are the identity whatever their coordinates.
    fn pack(self, x: &Self::Numbers, y: &Self::Numbers, identity: u8) -> [Self::Packed; LANES];

    /// [`sums::sum_runs`](super::sums::sum_runs), compiled for these instructions.
    fn sum_runs(self, points: &[Self::Packed], entries: &[u32], starts: &[u32]) -> Vec<Self::Packed>;
}
