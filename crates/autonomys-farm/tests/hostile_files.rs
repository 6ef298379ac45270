//! Files of a farm directory with any contents: an error that names the file or a farm that says what is missing, never a panic.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

use autonomys_farm::identity::Identity;
use autonomys_farm::info::FarmInfo;
use autonomys_farm::metadata_file::{self, MetadataFile, RESERVED_METADATA};
use autonomys_farm::piece_cache::{ELEMENT_SIZE, decode_element, encode_element};
use autonomys_farm::{Farm, FarmError, FarmOptions, SectorState, SpaceRequest, identity, info};
use proptest::prelude::*;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_farmer_components::sector::SectorMetadataChecksummed;
use ulid::Ulid;

const PIECES: u16 = 1;
const SECTORS: u16 = 2;

fn options(directory: &Path) -> FarmOptions {
    FarmOptions {
        directory: directory.to_path_buf(),
        space: SpaceRequest::Sectors(SECTORS),
        genesis_hash: Blake3Hash::from([1; 32]),
        pieces_in_sector: PIECES,
    }
}

/// An empty farm; every case overwrites what the one before changed.
fn farm() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    Farm::open(&options(directory.path())).unwrap();
    directory
}

prop_compose! {
    fn farm_info()(
        id: u128,
        genesis: [u8; 32],
        key: [u8; 32],
        pieces_in_sector: u16,
        allocated_space: u64,
    ) -> FarmInfo {
        FarmInfo {
            id: Ulid(id),
            genesis_hash: Blake3Hash::from(genesis),
            public_key: PublicKey::from(key),
            pieces_in_sector,
            allocated_space,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn descriptions_come_back_and_damaged_ones_are_named(
        info in farm_info(),
        position: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let path = Path::new(info::FILE_NAME);
        let text = info.to_json();
        prop_assert_eq!(FarmInfo::from_json(&text, path).unwrap(), info);

        let mut bytes = text.clone().into_bytes();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(changed) = String::from_utf8(bytes)
            && let Err(error) = FarmInfo::from_json(&changed, path)
        {
            prop_assert!(error.to_string().contains(info::FILE_NAME), "{}", error);
        }
        let short = &text[..cut.index(text.len())];
        let error = FarmInfo::from_json(short, path).unwrap_err();
        prop_assert!(matches!(error, FarmError::Damaged { .. }), "{}", error);
    }

    #[test]
    fn any_bytes_are_an_identity_or_damaged(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(identity::FILE_NAME), &bytes).unwrap();
        match Identity::load(directory.path()) {
            Ok(identity) => {
                prop_assert!(bytes.len() == 33 && bytes[0] == 0x80);
                prop_assert!(identity.is_some());
            }
            Err(error) => prop_assert!(error.to_string().contains(identity::FILE_NAME), "{}", error),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_description_is_refused_or_opened(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        let directory = farm();
        fs::write(directory.path().join(info::FILE_NAME), &bytes).unwrap();
        let error = Farm::open(&options(directory.path())).unwrap_err();
        prop_assert!(error.to_string().contains(info::FILE_NAME), "{}", error);
        prop_assert_eq!(fs::read(directory.path().join(info::FILE_NAME)).unwrap(), bytes);
    }

    #[test]
    fn any_header_is_refused_or_leaves_missing_sectors(header: [u8; 3], known_version: bool) {
        let directory = farm();
        let mut header = header;
        if known_version {
            header[0] = 0;
        }
        let file = File::options().write(true).open(directory.path().join(metadata_file::FILE_NAME)).unwrap();
        file.write_all_at(&header, 0).unwrap();
        let count = u16::from_le_bytes([header[1], header[2]]);
        match Farm::open(&options(directory.path())) {
            Ok(farm) => {
                prop_assert!(header[0] == 0 && count <= SECTORS);
                // Records that are all zero have no right checksum.
                prop_assert_eq!(farm.missing_sectors(), [0, 1]);
            }
            Err(FarmError::UnknownVersion { version, .. }) => {
                prop_assert_eq!(version, header[0].to_string());
            }
            Err(FarmError::WouldShrink { plotted, .. }) => {
                prop_assert!(header[0] == 0 && count > SECTORS && plotted == count);
            }
            Err(FarmError::Damaged { .. }) => prop_assert_eq!(count, u16::MAX),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn any_record_is_no_sector(seed: u64, length in 0..SectorMetadataChecksummed::ENCODED_SIZE) {
        let directory = farm();
        let path = directory.path().join(metadata_file::FILE_NAME);
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&[0, 1, 0], 0).unwrap();
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        file.write_all_at(&bytes, RESERVED_METADATA).unwrap();
        let farm = Farm::open(&options(directory.path())).unwrap();
        prop_assert!(matches!(farm.sector_state(0).unwrap(), SectorState::Missing));
    }

    #[test]
    fn a_short_metadata_file_is_damaged(length in 1..RESERVED_METADATA) {
        let directory = farm();
        let path = directory.path().join(metadata_file::FILE_NAME);
        File::options().write(true).open(path).unwrap().set_len(length).unwrap();
        let error = MetadataFile::open(directory.path(), SECTORS, false).unwrap_err();
        prop_assert!(matches!(error, FarmError::Damaged { .. }), "{}", error);
        let error = Farm::open(&options(directory.path())).unwrap_err();
        prop_assert!(error.to_string().contains(metadata_file::FILE_NAME), "{}", error);
    }

    #[test]
    fn any_changed_bit_makes_an_element_of_the_piece_cache_invalid(bit in 0..ELEMENT_SIZE * 8) {
        static ELEMENT: LazyLock<Vec<u8>> =
            LazyLock::new(|| encode_element(PieceIndex::new(7), &Piece::try_from(vec![5; Piece::SIZE]).unwrap()));
        let mut element = ELEMENT.clone();
        prop_assert!(decode_element(&element).is_some());
        element[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_element(&element).is_none());
        prop_assert!(decode_element(&element[..bit / 8]).is_none());
    }
}

#[test]
fn an_empty_metadata_file_of_a_described_farm_is_damaged() {
    let directory = farm();
    fs::write(directory.path().join(metadata_file::FILE_NAME), b"").unwrap();
    let error = Farm::open(&options(directory.path())).unwrap_err();
    assert!(matches!(error, FarmError::Damaged { .. }), "{error}");
    fs::remove_file(directory.path().join(metadata_file::FILE_NAME)).unwrap();
    let error = Farm::open(&options(directory.path())).unwrap_err();
    assert!(error.to_string().contains(metadata_file::FILE_NAME), "{error}");
}
