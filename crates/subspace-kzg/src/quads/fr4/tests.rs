use super::*;
use crate::Scalar;
use crate::msm::Avx2;
use crate::scalar::tests::any_scalar;
use autonomys_test_support::report_skipped;
use proptest::prelude::*;

/// Runs a test that needs the instructions.
macro_rules! with_instructions {
    ($name:literal, $test:expr) => {
        match Avx2::detect() {
            // SAFETY: the processor has the instructions.
            Some(_) => unsafe { $test },
            None => report_skipped($name, "the processor has no AVX2 and FMA"),
        }
    };
}

fn power_of_two(exponent: u64) -> Scalar {
    Scalar::from_u64(2).pow(exponent)
}

/// What limbs are modulo r.
fn value(limbs: &Limbs) -> Scalar {
    limbs.iter().rev().fold(Scalar::ZERO, |value, limb| {
        let magnitude = Scalar::from_u64(limb.abs() as u64);
        value * power_of_two(43) + if *limb < 0.0 { -magnitude } else { magnitude }
    })
}

fn lanes(numbers: &Fr4) -> [Limbs; 4] {
    // SAFETY: both types are 192 bytes of which every bit pattern is valid.
    let limbs = unsafe { mem::transmute::<Fr4, [[f64; 4]; LIMBS]>(*numbers) };
    std::array::from_fn(|lane| limbs.map(|lanes| lanes[lane]))
}

fn pack(numbers: &[Limbs; 4]) -> Fr4 {
    from_lanes(std::array::from_fn(|limb| numbers.map(|limbs| limbs[limb])))
}

/// Canonical words of a scalar, not in Montgomery form.
fn words(scalar: Scalar) -> [u64; 4] {
    let bytes = scalar.to_little_endian();
    std::array::from_fn(|word| {
        let bytes = bytes[8 * word..].first_chunk().unwrap();
        u64::from_le_bytes(*bytes)
    })
}

/// Limbs of data that are as large as they may be, of both signs, and the same for factors.
fn extremes() -> (Vec<Limbs>, Vec<Limbs>) {
    let of_size = |limb: f64, top: f64| {
        (0..1 << LIMBS).map(move |signs: usize| {
            std::array::from_fn(|index| {
                let size = if index == LIMBS - 1 { top } else { limb };
                if signs >> index & 1 == 1 { -size } else { size }
            })
        })
    };
    let top = MODULUS[LIMBS - 1];
    let data = of_size((1_u64 << 49) as f64, 99.0 * top);
    let factors = of_size(((1_u64 << 42) + (1 << 10)) as f64, (top / 2.0).floor());
    (data.collect(), factors.collect())
}

#[test]
fn constants_are_what_they_are_said_to_be() {
    assert_eq!(value(&MODULUS), Scalar::ZERO);
    assert_eq!(value(&INVERSE_1) * power_of_two(43), Scalar::ONE);
    assert_eq!(value(&INVERSE_3) * power_of_two(129), Scalar::ONE);
    for limbs in [MODULUS, INVERSE_1, INVERSE_3] {
        assert!(limbs.iter().all(|limb| limb.abs() <= (1_u64 << 42) as f64));
    }
    // Half of r at most.
    for limbs in [INVERSE_1, INVERSE_3] {
        assert_eq!(limbs_of(words(value(&limbs))), limbs);
    }
    let product = MODULUS[0] as i128 * NEGATIVE_INVERSE as i128;
    assert_eq!((product + 1) % (1 << 43), 0);
}

#[target_feature(enable = "avx2,fma")]
fn check_extremes() {
    let (data, factors) = extremes();
    for a in data.as_chunks().0 {
        let x = pack(a);
        for factor in &factors {
            let expected = a.map(|a| value(&a) * value(factor));
            let product = lanes(&product(&x, &splat(factor)));
            assert_eq!(
                product.map(|product| value(&product) * power_of_two(258)),
                expected
            );
            for limb in product.iter().flat_map(|limbs| &limbs[..LIMBS - 1]) {
                assert!(limb.abs() <= ((1_u64 << 42) + (1 << 10)) as f64, "{product:?}");
            }
        }
        let expected = a.map(|a| value(&a));
        assert_eq!(lanes(&reduce(&x)).map(|limbs| value(&limbs)), expected);
        assert_eq!(
            lanes(&canonical(&x)).map(|limbs| limbs.map(|limb| limb as u64)),
            expected.map(digits_of)
        );
    }
}

fn digits_of(scalar: Scalar) -> [u64; LIMBS] {
    let words = words(scalar);
    std::array::from_fn(|index| {
        let bits = (0..43).map(|bit| index * 43 + bit).filter(|bit| *bit < 256);
        bits.fold(0, |limb, bit| {
            limb | (words[bit / 64] >> (bit % 64) & 1) << (bit - index * 43)
        })
    })
}

#[test]
fn the_largest_limbs_are_multiplied_exactly() {
    with_instructions!("the_largest_limbs_are_multiplied_exactly", check_extremes());
}

#[target_feature(enable = "avx2,fma")]
fn check(a: Scalar, b: Scalar) {
    let (x, y) = (limbs_of(words(a)), limbs_of(words(b)));
    assert_eq!((value(&x), value(&y)), (a, b));
    let product = lanes(&product(&splat(&x), &splat(&y)))[3];
    assert_eq!(value(&product) * power_of_two(258), a * b);
    // Multiples of r more or less change nothing.
    for multiple in [-99.0, -1.0, -0.0, 1.0, 99.0] {
        let shifted = std::array::from_fn(|index| x[index] + multiple * MODULUS[index]);
        let canonical = lanes(&canonical(&splat(&shifted)))[1];
        assert_eq!(canonical.map(|limb| limb as u64), digits_of(a));
        assert_eq!(canonical_lanes(&splat(&canonical)), 0xf);
        let reduced = lanes(&reduce(&splat(&shifted)))[2];
        assert_eq!(value(&reduced), a);
        assert!(reduced[LIMBS - 1].abs() <= 0.51 * MODULUS[LIMBS - 1]);
    }
    let digits = digits_of(a).map(|limb| limb as f64);
    let more = std::array::from_fn(|index| digits[index] + MODULUS[index]);
    assert_eq!(canonical_lanes(&splat(&more)), 0);
}

#[test]
fn edges_are_multiplied_and_reduced() {
    let half = Scalar::from_u64(2).inverse().unwrap();
    let edges = [
        Scalar::ZERO,
        Scalar::ONE,
        -Scalar::ONE,
        half,
        -half,
        power_of_two(43),
        -power_of_two(128),
    ];
    for a in edges {
        for b in edges {
            with_instructions!("edges_are_multiplied_and_reduced", check(a, b));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arithmetic_is_that_of_the_library(a in any_scalar(), b in any_scalar()) {
        with_instructions!("arithmetic_is_that_of_the_library", check(a, b));
    }
}
