//! Auditing a farm on disk: one sector of 1000 pieces in a real plot file, all of it in the page cache.

#![allow(missing_docs)] // The macro makes a public function.

#[path = "../../subspace-farmer-components/benches/support/mod.rs"]
mod support;

use autonomys_farm::identity::Identity;
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use autonomys_test_support::bench::{at_once, criterion, group, kept_inputs};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use subspace_core_primitives::hashes::Blake3Hash;
use support::{FULL_SECTOR, FullSectorFiles, IDENTITY_ENTROPY, challenges, public_key_hash};

/// Challenges that audits go round: more s-buckets than any cache near the processor holds.
const CHALLENGES: usize = 8192;
/// Bytes written to the plot file at a time.
const WRITE_SIZE: usize = 4 * 1024 * 1024;

static FARM: LazyLock<Arc<Farm>> = LazyLock::new(|| {
    let directory = kept_inputs("farm-of-one-sector", |directory| {
        let identity = Identity::from_entropy(IDENTITY_ENTROPY);
        assert_eq!(identity.public_key().hash(), public_key_hash(), "{identity:?}");
        identity.store(directory).expect("writable");
        let farm = Arc::new(open(directory));
        let files = FullSectorFiles::get();
        let mut writer = farm.write_sector(0).expect("nobody else writes");
        for (number, bytes) in files.bytes().chunks(WRITE_SIZE).enumerate() {
            writer
                .write((number * WRITE_SIZE) as u64, bytes)
                .expect("space for 1 GB");
        }
        writer.commit(files.metadata()).expect("the sector is intact");
    });
    let farm = open(&directory);
    // Reads all of the plot file, so that it is in the page cache.
    assert!(
        farm.sector_is_intact(0).expect("readable"),
        "delete {}",
        directory.display()
    );
    Arc::new(farm)
});

fn open(directory: &Path) -> Farm {
    let options = FarmOptions {
        directory: directory.to_path_buf(),
        space: SpaceRequest::Sectors(1),
        genesis_hash: Blake3Hash::default(),
        pieces_in_sector: FULL_SECTOR,
    };
    Farm::open(&options).expect("space for a sector of 1 GB")
}

fn auditing(criterion: &mut Criterion) {
    let mut group = group(criterion, "audit");
    at_once(
        &mut group,
        "farm_sector_1000_page_cache",
        || {
            let sector = &FARM.plotted_sectors()[0];
            let challenges: Vec<_> = challenges(sector, 1).take(CHALLENGES).collect();
            challenges.into_iter().cycle()
        },
        |challenges| {
            let challenge = challenges.next().expect("it goes round");
            let audit = FARM.audit(black_box(&challenge), None);
            assert!(audit.errors.is_empty());
            audit
        },
    );
    group.finish();
}

criterion_group!(name = all; config = criterion(); targets = auditing);
criterion_main!(all);
