//! `sector.json`.

use crate::pieces::inputs;
use crate::plotted::{AllPlotted, Plotted, plot, plotted};
use crate::sector_fields::check_sector;
use autonomys_test_support::{Node, binary, label, section, xof};
use parity_scale_codec::Encode;
use schnorrkel::{ExpansionMode, MiniSecretKey};
use subspace_core_primitives::derive_global_challenge;
use subspace_core_primitives::pieces::{Piece, PieceOffset};
use subspace_core_primitives::pot::PotOutput;
use subspace_farmer_components::decoding::DecodeRecordError;
use subspace_farmer_components::reading::{ReadMode, ReadingError, ReadingErrorReason, SectorReader};
use subspace_farmer_components::sector::ContentsMapError;

#[test]
fn keys_and_challenges() {
    let keypair = section("sector.json", "keypair");
    let root = keypair.root();
    let mini_secret = xof(&label("sector/mini_secret"), 32);
    assert_eq!(mini_secret, root.get("mini_secret").bytes());
    let public_key = MiniSecretKey::from_bytes(&mini_secret)
        .unwrap()
        .expand_to_keypair(ExpansionMode::Ed25519)
        .public
        .to_bytes();
    assert_eq!(public_key, root.get("public_key").array());
    let hash = subspace_core_primitives::PublicKey::from(public_key).hash();
    assert_eq!(*hash, root.get("public_key_hash").array());
    keypair.finish();

    let reward_address = section("sector.json", "reward_address");
    assert_eq!(
        xof(&label("sector/reward_address"), 32),
        reward_address.root().bytes()
    );
    reward_address.finish();

    let challenges = section("sector.json", "challenges");
    for challenge in challenges.root().items() {
        let number = challenge.get("challenge").u64();
        let proof_of_time: [u8; 16] = challenge.get("proof_of_time").array();
        assert_eq!(xof(&label(&format!("sector/pot/{number}")), 16), proof_of_time);
        let randomness = PotOutput::from(proof_of_time).derive_global_randomness();
        let global_challenge = derive_global_challenge(&randomness, challenge.get("slot").u64());
        assert_eq!(*global_challenge, challenge.get("global_challenge").array());
    }
    challenges.finish();
}

#[test]
fn segment_commitments() {
    let Some(inputs) = inputs("sector::segment_commitments") else {
        return;
    };
    let section = section("sector.json", "segment_commitments");
    let expected: Vec<[u8; 48]> = section.root().items().iter().map(Node::array).collect();
    assert!(
        inputs
            .segment_commitments
            .iter()
            .map(|commitment| commitment.0)
            .eq(expected)
    );
    section.finish();
}

#[test]
fn sectors() {
    let Some(all) = plotted("sector::sectors") else {
        return;
    };
    let section = section("sector.json", "sectors");
    for (node, plotted) in section.root().items().iter().zip(&all.sectors) {
        check_sector(node, plotted, all.inputs);
    }
    section.finish();

    let whole = all.sector("a0");
    assert_eq!(whole.encoded.metadata.encode(), binary("sector_a0_metadata.bin"));
    let contents_map = binary("sector_a0_contents_map.bin");
    assert_eq!(whole.encoded.sector[..contents_map.len()], contents_map);
}

#[test]
fn concurrency_does_not_matter() {
    let Some(all) = plotted("sector::concurrency_does_not_matter") else {
        return;
    };
    let sectors = section("sector.json", "sectors");
    let nodes = sectors.root().items();
    let node = nodes
        .iter()
        .min_by_key(|node| node.get("pieces_in_sector").u64())
        .unwrap();
    let [one, two] = [1, 2].map(|concurrency| plot(node, all.inputs, &all.proof_of_space, concurrency));
    let same = one.encoded.sector == two.encoded.sector && one.encoded.metadata == two.encoded.metadata;
    let expected = section("sector.json", "same_bytes_with_1_and_2_table_generators");
    assert_eq!(same, expected.root().bool());
    expected.finish();
}

fn read(
    all: &AllPlotted,
    plotted: &Plotted,
    sector: &[u8],
    offset: u16,
    mode: ReadMode,
) -> Result<Piece, ReadingError> {
    SectorReader::new(sector, &plotted.sector, mode, Some(&all.inputs.pool)).read_piece(
        PieceOffset::from(offset),
        &all.proof_of_space,
        &all.inputs.erasure_coding,
    )
}

#[test]
fn reading() {
    let Some(all) = plotted("sector::reading") else {
        return;
    };
    let section = section("sector.json", "reading");
    for (case, mode) in section
        .root()
        .items()
        .iter()
        .zip([ReadMode::SingleReads, ReadMode::WholeSector].iter().cycle())
    {
        let plotted = all.sector(case.get("sector").str());
        let offset = case.get("piece_offset").u16();
        let piece = read(all, plotted, &plotted.encoded.sector, offset, *mode).unwrap();
        let index = plotted.piece_indexes[usize::from(offset)];
        assert_eq!(index.get(), case.get("piece_index").u64());
        assert_eq!(*piece.hash(), case.get("piece_blake3").array());
        assert_eq!(
            piece == all.inputs.pieces[&index],
            case.get("equals_original").bool()
        );
    }
    section.finish();
}

#[test]
fn reading_corrupted() {
    let Some(all) = plotted("sector::reading_corrupted") else {
        return;
    };
    let section = section("sector.json", "reading_corrupted");
    for case in section.root().items() {
        let plotted = all.sector(case.get("sector").str());
        let what = case.get("what").str();
        let bit = what
            .strip_prefix("bit ")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|bit| bit.parse().ok());
        let bit: u32 = bit.unwrap_or_else(|| panic!("which bit is flipped? {what}"));
        let mut sector = plotted.encoded.sector.clone();
        sector[case.get("byte_offset").usize()] ^= 1 << bit;
        let results = case.get("read_piece_result_per_offset").items();
        assert_eq!(results.len(), usize::from(plotted.sector.pieces_in_sector));
        for (offset, expected) in (0..).zip(results) {
            let result = read(all, plotted, &sector, offset, ReadMode::SingleReads);
            let expected = expected.str();
            match &result {
                Ok(piece) => {
                    assert_eq!(expected, "ok", "{what}");
                    assert_eq!(
                        *piece,
                        all.inputs.pieces[&plotted.piece_indexes[usize::from(offset)]]
                    );
                }
                Err(error) => {
                    let reason = &error.reason;
                    let agrees = match reason {
                        ReadingErrorReason::ContentsMap(ContentsMapError::Checksum) => {
                            expected == "Failed to decode sector contents map: Checksum mismatch"
                        }
                        ReadingErrorReason::PieceChecksum => expected == "Checksum mismatch",
                        ReadingErrorReason::Decode(DecodeRecordError::InvalidChunk { .. }) => {
                            expected.starts_with("Invalid chunk")
                        }
                        _ => false,
                    };
                    assert!(agrees, "{what}: {error} instead of {expected}");
                    assert!(reason.is_sector_damaged());
                    assert_eq!(error.sector_index, plotted.sector.sector_index);
                }
            }
        }
    }
    section.finish();
}
