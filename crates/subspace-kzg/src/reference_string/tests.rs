use super::*;
use crate::g1::generator_affine;
use autonomys_test_support::{mainnet_kzg_params, report_skipped};
use std::io::Write;
use std::path::Path;

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn write(path: &Path, parts: &[&[u8]]) {
    let mut file = std::fs::File::create(path).unwrap();
    for part in parts {
        file.write_all(part).unwrap();
    }
}

#[test]
fn the_development_set_is_the_same_everywhere() {
    let pool = pool();
    let generated = ReferenceString::insecure_development(&pool);
    assert_eq!(generated.kind(), ReferenceStringKind::InsecureDevelopment);
    assert_eq!(generated.kind().to_string(), "insecure-development");
    let mut blob = generated.to_bytes();
    assert_eq!(blob.len(), BLOB_LENGTH);
    assert_eq!(
        hex::encode(blake3::hash(&blob).as_bytes()),
        hex::encode(development::BLOB_BLAKE3)
    );

    let stored = ReferenceString::insecure_development_from_bytes(&blob, &pool).unwrap();
    assert!(stored.g1_powers() == generated.g1_powers() && stored.g2_powers() == generated.g2_powers());
    assert_eq!(stored.kind(), ReferenceStringKind::InsecureDevelopment);
    assert_eq!(generated.g1_powers()[0], generator_affine());
    // The powers are those of one secret: e([s^i]G1, [s]G2) = e([s^(i + 1)]G1, G2).
    let kzg = crate::Kzg::new(generated.clone());
    let power = |index: usize| crate::G1Point::from_affine(&generated.g1_powers()[index]);
    assert!(kzg.pairings().agree(&power(1), &power(0)));
    assert!(kzg.pairings().agree(&power(32_767), &power(32_766)));
    assert!(!kzg.pairings().agree(&power(2), &power(0)));

    assert!(matches!(
        ReferenceString::mainnet_from_bytes(&blob),
        Err(ReferenceStringError::Hash { .. })
    ));
    blob[100] ^= 1;
    assert!(matches!(
        ReferenceString::insecure_development_from_bytes(&blob, &pool),
        Err(ReferenceStringError::Hash { .. })
    ));
    assert_eq!(
        ReferenceString::insecure_development_from_bytes(&blob[1..], &pool).err(),
        Some(ReferenceStringError::Length {
            given: BLOB_LENGTH - 1
        })
    );
}

#[test]
fn files_without_the_parameters_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    assert!(matches!(import(&path), Err(ImportError::Io { .. })));
    let generator = g1::compress(&generator_affine());
    let contents: [&[u8]; 4] = [b"", b"\x7fELF", &generator, &generator.repeat(3)];
    for content in contents {
        write(&path, &[content]);
        assert!(
            matches!(import(&path), Err(ImportError::NotFound { .. })),
            "{content:?}"
        );
    }
    let documents: [&[u8]; 6] = [
        b"{",
        b"{}",
        b" {\"transcripts\": [{}, {}, {}]}",
        b"{\"transcripts\": [{}, {}, {}, {\"powersOfTau\": {\"G1Powers\": [\"0x12\"]}}]}",
        b"{\"transcripts\": [{}, {}, {}, {\"powersOfTau\": {\"G1Powers\": [], \"G2Powers\": []}}]}",
        b"{\"transcripts\": 5}",
    ];
    for document in documents {
        write(&path, &[document]);
        assert!(matches!(import(&path), Err(ImportError::Transcript { .. })));
    }
    assert!(matches!(load(&path), Err(StoreError::Content { .. })));
    assert!(matches!(store(&path, &[0; 5]), Err(StoreError::Content { .. })));
}

#[test]
fn mainnet_parameters_are_imported_from_every_kind_of_file_and_stored() {
    const NAME: &str = "mainnet_parameters_are_imported_from_every_kind_of_file_and_stored";
    let Some(blob) = mainnet_kzg_params() else {
        report_skipped(NAME, "there are no mainnet KZG parameters on this machine");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, &[&blob]);
    assert!(import(&path).unwrap() == blob);

    // Inside a program, behind a look-alike, with the beginning across the border of two chunks of the search.
    let mut look_alike = blob.clone();
    look_alike[5000] ^= 1;
    let filler = vec![0x97; 3 * (1 << 20) - BLOB_LENGTH - 50];
    write(&path, &[&look_alike, &filler, &blob, b"rest of the program"]);
    assert!(import(&path).unwrap() == blob);
    write(&path, &[b"\x7fELF", &look_alike, &blob[..BLOB_LENGTH - 1]]);
    assert!(matches!(import(&path), Err(ImportError::NotFound { .. })));

    // The ceremony's transcript has three smaller sets before this one.
    let points = |bytes: &[u8], size: usize| {
        let points = bytes
            .chunks(size)
            .map(|point| format!("\"0x{}\"", hex::encode(point)))
            .collect::<Vec<_>>();
        points.join(", ")
    };
    let (g1, g2) = blob.split_at(NUM_G1_POWERS * 48);
    let smaller = "{\"numG1Powers\": 1, \"powersOfTau\": {\"G1Powers\": [\"0x00\"], \"G2Powers\": []}}";
    let transcript = format!(
        "{{\"transcripts\": [{smaller}, {smaller}, {smaller}, {{\"numG1Powers\": 32768, \"powersOfTau\": \
        {{\"G1Powers\": [{}], \"G2Powers\": [{}]}}, \"witness\": {{\"potPubkeys\": [\"0x01\"]}}}}], \
        \"participantIds\": [\"eth|0\"]}}",
        points(g1, 48),
        points(g2, 96),
    );
    write(&path, &[transcript.as_bytes()]);
    assert!(import(&path).unwrap() == blob);

    let stored = directory.path().join("new").join("parameters.bin");
    store(&stored, &blob).unwrap();
    assert!(load(&stored).unwrap() == blob);
    store(&stored, &blob).unwrap();
    let names = std::fs::read_dir(stored.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "no temporary file stays behind");
    write(&stored, &[&blob, b"x"]);
    assert!(load(&stored).is_err());

    let parsed = ReferenceString::mainnet_from_bytes(&blob).unwrap();
    assert_eq!(parsed.kind(), ReferenceStringKind::Mainnet);
    assert!(parsed.to_bytes() == blob);
}
