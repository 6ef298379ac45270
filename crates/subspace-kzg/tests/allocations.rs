//! Transforms work in place; commitments take a fixed number of blocks.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

use autonomys_test_support::allocations::{Allocations, CountingAllocator, count};
use subspace_kzg::{Kzg, Polynomial, ReferenceString, Scalar, transform};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const NUM_CHUNKS: usize = 32_768;

fn values() -> Vec<Scalar> {
    (0..NUM_CHUNKS as u64)
        .map(|number| Scalar::from_u64(number).square())
        .collect()
}

#[test]
fn transforms_allocate_nothing() {
    let original = values();
    let mut scratch = original.clone();
    // The first ones make the twiddle factors.
    transform::forward(&mut scratch).unwrap();
    transform::inverse(&mut scratch).unwrap();
    assert_eq!(
        count(|| transform::forward(&mut scratch).unwrap()).1,
        Allocations::default()
    );
    assert_eq!(
        count(|| transform::inverse(&mut scratch).unwrap()).1,
        Allocations::default()
    );
    assert_eq!(scratch, original);
}

#[test]
fn commitments_and_witnesses_take_few_blocks() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool)).with_precomputation(&pool);
    let polynomial = Polynomial::interpolate(&values()).unwrap();
    let commitment = kzg.commit(&polynomial).unwrap();
    let (again, committed) = count(|| kzg.commit(&polynomial).unwrap());
    assert_eq!(again, commitment);
    // As many for a record as for any other polynomial of its size, and none for each chunk.
    assert!(committed.calls <= 128, "{committed:?}");
    assert!(committed.bytes <= 16 << 20, "{committed:?}");
    let (_, witnessed) = count(|| kzg.create_witness(&polynomial, 2 * NUM_CHUNKS, 5).unwrap());
    assert!(witnessed.calls <= 130, "{witnessed:?}");
    assert!(witnessed.bytes <= 17 << 20, "{witnessed:?}");
}

#[test]
fn verification_allocates_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool));
    let values = &values()[..256];
    let polynomial = Polynomial::interpolate(values).unwrap();
    let commitment = kzg.commit(&polynomial).unwrap();
    let witness = kzg.create_witness(&polynomial, 256, 7).unwrap();
    let verify = || kzg.verify(&commitment, 256, 7, &values[7], &witness);
    assert!(verify());
    assert_eq!(count(verify), (true, Allocations::default()));
}
