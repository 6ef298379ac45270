use super::*;
use crate::batch_affine::ONE;
use crate::scalar::tests::any_scalar;
use crate::{Polynomial, ReferenceString};
use blst::{
    blst_final_exp, blst_fp_add, blst_fp12_is_one, blst_fp12_mul, blst_miller_loop, blst_p1_mult, blst_p2,
    blst_p2_add_or_double, blst_p2_cneg, blst_p2_from_affine, blst_p2_mult, blst_p2_to_affine,
};
use proptest::prelude::*;
use std::sync::LazyLock;

static KZG: LazyLock<Kzg> = LazyLock::new(|| {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    Kzg::new(ReferenceString::insecure_development(&pool))
});

/// `r`, little-endian.
const ORDER: [u8; 32] = [
    0x01, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53, 0x05,
    0xd8, 0xa1, 0x09, 0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

/// The points of the curve with the smallest first coordinates; those beyond the first have parts of any order.
fn curve_points() -> Vec<Witness> {
    let decode = |x: u8| {
        let mut bytes = [0; 48];
        (bytes[0], bytes[47]) = (0x80, x);
        Witness::try_from_bytes(&bytes).ok()
    };
    (0..40).filter_map(decode).collect()
}

/// Points whose order divides the cofactor, among them one of order three.
fn cofactor_points() -> Vec<G1Point> {
    let points = curve_points();
    // (0, 2) is of order three. The library does not decode it, but sums with it.
    let mut order_three = blst_p1_affine::default();
    // SAFETY: all pointers are to live field elements.
    unsafe { blst_fp_add(&mut order_three.y, &ONE, &ONE) };
    let order_three = G1Point::from_affine(&order_three);
    assert_eq!(order_three.doubled(), order_three.negated());
    let times_order = |witness: &Witness| {
        let point = G1Point::from_affine(&witness.0);
        let mut result = G1Point::IDENTITY;
        // More than 255 bits keep the library from its shortcut for the subgroup.
        let mut scalar = [0; 33];
        scalar[..32].copy_from_slice(&ORDER);
        // SAFETY: the scalar has the 33 bytes of 264 bits; the pointers are to live points.
        unsafe { blst_p1_mult(&mut result.0, &point.0, scalar.as_ptr(), 264) };
        result
    };
    let mut points: Vec<_> = points
        .iter()
        .map(times_order)
        .filter(|point| !point.is_identity())
        .collect();
    points.extend([order_three, order_three.negated()]);
    points
}

/// The equation as the network computes it: `e(C - [y]G1, G2) = e(W, [s]G2 - [z]G2)`.
fn verify_plainly(commitment: &Commitment, point: &Scalar, value: &Scalar, witness: &Witness) -> bool {
    let g2_powers = KZG.reference_string().g2_powers();
    let mut right = blst_p2_affine::default();
    let scalar = point.to_little_endian();
    // SAFETY: the scalar has 32 readable bytes for 255 bits; all other pointers are to live points.
    unsafe {
        let (mut generator, mut secret) = (blst_p2::default(), blst_p2::default());
        blst_p2_from_affine(&mut generator, &g2_powers[0]);
        blst_p2_from_affine(&mut secret, &g2_powers[1]);
        let mut shift = blst_p2::default();
        blst_p2_mult(&mut shift, &generator, scalar.as_ptr(), 255);
        blst_p2_cneg(&mut shift, true);
        let mut sum = blst_p2::default();
        blst_p2_add_or_double(&mut sum, &shift, &secret);
        blst_p2_to_affine(&mut right, &sum);
    }
    let mut left = G1Point::generator().multiplied(value);
    left.sub_assign(&G1Point::from_affine(&commitment.0));
    // SAFETY: all pointers are to live values.
    unsafe {
        let mut product = *blst_fp12_one();
        for (g1, g2) in [(normalize(&[left])[0], g2_powers[0]), (witness.0, right)] {
            if !is_infinity(&g1) {
                let (mut factor, mut both) = (blst_fp12::default(), blst_fp12::default());
                blst_miller_loop(&mut factor, &g2, &g1);
                blst_fp12_mul(&mut both, &product, &factor);
                product = both;
            }
        }
        let mut result = blst_fp12::default();
        blst_final_exp(&mut result, &product);
        blst_fp12_is_one(&result)
    }
}

fn opening(values: &[Scalar], index: u32) -> Opening {
    let polynomial = Polynomial::interpolate(values).unwrap();
    Opening {
        commitment: KZG.commit(&polynomial).unwrap(),
        num_values: values.len(),
        index,
        value: values[index as usize],
        witness: KZG.create_witness(&polynomial, values.len(), index).unwrap(),
    }
}

fn verify(opening: &Opening) -> bool {
    let Opening {
        commitment,
        num_values,
        index,
        value,
        witness,
    } = opening;
    let valid = KZG.verify(commitment, *num_values, *index, value, witness);
    let point = point_of_index(*num_values, *index).unwrap();
    assert_eq!(valid, verify_plainly(commitment, &point, value, witness));
    valid
}

#[test]
fn parts_outside_the_subgroup_change_nothing() {
    let constant = opening(&[Scalar::from_u64(9); 4], 3);
    let zero = opening(&[Scalar::ZERO; 2], 1);
    let other = opening(&[3, 1, 4, 1, 5, 9, 2, 6].map(Scalar::from_u64), 5);
    assert!(constant.witness == Witness::IDENTITY && zero.commitment == Commitment::IDENTITY);
    let parts = cofactor_points();
    assert!(parts.len() > 10);
    for sound in [constant, zero, other] {
        for part in &parts {
            let (mut commitment, mut witness) = (
                G1Point::from_affine(&sound.commitment.0),
                G1Point::from_affine(&sound.witness.0),
            );
            commitment.add_assign(part);
            witness.add_assign(part);
            let (commitment, witness) = (Commitment::from(commitment), Witness::from(witness));
            assert!(!witness.is_in_subgroup());
            for altered in [Opening { commitment, ..sound }, Opening { witness, ..sound }] {
                let wrong = Opening {
                    value: altered.value + Scalar::ONE,
                    ..altered
                };
                assert!(verify(&altered) && !verify(&wrong));
                assert!(KZG.verify_all(&[altered, other, altered]));
                assert!(!KZG.verify_all(&[other, wrong]) && !KZG.verify_all(&[wrong, other]));
            }
        }
    }
}

#[test]
fn any_point_of_the_curve_is_judged_as_on_the_network() {
    let sound = opening(&[7, 8].map(Scalar::from_u64), 1);
    for witness in curve_points() {
        let commitment = Commitment(witness.0);
        assert!(!verify(&Opening { witness, ..sound }));
        assert!(!verify(&Opening { commitment, ..sound }));
    }
    assert!(KZG.verify_all(&[]) && KZG.verify_all(&[sound]));
    assert!(!KZG.verify_all(&[sound, Opening { index: 2, ..sound }]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn multiples_of_the_generator(scalar in any_scalar()) {
        let expected = G1Point::generator().multiplied(&scalar);
        prop_assert_eq!(KZG.pairings().generator_times(&scalar), expected);
    }

    #[test]
    fn openings_are_judged_together_as_alone(
        values in proptest::collection::vec(any_scalar(), 8),
        wrong in 0..8_u32,
    ) {
        let mut openings: Vec<_> = (0..4).map(|index| opening(&values, index)).collect();
        prop_assert!(openings.iter().all(verify) && KZG.verify_all(&openings));
        if let Some(opening) = openings.get_mut(wrong as usize) {
            opening.value += Scalar::ONE;
            prop_assert!(!verify(opening) && !KZG.verify_all(&openings));
        }
    }
}
