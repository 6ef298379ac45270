use super::*;
use crate::Scalar;
use crate::batch_affine::{INFINITY, negate, normalize};
use crate::msm::{avx2::Avx2, ifma::Ifma};
use autonomys_test_support::report_skipped;

/// `P, 2P, 3P ...`
fn multiples(count: usize) -> Vec<blst_p1_affine> {
    let first = G1Point::generator().multiplied(&Scalar::from_u64(0x1234_5678_9abc_def1));
    let mut points = vec![first; count];
    for index in 1..count {
        points[index] = points[index - 1];
        points[index].add_assign(&first);
    }
    normalize(&points)
}

fn expected(points: &[blst_p1_affine], entries: &[u32]) -> blst_p1_affine {
    let mut sum = G1Point::IDENTITY;
    for entry in entries {
        let mut point = points[(entry & !NEGATIVE) as usize];
        if entry & NEGATIVE != 0 {
            negate(&mut point);
        }
        sum.add_affine_assign(&point);
    }
    normalize(&[sum])[0]
}

fn check_with<I: Instructions>(instructions: I, points: &[blst_p1_affine], runs: &[Vec<u32>]) {
    let packed = points.iter().map(I::Packed::new).collect::<Vec<_>>();
    let mut starts = vec![0];
    for run in runs {
        starts.push(starts[starts.len() - 1] + run.len() as u32);
    }
    let sums = instructions.sum_runs(&packed, &runs.concat(), &starts);
    assert_eq!(sums.len(), runs.len());
    for (index, (sum, run)) in sums.iter().zip(runs).enumerate() {
        let expected = expected(points, run);
        assert_eq!(sum.to_affine(), expected, "run {index}: {run:?}");
        assert_eq!(sum.is_identity(), expected == INFINITY, "run {index}: {run:?}");
    }
}

/// Checks all sets of instructions that the processor has.
fn check(name: &str, points: &[blst_p1_affine], runs: &[Vec<u32>]) {
    match Avx2::detect() {
        Some(instructions) => check_with(instructions, points, runs),
        None => report_skipped(name, "the processor has no AVX2 and FMA"),
    }
    match Ifma::detect() {
        Some(instructions) => check_with(instructions, points, runs),
        None => report_skipped(name, "the processor has no AVX-512 IFMA"),
    }
}

#[test]
fn runs_of_all_lengths_are_summed() {
    const NAME: &str = "runs_of_all_lengths_are_summed";
    let points = multiples(2000);
    let mut state = 1_u32;
    let mut next = |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % limit
    };
    let longest = LONGEST_PART as usize;
    let mut lengths = vec![
        0,
        1,
        longest - 1,
        longest,
        longest + 1,
        2 * longest,
        2 * longest + 1,
        longest * longest + 5,
        0,
    ];
    // More runs than one batch takes, of mixed lengths.
    lengths.extend((0..BATCH_VECTORS * LANES + 13).map(|index| index % 6));
    let runs = lengths
        .iter()
        .map(|length| {
            (0..*length)
                .map(|_| next(points.len() as u32) | (next(2) * NEGATIVE))
                .collect()
        })
        .collect::<Vec<_>>();
    check(NAME, &points, &runs);
    check(NAME, &points, &[]);
}

#[test]
fn equal_and_opposite_points_and_identities_are_summed() {
    const NAME: &str = "equal_and_opposite_points_and_identities_are_summed";
    const N: u32 = NEGATIVE;
    let points = multiples(40);
    let mut runs = vec![
        // P + P; P - P; and on from there.
        vec![0, 0],
        vec![0, N],
        vec![0, N, 4],
        vec![3, 3 | N, 5, 5, 7 | N],
        vec![0, N, 0, N, 0, 0],
        // P + 2P = 3P, once equal and once opposite to the next.
        vec![0, 1, 2],
        vec![0, 1, 2 | N],
        vec![0, 1, 2 | N, 9, 9 | N],
        vec![N, 1 | N, 2, 30],
        vec![6, 2, 1],
        vec![8 | N, 3, 12, 2],
    ];
    // Parts that are the identity, the whole of it and some of it; and equal parts.
    let half = (0..LONGEST_PART / 2)
        .flat_map(|index| [index, index | N])
        .collect::<Vec<_>>();
    runs.push(half.repeat(3));
    runs.push([half.repeat(2), vec![1, 2]].concat());
    runs.push([vec![7; LONGEST_PART as usize], half, vec![7]].concat());
    runs.push(vec![11; 5 * LONGEST_PART as usize]);
    // The same in all lanes, and in lanes of different vectors.
    for index in 0..40 {
        runs.push(runs[index % 11].clone());
    }
    check(NAME, &points, &runs);
    assert_eq!(expected(&points, &[0, N]), INFINITY);
    assert_eq!(<Avx2 as Instructions>::Packed::IDENTITY.to_affine(), INFINITY);
    assert_eq!(<Ifma as Instructions>::Packed::IDENTITY.to_affine(), INFINITY);
}
