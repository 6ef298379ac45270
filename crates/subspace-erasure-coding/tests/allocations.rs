//! Extending in place allocates nothing; recovering takes a fixed number of blocks.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

use autonomys_test_support::allocations::{Allocations, CountingAllocator, count};
use std::num::NonZeroUsize;
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::Scalar;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const NUM_CHUNKS: usize = 32_768;
/// Bytes of a record's scalars.
const RECORD: u64 = NUM_CHUNKS as u64 * 32;

#[test]
fn extending_and_recovering() {
    let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap();
    let source: Vec<_> = (0..NUM_CHUNKS as u64)
        .map(|number| Scalar::from_u64(number).square())
        .collect();
    // The first one makes the twiddle factors.
    let parity = erasure_coding.extend(&source).unwrap();

    let mut scratch = source.clone();
    let ((), in_place) = count(|| erasure_coding.extend_in_place(&mut scratch).unwrap());
    assert_eq!(in_place, Allocations::default());
    assert_eq!(scratch, parity);
    let ((), back) = count(|| erasure_coding.source_from_parity_in_place(&mut scratch).unwrap());
    assert_eq!(back, Allocations::default());
    assert_eq!(scratch, source);

    let (_, extended) = count(|| erasure_coding.extend(&source).unwrap());
    assert_eq!(
        extended,
        Allocations {
            calls: 1,
            bytes: RECORD
        }
    );

    let half_missing: Vec<_> = source
        .iter()
        .zip(&parity)
        .flat_map(|(source, parity)| [*source, *parity])
        .enumerate()
        .map(|(position, value)| ((position * 7919 + 13) % (2 * NUM_CHUNKS) < NUM_CHUNKS).then_some(value))
        .collect();
    let polynomial = erasure_coding.recover_poly(&half_missing).unwrap();
    let (again, recovered) = count(|| erasure_coding.recover_poly(&half_missing).unwrap());
    assert_eq!(again.coefficients(), polynomial.coefficients());
    // A few arrays as large as the extended record, and no blocks for single chunks.
    assert!(recovered.calls <= 128, "{recovered:?}");
    assert!(recovered.bytes <= 24 * RECORD, "{recovered:?}");
}
