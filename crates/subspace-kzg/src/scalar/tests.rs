use super::*;
use proptest::prelude::*;

/// Any scalar: 64 bytes of entropy are not needed, products of safe values reach the whole field.
pub(crate) fn any_scalar() -> impl Strategy<Value = Scalar> {
    any::<([[u8; 31]; 2], u64)>().prop_map(|([a, b], c)| {
        Scalar::from_safe_bytes(&a) * Scalar::from_safe_bytes(&b) + Scalar::from_u64(c)
    })
}

#[test]
fn constants_are_what_their_names_say() {
    let mut one = [0; 32];
    one[31] = 1;
    assert_eq!(Scalar::ONE.to_bytes(), one);
    assert_eq!(Scalar::ONE, Scalar::from_u64(1));
    assert_eq!(Scalar::ZERO.to_bytes(), [0; 32]);
    assert_eq!(Scalar::ZERO.inverse(), None);
    assert_eq!(Scalar::from_u64(3).pow(5), Scalar::from_u64(243));
    assert_eq!(Scalar::from_u64(3).pow(0), Scalar::ONE);
}

proptest! {
    #[test]
    fn bytes_round_trip(scalar in any_scalar()) {
        prop_assert_eq!(Scalar::try_from_bytes(&scalar.to_bytes()), Ok(scalar));
        let mut little_endian = scalar.to_little_endian();
        little_endian.reverse();
        prop_assert_eq!(little_endian, scalar.to_bytes());
    }

    #[test]
    fn field_rules_hold(a in any_scalar(), b in any_scalar(), c in any_scalar()) {
        prop_assert_eq!((a + b) * c, a * c + b * c);
        prop_assert_eq!(a - b, a + -b);
        prop_assert_eq!(a.square(), a * a);
        if let Some(inverse) = a.inverse() {
            prop_assert_eq!(a * inverse, Scalar::ONE);
        }
    }

    #[test]
    fn batch_inverse_equals_single_inversions(
        mut scalars in proptest::collection::vec(any_scalar(), 0..20),
        zero_at in any::<prop::sample::Index>(),
    ) {
        if !scalars.is_empty() {
            let index = zero_at.index(scalars.len());
            scalars[index] = Scalar::ZERO;
        }
        let mut inverted = scalars.clone();
        Scalar::batch_inverse(&mut inverted);
        for (scalar, inverse) in scalars.iter().zip(inverted) {
            prop_assert_eq!(scalar.inverse().unwrap_or_default(), inverse);
        }
    }
}
