use super::*;
use crate::batch_affine::{ONE, ZERO, inverse, mul};
use crate::msm::avx2::Avx2;
use autonomys_test_support::report_skipped;
use blst::{blst_fp_add, blst_fp_cneg, blst_fp_sub};
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

fn add(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_add(&mut result, a, b) };
    result
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
    words[5] %= p_word(1, 5);
    blst_fp { l: words }
}

fn p_minus(small: u64) -> blst_fp {
    let mut words = std::array::from_fn(|index| p_word(1, index));
    words[0] -= small;
    blst_fp { l: words }
}

/// `p / 2`, and a little more or less.
fn halves() -> [blst_fp; 3] {
    let half = blst_fp {
        l: std::array::from_fn(|index| {
            let above = if index < 5 { p_word(1, index + 1) << 63 } else { 0 };
            p_word(1, index) >> 1 | above
        }),
    };
    let mut one = ZERO;
    one.l[0] = 1;
    [subtract(&half, &one), half, add(&half, &one)]
}

/// A number of which every limb is the largest that there is in one direction, then in the other.
fn largest_limbs() -> impl Iterator<Item = blst_fp> {
    let digits = [0x7fff_ffff_ffff_i64, -0x8000_0000_0000, 0x7fff_ffff_fffe];
    digits.into_iter().flat_map(|digit| {
        [0, 1, 2].map(|pattern| {
            let mut limbs = [0.0; LIMBS];
            for (index, limb) in limbs.iter_mut().enumerate() {
                *limb = match (index, pattern) {
                    (7, 2) => -13_000_000_000_000.0,
                    (7, _) => 13_000_000_000_000.0,
                    (_, 1) if index % 2 == 1 => -(digit as f64) - 1.0,
                    _ => digit as f64,
                };
            }
            from_limbs(&limbs)
        })
    })
}

/// Values at the edges of words, limbs and the field, and others.
fn numbers() -> Vec<blst_fp> {
    let mut numbers = vec![ZERO, ONE, negate(&ONE)];
    numbers.extend([1, 2, 0xb9fe].map(p_minus));
    numbers.extend([1, LIMB_MASK as u64, u64::MAX].map(|low| raw([low, 0, 0, 0, 0, 0])));
    numbers.extend([raw([u64::MAX; 6]), raw([0, 0, 0, 0, 0, p_word(1, 5) - 1])]);
    numbers.extend(halves());
    numbers.extend(largest_limbs());
    let mut random = raw([0x0123_4567_89ab_cdef; 6]);
    while numbers.len() % LANES != 0 {
        random = subtract(&mul(&random, &random), &ONE);
        numbers.push(random);
    }
    numbers
}

fn pack(numbers: &[blst_fp; LANES]) -> Fp8 {
    Fp8::from_lanes(&numbers.map(|number| to_limbs(&number)))
}

/// What the numbers are, which must be carried and below `p` times 64ths.
fn lanes(numbers: &Fp8, most_64ths: i64) -> [blst_fp; LANES] {
    numbers.to_lanes().map(|limbs| {
        let most = ((1_i64 << 47) + (1 << 5)) as f64;
        assert!(limbs.iter().all(|limb| limb.abs() <= most), "{limbs:?}");
        assert!(
            limbs[LIMBS - 1].abs() <= (P[LIMBS - 1] * most_64ths / 64) as f64,
            "{limbs:?}"
        );
        from_limbs(&limbs)
    })
}

/// 0.51 and 1.45 of it.
const COORDINATE: i64 = 33;
const PRODUCT: i64 = 93;

#[target_feature(enable = "avx2,fma")]
fn check(a: &[blst_fp; LANES], b: &[blst_fp; LANES]) {
    let of_both = |function: fn(&blst_fp, &blst_fp) -> blst_fp| -> [blst_fp; LANES] {
        std::array::from_fn(|lane| function(&a[lane], &b[lane]))
    };
    let (x, y) = (pack(a), pack(b));
    assert_eq!(lanes(&x, COORDINATE), *a);
    let difference = x.minus(&y);
    assert_eq!(
        difference.to_lanes().map(|limbs| from_limbs(&limbs)),
        of_both(subtract)
    );
    let product = x.times(&y);
    assert_eq!(lanes(&product, PRODUCT), of_both(mul));
    let square = x.times_uncarried(&x).reduced();
    assert_eq!(lanes(&square, COORDINATE), a.map(|a| mul(&a, &a)));

    // The largest factors that there are, on either side.
    let expected: [_; LANES] =
        std::array::from_fn(|lane| mul(&mul(&a[lane], &b[lane]), &subtract(&a[lane], &b[lane])));
    assert_eq!(lanes(&product.times(&difference), PRODUCT), expected);
    assert_eq!(lanes(&difference.times(&product), PRODUCT), expected);
    let opposite = pack(&a.map(|a| negate(&a))).minus(&x);
    let expected: [_; LANES] = std::array::from_fn(|lane| {
        let square = mul(&a[lane], &a[lane]);
        negate(&add(&square, &square))
    });
    assert_eq!(lanes(&x.times(&opposite), PRODUCT), expected);
    assert_eq!(lanes(&opposite.times(&x), PRODUCT), expected);
    // A sum as additions of points have it.
    let expected: [_; LANES] = std::array::from_fn(|lane| {
        let square = mul(&mul(&a[lane], &b[lane]), &mul(&a[lane], &b[lane]));
        subtract(&subtract(&square, &a[lane]), &b[lane])
    });
    let sum = product.times_uncarried(&product).minus(&x).minus(&y).reduced();
    assert_eq!(lanes(&sum, COORDINATE), expected);

    let mixed = std::array::from_fn(|lane| if lane % 3 == 0 { negate(&a[lane]) } else { a[lane] });
    assert_eq!(lanes(&x.negated_where(0b0100_1001), COORDINATE), mixed);
    let mixed = std::array::from_fn(|lane| if lane % 3 == 0 { b[lane] } else { a[lane] });
    assert_eq!(lanes(&Fp8::select(0b0100_1001, &x, &y), COORDINATE), mixed);
    for numbers in [x, product, difference] {
        let expected = numbers.to_lanes().map(|limbs| from_limbs(&limbs));
        match numbers.inverted() {
            Some(inverted) => assert_eq!(lanes(&inverted, COORDINATE), expected.map(|a| inverse(&a))),
            None => assert!(expected.contains(&ZERO)),
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn check_edges() {
    let numbers = numbers();
    for a in numbers.as_chunks().0 {
        let mut b = numbers.clone();
        for _ in 0..b.len() {
            b.rotate_left(1);
            check(a, &b.as_chunks().0[0]);
        }
    }
    assert_eq!(Fp8::ONE.to_lanes().map(|limbs| from_limbs(&limbs)), [ONE; LANES]);
    assert_eq!(
        Fp8::ONE.inverted().map(|inverted| lanes(&inverted, COORDINATE)),
        Some([ONE; LANES])
    );
    assert!(Fp8::ZERO.inverted().is_none());
}

#[test]
fn arithmetic_of_edges_is_that_of_the_library() {
    with_instructions!("arithmetic_of_edges_is_that_of_the_library", check_edges());
}

#[test]
fn numbers_that_are_not_reduced_come_back_canonical() {
    for number in numbers() {
        for multiple in -3..=3_i64 {
            let mut limbs = to_limbs(&number);
            for (limb, p) in limbs.iter_mut().zip(P) {
                *limb += (p * multiple) as f64;
            }
            assert_eq!(from_limbs(&limbs), number, "{multiple}");
        }
    }
}

/// Limbs of the largest size that columns, carries and reduction have to bear.
#[target_feature(enable = "avx2,fma")]
fn check_largest_limbs() {
    for (a, b) in [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
        let most = (1_u64 << 47) as f64 + 32.0;
        let top = P[LIMBS - 1] as f64;
        let mut carried = [a * most; LIMBS];
        carried[LIMBS - 1] = a * top * 1.45;
        let mut difference = [b * 2.0 * most; LIMBS];
        difference[LIMBS - 1] = b * (top * 1.02).round();
        carried[LIMBS - 1] = carried[LIMBS - 1].round();
        let (x, y) = (
            Fp8::from_lanes(&[carried; LANES]),
            Fp8::from_lanes(&[difference; LANES]),
        );
        let expected = mul(&from_limbs(&carried), &from_limbs(&difference));
        for product in [x.times(&y), y.times(&x)] {
            assert_eq!(lanes(&product, PRODUCT), [expected; LANES]);
        }
        let uncarried = x.times_uncarried(&y).to_lanes()[0];
        assert!(uncarried.iter().all(|limb| limb.abs() < (1_u64 << 52) as f64));
    }
}

#[test]
fn the_largest_limbs_are_multiplied_exactly() {
    with_instructions!("the_largest_limbs_are_multiplied_exactly", check_largest_limbs());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arithmetic_is_that_of_the_library(a in any::<[[u64; 6]; LANES]>(), b in any::<[[u64; 6]; LANES]>()) {
        with_instructions!("arithmetic_is_that_of_the_library", check(&a.map(raw), &b.map(raw)));
    }
}
