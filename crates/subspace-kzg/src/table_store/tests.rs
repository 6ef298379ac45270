use super::*;
use crate::{Polynomial, ReferenceString, Scalar, SimdLevel};
use std::fs;

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "the tables and nothing else: {files:?}");
    files[0].clone()
}

#[test]
fn tables_survive_and_damage_is_mended() {
    let pool = pool();
    let reference_string = ReferenceString::insecure_development(&pool);
    let directory = tempfile::tempdir().unwrap();
    let tables = directory.path().join("some/where");
    let polynomial = Polynomial::from_coefficients(
        (1..=3000_u64)
            .map(|number| Scalar::from_u64(number).inverse().unwrap())
            .collect(),
    );
    let expected = Kzg::new(reference_string.clone()).commit(&polynomial).unwrap();
    let precompute = |level| {
        let kzg = Kzg::with_simd_level(reference_string.clone(), level);
        let origin = kzg.precompute_cached(&tables, &pool);
        assert!(kzg.is_precomputed());
        assert_eq!(kzg.commit(&polynomial).unwrap(), expected, "{level}");
        assert!(matches!(
            kzg.precompute_cached(&tables, &pool),
            TablesOrigin::Present
        ));
        origin
    };
    let built = |origin| match origin {
        TablesOrigin::Built { reason, stored } => {
            stored.unwrap();
            reason
        }
        other => panic!("{other:?}"),
    };

    let reason = built(precompute(SimdLevel::best()));
    assert!(matches!(reason, RebuildReason::Missing), "{reason}");
    let path = only_file(&tables);
    let sound = fs::read(&path).unwrap();
    for level in SimdLevel::ALL {
        assert!(matches!(precompute(level), TablesOrigin::Loaded), "{level}");
    }

    // What `load` says; building again each time would take the test minutes.
    let (powers, key) = (reference_string.g1_powers(), key(reference_string.g1_powers()));
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load(&path, powers, &key, &pool).unwrap_err()
    };
    assert!(load(&path, powers, &key, &pool).is_ok());
    assert!(matches!(
        refused(&sound[..sound.len() - 1]),
        RebuildReason::Length { .. }
    ));
    assert!(matches!(refused(b""), RebuildReason::Length { .. }));
    let damaged_at = |index: usize| {
        let mut damaged = sound.clone();
        damaged[index] ^= 1;
        refused(&damaged)
    };
    assert!(matches!(damaged_at(0), RebuildReason::Format));
    assert!(matches!(damaged_at(8), RebuildReason::Format));
    assert!(matches!(damaged_at(20), RebuildReason::Parameters));
    for index in [HEADER_LENGTH, sound.len() / 2, sound.len() - 1] {
        assert!(matches!(damaged_at(index), RebuildReason::Checksum));
    }
    let reason = built(precompute(SimdLevel::best()));
    assert!(matches!(reason, RebuildReason::Checksum), "{reason}");
    assert!(only_file(&tables) == path && fs::read(&path).unwrap() == sound);

    // Tables of other powers under this name with a checksum of their own.
    let mut other = FixedBaseTables::empty(powers.len());
    other.fill(powers[1]);
    store(&path, &other, &key, &pool).unwrap();
    assert!(matches!(
        load(&path, powers, &key, &pool),
        Err(RebuildReason::Parameters)
    ));

    // A place where nothing can be stored.
    let file = directory.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = store(&file.join("tables.bin"), &other, &key, &pool).unwrap_err();
    assert_eq!(fs::read(&file).unwrap(), b"in the way", "{error}");
}
