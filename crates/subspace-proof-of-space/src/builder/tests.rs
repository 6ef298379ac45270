//! Fast tables against the known digests and the unbounded tables.

use super::*;
use crate::bucket::BUCKET_LIMIT;
use crate::constants::PARAM_BC;
use crate::kernel::Portable;
use crate::unbounded::tests::{SEED, TABLES, digest};

/// All records of a table in rank order, and its `y`.
fn sorted_records<const W: usize>(chains: &[Chains]) -> (Vec<u32>, Vec<[u32; W]>) {
    let mut bucket = SortedBucket::new();
    let (mut ys, mut records) = (Vec::new(), Vec::new());
    for number in 0..NUM_BUCKETS {
        bucket.load::<W>(chains, number, BUCKET_LIMIT).unwrap();
        for place in 0..bucket.len() {
            ys.push(number as u32 * PARAM_BC + bucket.remainder::<W>(place));
        }
        records.extend_from_slice(&bucket.records.as_chunks::<W>().0[..bucket.len()]);
    }
    (ys, records)
}

/// `y` and links, if there are any, of table 1 to 6 in rank order.
fn sorted_links(number: u8, chains: &[Chains]) -> (Vec<u32>, Vec<u32>) {
    fn last_words<const W: usize>((ys, records): (Vec<u32>, Vec<[u32; W]>)) -> (Vec<u32>, Vec<u32>) {
        (ys, records.iter().map(|record| record[W - 1]).collect())
    }
    match number {
        1 => (sorted_records::<1>(chains).0, Vec::new()),
        2 => (sorted_records::<2>(chains).0, Vec::new()),
        3 => (sorted_records::<3>(chains).0, Vec::new()),
        4 | 5 => last_words(sorted_records::<4>(chains)),
        _ => last_words(sorted_records::<3>(chains)),
    }
}

/// `y` of table 1 to 6 in rank order.
pub(crate) fn sorted_ys(number: u8, chains: &[Chains]) -> Vec<u32> {
    sorted_links(number, chains).0
}

/// Ranks of the parents, from links and the `y` of the parents.
fn ranks(links: impl Iterator<Item = u32>, parents: &[u32]) -> Vec<u32> {
    let starts: Vec<u32> = (0..=NUM_BUCKETS as u32)
        .map(|bucket| parents.partition_point(|&y| y / PARAM_BC < bucket) as u32)
        .collect();
    links
        .flat_map(|link| {
            let bucket = (link >> 18) as usize;
            [
                starts[bucket] + ((link >> 9) & 511),
                starts[bucket + 1] + (link & 511),
            ]
        })
        .collect()
}

fn check<Kern: Kernel>(kernel: Kern, pool: Option<&ThreadPool>) {
    let mut bytes = [0; 32];
    hex::decode_to_slice(SEED, &mut bytes).unwrap();
    let mut workspace = Workspace::new(pool.map_or(1, ThreadPool::current_num_threads));
    let plan = Plan {
        pool,
        bucket_limit: BUCKET_LIMIT,
        full: true,
    };
    let mut parents = Vec::new();
    let seed = PosSeed::from(bytes);
    // Twice, because the second time the buffers are not fresh.
    for _ in 0..2 {
        let mut table = build(kernel, &seed, &mut workspace, &plan, |number, chains| {
            let (ys, links) = sorted_links(number, chains);
            let (count, ys_digest, links_digest) = TABLES[usize::from(number) - 1];
            assert_eq!(ys.len(), count, "table {number}");
            assert_eq!(digest(ys.iter().copied()), ys_digest, "table {number}");
            if !links.is_empty() {
                assert_eq!(
                    digest(ranks(links.into_iter(), &parents)),
                    links_digest,
                    "table {number}"
                );
            }
            parents = ys;
        })
        .unwrap();
        let LastTable::Full(entries) = &table.last else {
            panic!("not full")
        };
        let (count, ys_digest, links_digest) = TABLES[6];
        assert_eq!(entries.len(), count);
        assert_eq!(
            digest(entries.iter().map(|entry| (entry >> 32) as u32)),
            ys_digest
        );
        assert_eq!(
            digest(ranks(entries.iter().map(|&entry| entry as u32), &parents)),
            links_digest
        );
        if pool.is_none() {
            assert!(workspace.memory() < 39 << 20, "{} bytes", workspace.memory());
            // The lists and the result are the peak of making a table.
            let table_memory = table.take_memory().bytes();
            assert!(
                workspace.memory() + table_memory < 64_000_000,
                "{table_memory} bytes"
            );
        }
    }
}

/// A pool of that many threads.
pub(crate) fn pool(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
}

#[test]
fn portable_tables_have_the_known_digests() {
    check(Portable, None);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx2_tables_have_the_known_digests() {
    match crate::lanes::Avx2::detect() {
        Some(kernel) => check(kernel, Some(&pool(3))),
        None => autonomys_test_support::report_skipped(
            "avx2_tables_have_the_known_digests",
            "this processor has no AVX2",
        ),
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_tables_have_the_known_digests() {
    match crate::lanes::Avx512::detect() {
        Some(kernel) => {
            check(kernel, None);
            check(kernel, Some(&pool(20)));
        }
        None => autonomys_test_support::report_skipped(
            "avx512_tables_have_the_known_digests",
            "this processor has no AVX-512 VBMI2",
        ),
    }
}
