use super::*;
use crate::batch_affine::{ONE, ZERO, inverse, mul};
use crate::msm::ifma::Ifma;
use autonomys_test_support::report_skipped;
use blst::{blst_fp_cneg, blst_fp_sub};
use proptest::prelude::*;

/// Runs a test that needs the instructions.
macro_rules! with_instructions {
    ($name:literal, $test:expr) => {
        match Ifma::detect() {
            // SAFETY: the processor has the instructions.
            Some(_) => unsafe { $test },
            None => report_skipped($name, "the processor has no AVX-512 IFMA"),
        }
    };
}

fn subtract(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_sub(&mut result, a, b) };
    result
}

fn negate(a: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_cneg(&mut result, a, true) };
    result
}

/// Canonical in the form of the library, whatever number that is.
fn raw(words: [u64; 6]) -> blst_fp {
    let mut words = words;
    words[5] %= MODULUS[5];
    blst_fp { l: words }
}

fn p_minus(small: u64) -> blst_fp {
    let mut words = MODULUS;
    words[0] -= small;
    blst_fp { l: words }
}

/// Values at the edges of words, limbs and the field, in both forms, and others.
fn numbers() -> Vec<blst_fp> {
    let mut numbers = vec![ZERO, ONE, negate(&ONE), RADIX, INVERSE_SHIFT, DOUBLE_SHIFT];
    numbers.extend([1, 2, 0xb9fe].map(p_minus));
    numbers.extend([1, LIMB_MASK, u64::MAX].map(|low| raw([low, 0, 0, 0, 0, 0])));
    numbers.extend([raw([u64::MAX; 6]), raw([0, 0, 0, 0, 0, MODULUS[5] - 1])]);
    // The same numbers as limbs of the form here.
    let limbs = numbers
        .iter()
        .map(|number| from_words(number.l))
        .collect::<Vec<_>>();
    numbers.extend(limbs);
    let mut random = raw([0x0123_4567_89ab_cdef; 6]);
    while numbers.len() % LANES != 0 {
        random = subtract(&mul(&random, &random), &ONE);
        numbers.push(random);
    }
    numbers
}

fn pack(numbers: &[blst_fp; LANES]) -> Fp8 {
    let mut packed = Fp8::ZERO;
    for (lane, number) in numbers.iter().enumerate() {
        packed.set_lane(lane, number);
    }
    packed
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn check(a: &[blst_fp; LANES], b: &[blst_fp; LANES]) {
    let of_both = |function: fn(&blst_fp, &blst_fp) -> blst_fp| -> [blst_fp; LANES] {
        std::array::from_fn(|lane| function(&a[lane], &b[lane]))
    };
    let (x, y) = (pack(a), pack(b));
    assert_eq!(x.lanes(), *a);
    assert_eq!(Fp8::from_words(&x.to_words()).lanes(), *a);
    assert_eq!(x.times(&y).lanes(), of_both(mul));
    assert_eq!(x.squared().lanes(), a.map(|a| mul(&a, &a)));
    assert_eq!(x.minus(&y).lanes(), of_both(subtract));
    assert_eq!(x.minus_carried_64(&y).lanes(), of_both(subtract));
    assert_eq!(x.minus_carried_128(&y).lanes(), of_both(subtract));
    let mixed = std::array::from_fn(|lane| if lane % 3 == 0 { negate(&a[lane]) } else { a[lane] });
    assert_eq!(x.negated_where(0b0100_1001).lanes(), mixed);
    let mixed = std::array::from_fn(|lane| if lane % 3 == 0 { b[lane] } else { a[lane] });
    assert_eq!(Fp8::select(0b0100_1001, &x, &y).lanes(), mixed);
    match x.inverted() {
        Some(inverted) => {
            assert!(!a.contains(&ZERO));
            assert_eq!(inverted.lanes(), a.map(|a| inverse(&a)));
        }
        None => assert!(a.contains(&ZERO)),
    }

    // Numbers that are not reduced, from above -64 p to the largest factors.
    for bits in 0..=7 {
        let larger = x.plus_constant(&p_shifted(bits)).carried();
        assert_eq!(larger.times(&larger).lanes(), a.map(|a| mul(&a, &a)));
        assert_eq!(larger.times(&y).lanes(), of_both(mul));
        assert_eq!(y.times(&larger).lanes(), of_both(mul));
        assert_eq!(larger.inverted().is_some(), !a.contains(&ZERO));
        if bits < 6 {
            let smaller = Fp8::ZERO.minus(&larger);
            assert_eq!(smaller.lanes(), a.map(|a| negate(&a)));
            assert_eq!(
                y.minus_carried_128(&smaller).times(&x).lanes(),
                std::array::from_fn(|lane| mul(&subtract(&b[lane], &negate(&a[lane])), &a[lane]))
            );
        }
    }
    // As many differences as one lane of a sum ever makes, without carries in between.
    let (mut difference, mut expected) = (x, *a);
    for _ in 0..31 {
        difference = difference.minus(&y);
        expected = std::array::from_fn(|lane| subtract(&expected[lane], &b[lane]));
    }
    assert_eq!(difference.lanes(), expected);
    let carried = difference.minus_carried_64(&y.negated_where(u8::MAX)).times(&y);
    assert_eq!(
        carried.lanes(),
        std::array::from_fn(|lane| mul(&subtract(&expected[lane], &negate(&b[lane])), &b[lane]))
    );
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn check_edges() {
    let numbers = numbers();
    for a in numbers.as_chunks().0 {
        let mut b = numbers.clone();
        for _ in 0..b.len() {
            b.rotate_left(1);
            check(a, &b.as_chunks().0[0]);
        }
    }
}

#[test]
fn arithmetic_of_edges_is_that_of_the_library() {
    with_instructions!("arithmetic_of_edges_is_that_of_the_library", check_edges());
}

#[test]
fn limbs_are_bits_of_words() {
    let limbs = to_limbs(&MODULUS);
    for bit in 0..384 {
        assert_eq!(
            limbs[bit / 52] >> (bit % 52) & 1,
            MODULUS[bit / 64] >> (bit % 64) & 1
        );
    }
    assert!(limbs.iter().all(|limb| *limb <= LIMB_MASK));
    assert_eq!(P[0].wrapping_mul(NEGATIVE_INVERSE) & LIMB_MASK, LIMB_MASK);
    assert_eq!(from_words(RADIX.l), ONE);
    assert_eq!(to_words(&ONE), RADIX.l);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arithmetic_is_that_of_the_library(a in any::<[[u64; 6]; LANES]>(), b in any::<[[u64; 6]; LANES]>()) {
        with_instructions!("arithmetic_is_that_of_the_library", check(&a.map(raw), &b.map(raw)));
    }
}
