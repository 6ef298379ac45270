//! A sector on its way into the plot: stopped at every step, beside its neighbours, resumed.

use super::tests::{options, sector, write};
use super::*;
use crate::partial::SectorOrigin;
use crate::staging::STAGED;
use std::fs;
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::segments::HistorySize;

/// As after `kill -9` or a power failure: neither commit nor drop runs, every file is opened anew.
fn crash(writer: SectorWriter, farm: Arc<Farm>) -> Arc<Farm> {
    let (directory, sectors) = (farm.directory().to_path_buf(), farm.target_sector_count());
    std::mem::forget(writer);
    // The forgotten writer keeps the farm alive, and with it the lock, which a crash would release.
    fs::copy(directory.join(crate::info::FILE_NAME), directory.join("copy")).expect("copied");
    fs::rename(directory.join("copy"), directory.join(crate::info::FILE_NAME)).expect("replaced");
    drop(farm);
    Arc::new(Farm::open(&options(&directory, sectors)).expect("opened after a crash"))
}

/// Every plotted sector is whole; gives their indexes.
fn plotted(farm: &Farm) -> Vec<SectorIndex> {
    let sectors: Vec<_> = farm
        .plotted_sectors()
        .iter()
        .map(|sector| sector.sector_index)
        .collect();
    for sector in &sectors {
        assert!(
            farm.sector_is_intact(*sector).expect("readable"),
            "sector {sector}"
        );
    }
    sectors
}

#[test]
fn wherever_writing_stops_a_sector_is_plotted_or_missing_and_never_half() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (bytes, metadata) = sector(1, 9);
    // Both a sector in the place of an old one and one that the header does not count yet.
    for (round, replaces) in [(0, true), (1, false)] {
        let path = directory.path().join(round.to_string());
        let mut farm = Arc::new(Farm::open(&options(&path, 3)).expect("made"));
        write(&farm, 0, 1);
        if replaces {
            write(&farm, 1, 2);
        }
        let before = plotted(&farm);
        let half = bytes.len() / 2;

        // Before the first byte.
        let writer = farm.write_sector(1).expect("free");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), before);

        // Half of the bytes, then all of them, without and with a sync, and verified.
        let mut writer = farm.write_sector(1).expect("free");
        writer.write(0, &bytes[..half]).expect("written");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), [0]);
        let mut writer = farm.write_sector(1).expect("free");
        writer.write(0, &bytes).expect("written");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), [0]);
        let mut writer = farm.write_sector(1).expect("free");
        writer.write(0, &bytes).expect("written");
        writer.sync().expect("synced");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), [0]);
        let mut writer = farm.write_sector(1).expect("free");
        writer.write(0, &bytes).expect("written");
        writer.sync().expect("synced");
        writer.verify().expect("whole");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), [0]);

        // The record, then the header, which counts a sector that was never there before.
        let mut writer = farm.write_sector(1).expect("free");
        writer.write(0, &bytes).expect("written");
        writer.sync().expect("synced");
        farm.metadata.write_record(1, &metadata).expect("recorded");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), if replaces { vec![0, 1] } else { vec![0] });
        let mut writer = farm.write_sector(1).expect("free");
        writer.write(0, &bytes).expect("written");
        writer.sync().expect("synced");
        farm.metadata.write_record(1, &metadata).expect("recorded");
        farm.metadata.raise_header(1).expect("counted");
        farm = crash(writer, farm);
        assert_eq!(plotted(&farm), [0, 1]);
    }
}

/// Neighbours share a block of the file, and both are written at once.
#[test]
fn sectors_written_side_by_side_leave_each_other_whole() {
    const SECTORS: u16 = 4;
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), SECTORS)).expect("made"));
    for seed in 0..3 {
        std::thread::scope(|scope| {
            for index in 0..SECTORS {
                let farm = &farm;
                scope.spawn(move || write(farm, index, seed * 10 + index as u8));
            }
        });
        assert_eq!(plotted(&farm), [0, 1, 2, 3]);
    }
    for index in 0..SECTORS {
        let (bytes, _) = sector(index, 20 + index as u8);
        let mut read = vec![0; bytes.len()];
        farm.plot.read(index, 0, &mut read).expect("readable");
        assert!(read == bytes, "sector {index}");
    }
}

#[test]
fn ranges_of_any_size_and_order_arrive() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), 3)).expect("made"));
    write(&farm, 0, 1);
    write(&farm, 2, 3);
    let (bytes, metadata) = sector(1, 2);
    for size in [1_000, 4096, 65_537, 1 << 20, STAGED + 1] {
        let mut writer = farm.write_sector(1).expect("free");
        let mut ranges: Vec<_> = bytes.chunks(size).enumerate().collect();
        if size < 1 << 20 {
            // Every other one first.
            ranges.sort_by_key(|(number, _)| number % 2);
        }
        for (number, range) in ranges {
            writer.write((number * size) as u64, range).expect("written");
        }
        writer.commit(metadata.clone()).expect("committed");
        assert_eq!(plotted(&farm), [0, 1, 2], "ranges of {size} bytes");
    }
}

#[test]
fn a_sector_goes_on_where_it_was_stopped_and_begins_anew_when_that_was_another_one() {
    let directory = tempfile::tempdir().expect("temporary directory");
    // Large enough for some checkpoints.
    let mut options = options(directory.path(), 2);
    options.pieces_in_sector = 4;
    let size = subspace_farmer_components::sector::sector_size(4) as u64;
    let mut farm = Arc::new(Farm::open(&options).expect("made"));
    let mut bytes = vec![0; size as usize];
    blake3::Hasher::new()
        .update(b"sector")
        .finalize_xof()
        .fill(&mut bytes);
    let content = bytes.len() - Blake3Hash::SIZE;
    let checksum = blake3_hash(&bytes[..content]);
    bytes[content..].copy_from_slice(checksum.as_ref());
    let origin = SectorOrigin {
        history_size: HistorySize::ONE,
        checksum: blake3_hash(&bytes),
    };
    let other = SectorOrigin {
        checksum: Blake3Hash::from([1; 32]),
        ..origin
    };
    let reopen = |writer, farm: Arc<Farm>| {
        std::mem::forget(writer);
        let path = farm.directory().join(crate::info::FILE_NAME);
        fs::copy(&path, path.with_extension("copy")).expect("copied");
        fs::rename(path.with_extension("copy"), &path).expect("replaced");
        drop(farm);
        Arc::new(Farm::open(&options).expect("opened"))
    };

    let mut writer = farm.write_sector(1).expect("free");
    assert_eq!(writer.resume(origin).expect("free"), 0);
    for (number, range) in bytes[..3_000_000].chunks(70_000).enumerate() {
        writer.write(number as u64 * 70_000, range).expect("written");
    }
    farm = reopen(writer, farm);
    assert_eq!(farm.missing_sectors(), [0, 1], "what has come is no sector yet");

    let mut writer = farm.write_sector(1).expect("free");
    assert_eq!(writer.resume(other).expect("free"), 0);
    drop(writer);
    let mut writer = farm.write_sector(1).expect("free");
    let there = writer.resume(origin).expect("free");
    assert!((2_000_000..=3_000_000).contains(&there), "{there}");
    assert!(farm.plotted_sectors().is_empty());
    assert!(matches!(farm.write_sector(1), Err(FarmError::SectorBusy { .. })));
    writer.write(there, &bytes[there as usize..]).expect("written");
    writer.sync().expect("synced");
    writer.verify().expect("whole");
    farm = reopen(writer, farm);

    // All of it is there, only the record is missing.
    let mut writer = farm.write_sector(1).expect("free");
    let there = writer.resume(origin).expect("free");
    assert!(there > 3_000_000, "{there}");
    writer.write(there, &bytes[there as usize..]).expect("written");
    // Somebody damages what had come before: that is noticed, and nothing of it is resumed again.
    let damaged = crate::plot_file::PlotFile::open(directory.path(), 2, 4, false).expect("there");
    let mut staging = crate::staging::Staging::new();
    damaged
        .write(&mut staging, 1, 77, &[!bytes[77]])
        .expect("written");
    damaged.flush(&mut staging).expect("written");
    writer.sync().expect("synced");
    assert!(matches!(writer.verify(), Err(FarmError::SectorChecksum { .. })));
    drop(writer);
    let mut writer = farm.write_sector(1).expect("free");
    assert_eq!(writer.resume(origin).expect("free"), 0);
}
