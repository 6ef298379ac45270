use super::*;
use proptest::prelude::*;
use std::num::NonZeroUsize;
use subspace_kzg::Arithmetic;

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn erasure_coding() -> ErasureCoding {
    ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap()
}

/// `records` records of `chunks` chunks.
fn records(records: usize, chunks: usize, seed: u64) -> Vec<Vec<Chunk>> {
    let mut scalar = Scalar::from_u64(seed | 1);
    (0..records)
        .map(|_| {
            (0..chunks)
                .map(|_| {
                    scalar = scalar.square() + Scalar::from_u64(11);
                    scalar.to_bytes()
                })
                .collect()
        })
        .collect()
}

/// Interleaved source and parity records, extended column by column with the single-codeword functions.
fn extend_naively(source: &[Vec<Chunk>]) -> Vec<Vec<Chunk>> {
    let chunks = source[0].len();
    let mut all = vec![vec![[0; 32]; chunks]; 2 * source.len()];
    for column in 0..chunks {
        let values = source
            .iter()
            .map(|record| Scalar::try_from_bytes(&record[column]).unwrap())
            .collect::<Vec<_>>();
        let portable = erasure_coding().with_arithmetic(Arithmetic::PORTABLE);
        let parity = portable.extend(&values).unwrap();
        for (index, (source, parity)) in values.iter().zip(parity).enumerate() {
            all[2 * index][column] = source.to_bytes();
            all[2 * index + 1][column] = parity.to_bytes();
        }
    }
    all
}

fn recover(
    arithmetic: Arithmetic,
    all: &[Vec<Chunk>],
    present: &[bool],
    wanted: &[usize],
) -> Vec<Vec<Chunk>> {
    let erasure_coding = erasure_coding().with_arithmetic(arithmetic);
    let recovery = ColumnRecovery::new(&erasure_coding, present).unwrap();
    let records = all
        .iter()
        .zip(present)
        .map(|(record, present)| present.then_some(record.as_slice()))
        .collect::<Vec<_>>();
    let mut outputs = vec![vec![[0; 32]; all[0].len()]; wanted.len()];
    let mut buffers = wanted
        .iter()
        .copied()
        .zip(outputs.iter_mut().map(Vec::as_mut_slice))
        .collect::<Vec<_>>();
    recovery.recover_records(&records, &mut buffers, &pool()).unwrap();
    outputs
}

#[test]
fn records_are_extended_column_by_column() {
    // Neither a whole number of tiles nor less than one.
    let source = records(8, 2 * TILE_COLUMNS + 5, 3);
    let expected = extend_naively(&source);
    for arithmetic in Arithmetic::supported() {
        let mut parity = vec![vec![[0; 32]; source[0].len()]; source.len()];
        let mut buffers = parity.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>();
        erasure_coding()
            .with_arithmetic(arithmetic)
            .extend_records(&source, &mut buffers, &pool())
            .unwrap();
        for (index, parity) in parity.iter().enumerate() {
            assert_eq!(*parity, expected[2 * index + 1], "{arithmetic}");
        }
    }
}

#[test]
fn damaged_chunks_and_unequal_records_are_refused() {
    let mut source = records(4, 3, 5);
    source[2][1] = [0xff; 32];
    let mut parity = vec![vec![[0; 32]; 3]; 4];
    let mut buffers = parity.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>();
    for arithmetic in Arithmetic::supported() {
        let erasure_coding = erasure_coding().with_arithmetic(arithmetic);
        assert_eq!(
            erasure_coding.extend_records(&source, &mut buffers, &pool()),
            Err(ErasureCodingError::NotCanonical { record: 2, chunk: 1 })
        );
    }
    source[2].pop();
    assert_eq!(
        erasure_coding().extend_records(&source, &mut buffers, &pool()),
        Err(ErasureCodingError::RecordLength {
            expected: 3,
            given: 2
        })
    );
    assert_eq!(
        ColumnRecovery::new(&erasure_coding(), &[true, false, false, false]).err(),
        Some(ErasureCodingError::TooManyMissing { present: 1, total: 4 })
    );
}

#[test]
fn a_segment_is_recovered_from_each_kind_of_half() {
    let all = extend_naively(&records(128, 40, 9));
    let everything = (0..256).collect::<Vec<_>>();
    let kinds: [fn(usize) -> bool; 5] = [
        |i| i % 2 == 0,
        |i| i % 2 == 1,
        |i| i < 128,
        |i| (i * 7919 + 13) % 256 < 128,
        |_| true,
    ];
    for present in kinds {
        let present = (0..256).map(present).collect::<Vec<_>>();
        for arithmetic in Arithmetic::supported() {
            assert_eq!(recover(arithmetic, &all, &present, &everything), all);
            assert_eq!(
                recover(arithmetic, &all, &present, &[200, 3]),
                [all[200].clone(), all[3].clone()]
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_present_half_recovers_any_records(
        seed in any::<u64>(),
        order in Just((0..16_usize).collect::<Vec<_>>()).prop_shuffle(),
        present_count in 8..=16_usize,
        wanted_count in 0..=16_usize,
        chunks in 0..70_usize,
    ) {
        let all = if chunks == 0 { vec![Vec::new(); 16] } else { extend_naively(&records(8, chunks, seed)) };
        let mut present = vec![false; 16];
        for position in &order[..present_count] {
            present[*position] = true;
        }
        let wanted = &order[16 - wanted_count..];
        for arithmetic in Arithmetic::supported() {
            let recovered = recover(arithmetic, &all, &present, wanted);
            for (position, record) in wanted.iter().zip(recovered) {
                prop_assert_eq!(&all[*position], &record);
            }
        }
    }
}
