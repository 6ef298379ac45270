//! Golden vectors of the records that describe a sector, and of plain JSON forms.

mod common;

use autonomys_test_support::{section, xof};
use common::{assert_json, assert_scale, history_size};
use parity_scale_codec::{Decode, Encode};
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{NUM_S_BUCKETS, PieceIndex};
use subspace_core_primitives::pot::{PotOutput, PotSeed};
use subspace_core_primitives::sectors::{PlottedSector, SectorId, SectorMetadata, SectorMetadataChecksummed};
use subspace_core_primitives::solutions::RewardSignature;
use subspace_core_primitives::{PublicKey, Randomness};

fn metadata(case: &autonomys_test_support::Node<'_>) -> SectorMetadata {
    let bytes = xof(case.get("label").str(), NUM_S_BUCKETS * 2);
    let sizes: Box<[u16]> = bytes
        .chunks_exact(2)
        .map(|size| u16::from_le_bytes([size[0], size[1]]) & 0x03ff)
        .collect();
    SectorMetadata {
        sector_index: case.get("sector_index").u16(),
        pieces_in_sector: case.get("pieces_in_sector").u16(),
        s_bucket_sizes: sizes.try_into().expect("one size for every s-bucket"),
        history_size: history_size(&case.get("history_size")),
    }
}

#[test]
fn sector_metadata() {
    let vectors = section("core.json", "sector_metadata");
    let case = vectors.root();
    assert!(
        case.get("derivation").str().contains("0x03ff"),
        "the sizes are derived in another way"
    );
    let metadata = metadata(&case);

    let scale = metadata.encode();
    assert_eq!(scale.len(), case.get("scale_len").usize());
    assert_eq!(scale.len(), SectorMetadata::ENCODED_SIZE);
    assert_eq!(blake3_hash(&scale), Blake3Hash(case.get("scale_blake3").array()));
    assert!(scale.starts_with(&case.get("scale_first_36").bytes()));
    assert!(scale.ends_with(&case.get("scale_last_16").bytes()));
    assert_scale(&metadata, &scale);

    let offsets = metadata.s_bucket_offsets();
    let offset_bytes: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    assert_eq!(
        blake3_hash(&offset_bytes),
        Blake3Hash(case.get("s_bucket_offsets_u32le_blake3").array())
    );
    for sample in case.get("s_bucket_offsets_samples").items() {
        let sample = sample.items();
        assert_eq!(offsets[sample[0].usize()], sample[1].u32());
    }

    let checksummed: SectorMetadataChecksummed = Blake3Checksummed(metadata);
    let mut scale = checksummed.encode();
    assert_eq!(scale.len(), case.get("checksummed_scale_len").usize());
    assert_eq!(scale.len(), SectorMetadataChecksummed::ENCODED_SIZE);
    assert_eq!(
        blake3_hash(&scale),
        Blake3Hash(case.get("checksummed_scale_blake3").array())
    );
    assert!(scale.ends_with(&case.get("checksummed_scale_last_40").bytes()));
    assert_scale(&checksummed, &scale);

    scale[100] ^= 1;
    let fails = SectorMetadataChecksummed::decode(&mut scale.as_slice()).is_err();
    assert_eq!(
        fails,
        case.get("decode_after_flipping_bit0_of_byte_100_fails").bool()
    );
    vectors.finish();
}

#[test]
fn plotted_sector() {
    let vectors = section("core.json", "plotted_sector");
    let case = vectors.root();
    assert_eq!(
        case.get("sector_metadata").str(),
        "the checksummed metadata above"
    );
    let above = section("core.json", "sector_metadata");
    let sector = PlottedSector {
        sector_id: SectorId::from(case.get("sector_id").array()),
        sector_index: case.get("sector_index").u16(),
        sector_metadata: Blake3Checksummed(metadata(&above.root())),
        piece_indexes: case
            .get("piece_indexes")
            .items()
            .iter()
            .map(|node| PieceIndex::new(node.u64()))
            .collect(),
    };
    let scale = sector.encode();
    assert_eq!(scale.len(), case.get("scale_len").usize());
    assert_eq!(blake3_hash(&scale), Blake3Hash(case.get("scale_blake3").array()));
    assert!(scale.starts_with(&case.get("scale_first_48").bytes()));
    assert!(scale.ends_with(&case.get("scale_last_64").bytes()));
    assert_scale(&sector, &scale);
    vectors.finish();
}

#[test]
fn json_forms() {
    fn round_trip<T>(json: &serde_json::Value) -> T
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let value = serde_json::from_value::<T>(json.clone()).expect("deserialises");
        assert_json(&value, json);
        value
    }

    let vectors = section("core.json", "json_forms");
    for (name, node) in vectors.root().fields() {
        let json = node.value();
        match name {
            "PublicKey" => assert_eq!(round_trip::<PublicKey>(json).0, node.array()),
            "Blake3Hash" => assert_eq!(round_trip::<Blake3Hash>(json).0, node.array()),
            "PotOutput" => assert_eq!(round_trip::<PotOutput>(json).0, node.array()),
            "PotSeed" => assert_eq!(round_trip::<PotSeed>(json).0, node.array()),
            "Randomness" => assert_eq!(round_trip::<Randomness>(json).0, node.array()),
            "SectorId" => assert_eq!(*round_trip::<SectorId>(json), node.array::<32>()),
            "PieceIndex" => assert_eq!(round_trip::<PieceIndex>(json).get(), node.u64()),
            _ => {
                let byte = name
                    .strip_prefix("RewardSignature(all ")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .unwrap_or_else(|| panic!("unknown type {name}"));
                let byte: u8 = byte.parse().expect("a byte");
                assert_eq!(
                    round_trip::<RewardSignature>(json).0,
                    [byte; RewardSignature::SIZE]
                );
            }
        }
    }
    vectors.finish();
}
