use super::super::field::{from_limbs, to_limbs};
use super::*;
use crate::batch_affine::{ONE, mul};
use blst::blst_fp;

fn power_of_two(exponent: u32) -> blst_fp {
    let mut two = ONE;
    // SAFETY: the pointers are to live field elements, and the function allows its output to be its input.
    unsafe { blst::blst_fp_add(&mut two, &ONE, &ONE) };
    (0..exponent).fold(ONE, |power, _| mul(&power, &two))
}

#[test]
fn constants_are_what_they_are_said_to_be() {
    // In Montgomery form for 2^384 a residue `n` stands for `n / 2^384`.
    let radix = power_of_two(384);
    for (limbs, exponent) in [(INVERSE_1, 48), (INVERSE_2, 96), (INVERSE_4, 192)] {
        let number = from_limbs(&limbs.map(|limb| limb as f64));
        assert_eq!(mul(&mul(&number, &radix), &power_of_two(exponent)), ONE);
        // Half of p at most, in digits of 48 bits: what the bounds rest on.
        assert_eq!(to_limbs(&number), limbs.map(|limb| limb as f64));
        assert!(limbs.iter().all(|limb| limb.abs() <= 1 << 47));
    }
    assert_eq!(from_limbs(&P.map(|limb| limb as f64)).l, [0; 6]);
    assert!(P.iter().all(|limb| limb.abs() <= 1 << 47) && P[0].abs() < 1 << 15);
    assert_eq!((P[0] * NEGATIVE_INVERSE as i64 + 1) % (1 << 48), 0);
}
