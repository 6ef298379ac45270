use super::*;
use crate::transform::{forward, inverse};

fn table(rows: usize, width: usize) -> Vec<Vec<Scalar>> {
    let mut value = Scalar::from_u64(rows as u64 + 1);
    let mut next = || {
        value = value.square() + Scalar::from_u64(3);
        value
    };
    let mut table: Vec<Vec<_>> = (0..rows).map(|_| (0..width).map(|_| next()).collect()).collect();
    // The largest number, zero and one are worth a place.
    for (row, value) in table.iter_mut().zip([-Scalar::ONE, Scalar::ZERO, Scalar::ONE]) {
        row.fill(value);
    }
    table
}

fn encode(row: &[Scalar]) -> Vec<Chunk> {
    row.iter().map(Scalar::to_bytes).collect()
}

fn columns(arithmetic: Arithmetic, table: &[Vec<Scalar>]) -> Columns {
    let mut columns = Columns::new(arithmetic, table.len(), table[0].len()).unwrap();
    for (index, row) in table.iter().enumerate() {
        columns.read_row(index, &encode(row)).unwrap();
    }
    columns
}

fn rows(columns: &Columns) -> Vec<Vec<Scalar>> {
    let mut chunks = vec![[0; 32]; columns.width()];
    let mut read = |row| {
        columns.write_row(row, &mut chunks);
        let scalars = chunks.iter().map(|chunk| Scalar::try_from_bytes(chunk).unwrap());
        scalars.collect()
    };
    (0..columns.rows()).map(&mut read).collect()
}

/// Applies `operation` to every column.
fn by_column(table: &[Vec<Scalar>], operation: impl Fn(&mut Vec<Scalar>)) -> Vec<Vec<Scalar>> {
    let columns: Vec<Vec<_>> = (0..table[0].len())
        .map(|index| {
            let mut column = table.iter().map(|row| row[index]).collect();
            operation(&mut column);
            column
        })
        .collect();
    (0..columns[0].len())
        .map(|row| columns.iter().map(|column| column[row]).collect())
        .collect()
}

#[test]
fn columns_are_single_transforms_with_all_instructions() {
    for arithmetic in Arithmetic::supported() {
        for (count, width) in [
            (1, 3),
            (2, 8),
            (4, 9),
            (8, 1),
            (16, 32),
            (64, 7),
            (128, 12),
            (256, 8),
        ] {
            let table = table(count, width);
            let start = columns(arithmetic, &table);
            assert_eq!(rows(&start), table);

            let mut changed = start.clone();
            changed.forward();
            assert_eq!(
                rows(&changed),
                by_column(&table, |column| forward(column).unwrap())
            );

            let mut changed = start.clone();
            changed.inverse_and_multiply(None);
            assert_eq!(
                rows(&changed),
                by_column(&table, |column| inverse(column).unwrap())
            );

            let mut changed = start.clone();
            changed.to_odd_coset().unwrap();
            let odd = |column: &mut Vec<Scalar>| Arithmetic::PORTABLE.to_odd_coset(column).unwrap();
            assert_eq!(rows(&changed), by_column(&table, odd));
            changed.interpolate_odd_coset().unwrap();
            changed.forward();
            assert_eq!(rows(&changed), table);

            let factors: Vec<_> = (0..count as u64)
                .map(|index| Scalar::from_u64(7).pow(index))
                .collect();
            let mut changed = start.clone();
            changed.multiply_rows(&factors);
            let product = |column: &mut Vec<Scalar>| Arithmetic::PORTABLE.multiply(column, &factors);
            assert_eq!(rows(&changed), by_column(&table, product));

            let mut sum = vec![[0; 32]; width];
            start.write_weighted(&factors, &mut sum);
            let weighted = by_column(&table, |column| {
                *column = vec![
                    column
                        .iter()
                        .zip(&factors)
                        .fold(Scalar::ZERO, |sum, (a, b)| sum + *a * *b),
                ];
            });
            assert_eq!(sum, encode(&weighted[0]));

            if count > 1 {
                let wrap = Scalar::from_u64(11);
                let mut changed = start;
                changed.fold(wrap);
                let folded = by_column(&table, |column| {
                    let high = column.split_off(count / 2);
                    for (low, high) in column.iter_mut().zip(high) {
                        *low += high * wrap;
                    }
                });
                assert_eq!(rows(&changed), folded);
            }
        }
    }
}

#[test]
fn numbers_that_are_not_canonical_are_found() {
    // The modulus itself, and the largest number of 32 bytes.
    let mut modulus = (-Scalar::ONE).to_bytes();
    modulus[31] += 1;
    for arithmetic in Arithmetic::supported() {
        for wrong in [modulus, [0xff; 32]] {
            for index in 0..11 {
                let mut chunks = encode(&[-Scalar::ONE; 11]);
                chunks[index] = wrong;
                let mut columns = Columns::new(arithmetic, 8, 11).unwrap();
                assert_eq!(columns.read_row(3, &chunks), Err(index));
            }
        }
        assert!(Columns::new(arithmetic, 3, 1).is_err());
        assert!(
            Columns::new(arithmetic, 1 << 16, 0)
                .unwrap()
                .to_odd_coset()
                .is_err()
        );
    }
}
