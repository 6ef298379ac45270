//! What is left of a spool after restarts and crashes.

use super::*;
use subspace_farmer_components::sector::placeholder_metadata;

const KEY: SectorKey = SectorKey {
    public_key: [3; 32],
    sector_index: 7,
    history_size: 2,
};

fn encoded() -> EncodedSector {
    EncodedSector {
        sector: (0..100_000_u32).map(|byte| byte as u8).collect(),
        metadata: Blake3Checksummed(placeholder_metadata(7, 5)),
    }
}

#[test]
fn a_stored_sector_survives_a_restart_and_is_served_by_ranges() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = Spool::open(directory.path()).expect("opens");
    spool.store(KEY, &encoded()).expect("stored");
    assert!(Spool::open(directory.path()).is_err_and(|error| error.to_string().contains("in use")));
    drop(spool);

    let spool = Spool::open(directory.path()).expect("opens again");
    let sectors = spool.sectors();
    assert_eq!(sectors.len(), 1);
    assert_eq!(sectors[0].key(), KEY);
    assert_eq!(sectors[0].job_id().sector_index, 7);
    let file = spool.open_sector(&KEY).expect("there");
    assert_eq!(file.len(), 100_000);
    let bytes = futures::executor::block_on(async {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime")
            .block_on(file.read(1000, 50))
    });
    assert_eq!(&bytes.expect("readable")[..], &encoded().sector[1000..1050]);

    spool.remove(&KEY).expect("removed");
    spool.remove(&KEY).expect("removing twice is fine");
    assert!(spool.open_sector(&KEY).is_err());
    drop(spool);
    assert_eq!(Spool::open(directory.path()).expect("opens").len(), 0);
}

#[test]
fn what_was_never_finished_is_deleted() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = Spool::open(directory.path()).expect("opens");
    spool.store(KEY, &encoded()).expect("stored");
    let (sector, done) = (spool.path(&KEY, "sector"), spool.path(&KEY, "done"));
    drop(spool);
    let good = fs::read(&done).expect("there");

    // Every place where a crash or a bad disk could have cut or changed the second file.
    for damage in [0, 1, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[damage] ^= 1;
        fs::write(&done, &bad).expect("written");
        fs::write(&sector, encoded().sector).expect("written");
        assert_eq!(
            Spool::open(directory.path()).expect("opens").len(),
            0,
            "changed byte {damage}"
        );
        fs::write(&done, &good[..damage]).expect("written");
        fs::write(&sector, encoded().sector).expect("written");
        assert_eq!(
            Spool::open(directory.path()).expect("opens").len(),
            0,
            "cut at {damage}"
        );
    }
    // A sector that is shorter than it should be.
    fs::write(&done, &good).expect("written");
    fs::write(&sector, &encoded().sector[1..]).expect("written");
    assert_eq!(Spool::open(directory.path()).expect("opens").len(), 0);
    // Bytes without a second file.
    fs::write(&sector, encoded().sector).expect("written");
    assert_eq!(Spool::open(directory.path()).expect("opens").len(), 0);
    assert!(!sector.exists());
}

#[test]
fn only_the_sector_that_was_looked_at_is_discarded() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = Spool::open(directory.path()).expect("opens");
    assert!(spool.has_room(1), "no sector was seen yet");
    let old = spool.store(KEY, &encoded()).expect("stored");
    let changes = spool.changes();
    let new = spool.store(KEY, &encoded()).expect("stored again");
    assert!(changes.has_changed().expect("open"));
    spool.discard(&old).expect("left alone");
    assert!(spool.get(&KEY).is_some() && spool.open_sector(&KEY).is_ok());
    spool.discard(&new).expect("removed");
    assert!(spool.get(&KEY).is_none() && !spool.path(&KEY, "sector").exists());
    assert!(!spool.has_room(u64::MAX / 100_000), "no disk is that large");
}
