//! Every operation of every vector type against the same on single words.

use super::*;

fn inputs() -> Vec<[u32; 16]> {
    let mut hasher = blake3::Hasher::new().finalize_xof();
    let mut bytes = [0; 64];
    (0..200)
        .map(|_| {
            hasher.fill(&mut bytes);
            let mut words = [0; 16];
            for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*chunk);
            }
            words
        })
        .collect()
}

/// Applies `operation` to `V` and compares with `expected` on every word.
fn check<V: Lanes>(
    token: V::Token,
    name: &str,
    operation: impl Fn(V, V) -> V,
    expected: impl Fn(u32, u32) -> u32,
    mask: u32,
) {
    let inputs = inputs();
    for pair in inputs.windows(2) {
        let left = pair[0].map(|word| word & mask);
        let mut output = [0; 16];
        operation(V::load(token, &left), V::load(token, &pair[1])).store(&mut output);
        for index in 0..V::COUNT {
            assert_eq!(
                output[index],
                expected(left[index], pair[1][index]),
                "{name} of {:#x}",
                left[index]
            );
        }
    }
}

fn check_all<V: Lanes>(token: V::Token) {
    let all = u32::MAX;
    check::<V>(token, "splat", |_, _| V::splat(token, 77), |_, _| 77, all);
    check::<V>(token, "add", V::add, u32::wrapping_add, all);
    check::<V>(token, "xor", V::xor, |a, b| a ^ b, all);
    check::<V>(token, "or", V::or, |a, b| a | b, all);
    check::<V>(token, "and", V::and, |a, b| a & b, all);
    check::<V>(
        token,
        "swap_bytes",
        |a, _| a.swap_bytes(),
        |a, _| a.swap_bytes(),
        all,
    );
    for distance in 1..32 {
        check::<V>(token, "shl", |a, _| a.shl(distance), |a, _| a << distance, all);
        check::<V>(token, "shr", |a, _| a.shr(distance), |a, _| a >> distance, all);
        check::<V>(
            token,
            "rotr",
            |a, _| a.rotr(distance),
            |a, _| a.rotate_right(distance),
            all,
        );
    }
    let y_mask = (1 << 26) - 1;
    check::<V>(
        token,
        "bucket",
        |a, _| a.bucket_and_remainder().0,
        |a, _| a / PARAM_BC,
        y_mask,
    );
    check::<V>(
        token,
        "remainder",
        |a, _| a.bucket_and_remainder().1,
        |a, _| a % PARAM_BC,
        y_mask,
    );
    // Only the borders of a bucket could be rounded wrongly.
    for y in (0..1_u32 << 26).step_by(PARAM_BC as usize) {
        for y in [y.saturating_sub(1), y] {
            let (mut bucket, mut remainder) = ([0; 16], [0; 16]);
            let lanes = V::splat(token, y).bucket_and_remainder();
            lanes.0.store(&mut bucket);
            lanes.1.store(&mut remainder);
            assert_eq!((bucket[0], remainder[0]), (y / PARAM_BC, y % PARAM_BC));
        }
    }
    let mut records = [0; RECORD_WORDS];
    for (index, record) in records.iter_mut().enumerate() {
        *record = (index as u32).wrapping_mul(0x9e37_79b9);
    }
    let lookup = |index: u32| records[index as usize % RECORD_WORDS];
    check::<V>(
        token,
        "gather",
        |a, _| a.gather(&records, 3),
        |a, _| lookup(a + 3),
        0x7fff_ffff,
    );
}

#[test]
fn portable_operations() {
    check_all::<u32>(());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx2_operations() {
    match Avx2::detect() {
        Some(token) => check_all::<Avx2Lanes>(token),
        None => autonomys_test_support::report_skipped("avx2_operations", "this processor has no AVX2"),
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_operations() {
    match Avx512::detect() {
        Some(token) => check_all::<Avx512Lanes>(token),
        None => {
            autonomys_test_support::report_skipped("avx512_operations", "this processor has no AVX-512 VBMI2")
        }
    }
}
