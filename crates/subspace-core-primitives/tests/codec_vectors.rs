//! Golden vectors of SCALE and JSON forms.

mod common;

use autonomys_test_support::{Node, section, xof};
use common::{assert_json, assert_scale, history_size, history_size_pair, optional};
use parity_scale_codec::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::objects::{BlockObject, BlockObjectMapping, GlobalObject, GlobalObjectMapping};
use subspace_core_primitives::pieces::{
    ChunkWitness, Piece, PieceIndex, PieceOffset, RecordCommitment, RecordWitness, ScalarBytes,
};
use subspace_core_primitives::pos::PosProof;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput};
use subspace_core_primitives::rpc::{
    FarmerAppInfo, FarmerProtocolInfo, ObjectMappingResponse, RewardSignatureResponse, RewardSigningInfo,
    SlotInfo, SolutionResponse,
};
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, SegmentCommitment, SegmentHeader, SegmentIndex,
};
use subspace_core_primitives::solutions::{PieceCheckParams, Solution, VerifySolutionParams};
use subspace_core_primitives::{PublicKey, U256};

#[test]
fn cases() {
    let vectors = section("codec.json", "cases");
    for case in vectors.root().items() {
        let fields = case.get("fields");
        let scale = case.get("scale").bytes();
        let type_name = case.get("type").str();
        match type_name.split(['<', '{', '(', ' ']).next().unwrap_or_default() {
            "LastArchivedBlock" => both(&case, &last_archived_block(&fields)),
            "SegmentHeader::V0" => {
                let header = segment_header(&fields);
                assert_eq!(
                    header.hash(),
                    Blake3Hash(fields.get("header_hash_blake3_of_scale").array())
                );
                both(&case, &header);
            }
            "Solution" => both(&case, &solution(&fields)),
            "Solution::genesis_solution" => {
                assert_eq!(
                    type_name,
                    "Solution::genesis_solution(public_key 0, reward address = public_key 1)"
                );
                let keys = section("core.json", "public_keys");
                let key = |index: usize| PublicKey(keys.root().items()[index].get("public_key").array());
                assert_scale(&Solution::genesis_solution(key(0), key(1)), &scale);
                assert!(case.get("json").is_null());
            }
            "BlockObjectMapping::V0" => {
                let objects = fields.get("objects").items();
                let objects = objects.iter().map(|object| BlockObject {
                    hash: Blake3Hash(object.get("hash").array()),
                    offset: object.get("offset").u32(),
                });
                both(
                    &case,
                    &BlockObjectMapping::V0 {
                        objects: objects.collect(),
                    },
                );
            }
            "GlobalObjectMapping::V0" => {
                let objects = fields.get("objects").items();
                let objects = objects.iter().map(|object| GlobalObject {
                    hash: Blake3Hash(object.get("hash").array()),
                    piece_index: PieceIndex::new(object.get("piece_index").u64()),
                    offset: object.get("offset").u32(),
                });
                both(
                    &case,
                    &GlobalObjectMapping::V0 {
                        objects: objects.collect(),
                    },
                );
            }
            "FarmerProtocolInfo" => {
                let info = FarmerProtocolInfo {
                    history_size: history_size(&fields.get("history_size")),
                    max_pieces_in_sector: fields.get("max_pieces_in_sector").u16(),
                    recent_segments: history_size(&fields.get("recent_segments")),
                    recent_history_fraction: history_size_pair(&fields.get("recent_history_fraction")),
                    min_sector_lifetime: history_size(&fields.get("min_sector_lifetime")),
                };
                both(&case, &info);
            }
            "PotCheckpoints" => {
                let outputs: Vec<_> = fields
                    .get("outputs")
                    .items()
                    .iter()
                    .map(|output| PotOutput(output.array()))
                    .collect();
                let checkpoints = PotCheckpoints(outputs.try_into().expect("eight checkpoints"));
                assert_eq!(checkpoints.output(), checkpoints[7]);
                assert_scale(&checkpoints, &scale);
                assert!(case.get("json").is_null());
            }
            "U256" => {
                let number = U256::from_be_bytes(&fields.get("big_endian").array());
                assert_eq!(number.to_be_bytes(), fields.get("big_endian").array());
                assert_eq!(number, U256::from_le_bytes(&case.get("scale").array()));
                assert_eq!(number.to_le_bytes().as_slice(), scale);
                assert_scale(&number, &scale);
                assert!(case.get("json").is_null());
            }
            "VerifySolutionParams" => {
                let with_piece = type_name.contains("Some(PieceCheckParams)");
                let params = VerifySolutionParams {
                    proof_of_time: PotOutput(fields.get("proof_of_time").array()),
                    solution_range: fields.get("solution_range").u64(),
                    piece_check_params: with_piece.then(|| piece_check_params(&fields)),
                };
                assert_scale(&params, &scale);
                assert!(case.get("json").is_null());
            }
            _ => panic!("unknown type {type_name}"),
        }
    }
    vectors.finish();
}

/// Checks both wire forms of a case.
fn both<T>(case: &Node<'_>, value: &T)
where
    T: Encode + Decode + Serialize + DeserializeOwned + PartialEq + Debug,
{
    assert_scale(value, &case.get("scale").bytes());
    assert_json(value, case.get("json").value());
}

fn last_archived_block(fields: &Node<'_>) -> LastArchivedBlock {
    let partial = optional(&fields.get("partial_archived_bytes"), |bytes| bytes.u32());
    let archived_progress = partial.map_or(ArchivedBlockProgress::Complete, ArchivedBlockProgress::Partial);
    let block = LastArchivedBlock {
        number: fields.get("number").u32(),
        archived_progress,
    };
    assert_eq!(block.partial_archived(), partial);
    block
}

fn segment_header(fields: &Node<'_>) -> SegmentHeader {
    let segment_index = SegmentIndex::new(fields.get("segment_index").u64());
    let segment_commitment = SegmentCommitment(fields.get("segment_commitment").array());
    let prev_segment_header_hash = Blake3Hash(fields.get("prev_segment_header_hash").array());
    let last_archived_block = last_archived_block(fields);
    let header = SegmentHeader::V0 {
        segment_index,
        segment_commitment,
        prev_segment_header_hash,
        last_archived_block,
    };
    assert_eq!(header.segment_index(), segment_index);
    assert_eq!(header.segment_commitment(), segment_commitment);
    assert_eq!(header.prev_segment_header_hash(), prev_segment_header_hash);
    assert_eq!(header.last_archived_block(), last_archived_block);
    header
}

fn solution(fields: &Node<'_>) -> Solution {
    Solution {
        public_key: PublicKey(fields.get("public_key").array()),
        reward_address: PublicKey(fields.get("reward_address").array()),
        sector_index: fields.get("sector_index").u16(),
        history_size: history_size(&fields.get("history_size")),
        piece_offset: PieceOffset::new(fields.get("piece_offset").u16()),
        record_commitment: RecordCommitment(fields.get("record_commitment").array()),
        record_witness: RecordWitness(fields.get("record_witness").array()),
        chunk: ScalarBytes(fields.get("chunk").array()),
        chunk_witness: ChunkWitness(fields.get("chunk_witness").array()),
        proof_of_space: PosProof(fields.get("proof_of_space").array()),
    }
}

fn piece_check_params(fields: &Node<'_>) -> PieceCheckParams {
    let check_commitment = fields.get("sector_expiration_check_segment_commitment");
    PieceCheckParams {
        max_pieces_in_sector: fields.get("max_pieces_in_sector").u16(),
        segment_commitment: SegmentCommitment(fields.get("segment_commitment").array()),
        recent_segments: history_size(&fields.get("recent_segments")),
        recent_history_fraction: history_size_pair(&fields.get("recent_history_fraction")),
        min_sector_lifetime: history_size(&fields.get("min_sector_lifetime")),
        current_history_size: history_size(&fields.get("current_history_size")),
        sector_expiration_check_segment_commitment: optional(&check_commitment, |commitment| {
            SegmentCommitment(commitment.array())
        }),
    }
}

#[test]
fn rpc() {
    let vectors = section("codec.json", "rpc");
    for case in vectors.root().items() {
        let type_name = case.get("type").str();
        match type_name.split(' ').next().unwrap_or_default() {
            "SlotInfo" => payload::<SlotInfo>(&case),
            "SolutionResponse" => payload::<SolutionResponse>(&case),
            "RewardSigningInfo" => payload::<RewardSigningInfo>(&case),
            "RewardSignatureResponse" => payload::<RewardSignatureResponse>(&case),
            "FarmerAppInfo" => payload::<FarmerAppInfo>(&case),
            "ObjectMappingResponse" => {
                let json = case.get("json").value();
                let response: ObjectMappingResponse =
                    serde_json::from_value(json.clone()).expect("deserialises");
                assert_json(&response, json);
                assert!(case.get("scale").is_null());
            }
            "Piece" => piece(&case),
            _ => panic!("unknown type {type_name}"),
        }
    }
    vectors.finish();
}

/// JSON in, SCALE out, and back again.
fn payload<T>(case: &Node<'_>)
where
    T: Encode + Decode + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let json = case.get("json").value();
    let value: T = serde_json::from_value(json.clone()).expect("deserialises");
    assert_json(&value, json);
    assert_scale(&value, &case.get("scale").bytes());
    if let Some(text) = case.try_get("json_text") {
        assert_eq!(serde_json::to_string(&value).expect("serialises"), text.str());
    }
}

fn piece(case: &Node<'_>) {
    let bytes = xof(case.get("label").str(), Piece::SIZE);
    let piece = Piece::try_from(bytes.clone()).expect("a piece by size");
    let json = serde_json::to_string(&piece).expect("serialises");
    assert_eq!(json.len(), case.get("json_len").usize());
    assert!(json.starts_with(case.get("json_first_40").str()));
    let is_quoted_hex = json == format!("\"{}\"", hex::encode(&bytes));
    assert_eq!(is_quoted_hex, case.get("json_is_quoted_hex_of_the_bytes").bool());
    assert!(serde_json::from_str::<Piece>(&json).expect("deserialises") == piece);

    let scale = piece.encode();
    assert_eq!(scale.len(), case.get("scale_len").usize());
    assert!(scale.starts_with(&case.get("scale_first_8").bytes()));
    assert!(Piece::decode(&mut scale.as_slice()).expect("decodes") == piece);
    assert!(Piece::decode(&mut &scale[..scale.len() - 1]).is_err());
}
