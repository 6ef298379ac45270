//! Measures the slab on the disk under the target directory: filling it past the page cache and through it, and serving from the
//! page cache and from the disk. `SLAB_BENCH_MIB` sets the size (1024).

use autonomys_cache::{CacheKey, SlabOptions, SlabPath, SlabStore};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;
use subspace_core_primitives::pieces::{Piece, PieceIndex};

/// Bytes of a piece's slot.
const STRIDE: u64 = (Piece::SIZE as u64).next_multiple_of(4096);

/// MiB of file content that the kernel keeps in memory.
fn cached() -> i64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("Cached:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<i64>().ok())
        .unwrap_or(0)
        / 1024
}

fn report(what: &str, count: u64, start: Instant, cached_before: i64) {
    let seconds = start.elapsed().as_secs_f64();
    let mib = (count * Piece::SIZE as u64) as f64 / f64::from(1 << 20);
    println!(
        "{what}: {:.0} MiB/s, page cache {:+} MiB",
        mib / seconds,
        cached() - cached_before
    );
}

fn main() {
    let mib: u64 = std::env::var("SLAB_BENCH_MIB")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1024);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("slab-bench");
    std::fs::create_dir_all(&directory).expect("the target directory can be written");
    let pieces = (mib << 20) / STRIDE;
    let mut piece = vec![0u8; Piece::SIZE];
    blake3::Hasher::new().finalize_xof().fill(&mut piece);

    let plain = directory.join("plain");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&plain)
        .expect("a new file");
    let (start, before) = (Instant::now(), cached());
    for number in 0..pieces {
        file.write_all_at(&piece, number * STRIDE)
            .expect("there is space");
    }
    file.sync_data().expect("the disk works");
    report(
        "writes through the page cache, synced at the end",
        pieces,
        start,
        before,
    );
    drop(file);
    std::fs::remove_file(&plain).expect("it was just made");

    let options = SlabOptions {
        identity: [7; 32],
        slot_size: Piece::SIZE as u32,
        reformat: false,
    };
    let path = SlabPath {
        directory: directory.clone(),
        size: Some((mib + 64) << 20),
    };
    let store = SlabStore::open(&[path], options).expect("an empty directory");
    let (start, before) = (Instant::now(), cached());
    for number in 0..pieces {
        store
            .put(CacheKey::piece(PieceIndex::new(number)), 0, &piece)
            .expect("there is space");
    }
    store.sync().expect("the disk works");
    report(
        "SlabStore::put, which writes past the page cache, with BLAKE3",
        pieces,
        start,
        before,
    );

    let keys: Vec<_> = (0..pieces)
        .map(|number| CacheKey::piece(PieceIndex::new(number * 7 % pieces)))
        .collect();
    for (what, direct) in [
        ("SlabStore::verify, which reads the disk, with BLAKE3", true),
        ("SlabStore::get, first read, with BLAKE3", false),
        ("SlabStore::get, read again, with BLAKE3", false),
    ] {
        let (start, before) = (Instant::now(), cached());
        for key in &keys {
            let lookup = if direct { store.verify(key) } else { store.get(key) };
            assert!(lookup.hit().is_some());
        }
        report(what, pieces, start, before);
    }
    drop(store);
    std::fs::remove_dir_all(&directory).expect("it is ours");
}
