//! Golden vectors of constants, identities, derivations and ranges.

mod common;

use autonomys_test_support::{section, xof};
use common::{history_size, history_size_pair, optional, pair};
use subspace_core_primitives::hashes::{
    Blake3Hash, blake3_254_hash_to_scalar, blake3_hash, blake3_hash_parallel,
};
use subspace_core_primitives::pieces::{
    NUM_CHUNKS, NUM_S_BUCKETS, Piece, PieceIndex, PieceOffset, RAW_RECORD_SIZE, RECORD_SIZE,
    RecordCommitment, RecordWitness, ScalarBytes,
};
use subspace_core_primitives::pos::{POS_K, PosProof};
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput};
use subspace_core_primitives::sectors::{
    SectorId, SectorMetadataChecksummed, sector_contents_map_size, sector_record_chunks_size,
    sector_record_metadata_size, sector_size,
};
use subspace_core_primitives::segments::{
    ARCHIVED_HISTORY_SEGMENT_SIZE, NUM_PIECES_IN_SEGMENT, NUM_RAW_RECORDS, RECORDED_HISTORY_SEGMENT_SIZE,
    SegmentCommitment, SegmentIndex,
};
use subspace_core_primitives::solutions::{
    Solution, bidirectional_distance, block_fork_weight, is_within_solution_range, next_solution_range,
    pieces_to_solution_range, solution_distance, solution_range_to_pieces,
};
use subspace_core_primitives::{PublicKey, derive_global_challenge};

#[test]
fn constants() {
    let vectors = section("core.json", "constants");
    for (name, value) in vectors.root().fields() {
        // Functions are given with their argument: `sector_size(5)`.
        let (function, argument) = name
            .strip_suffix(')')
            .and_then(|name| name.split_once('('))
            .and_then(|(function, argument)| Some((function, argument.parse::<u16>().ok()?)))
            .unwrap_or((name, 0));
        let ours = match function {
            "ScalarBytes::SAFE_BYTES" => ScalarBytes::SAFE_BYTES,
            "ScalarBytes::FULL_BYTES" => ScalarBytes::FULL_BYTES,
            "RawRecord::NUM_CHUNKS" | "Record::NUM_CHUNKS" => NUM_CHUNKS,
            "RawRecord::SIZE" => RAW_RECORD_SIZE,
            "Record::NUM_S_BUCKETS" => NUM_S_BUCKETS,
            "Record::SIZE" => RECORD_SIZE,
            "RecordCommitment::SIZE" => RecordCommitment::SIZE,
            "RecordWitness::SIZE" => RecordWitness::SIZE,
            "Piece::SIZE" => Piece::SIZE,
            "RecordedHistorySegment::NUM_RAW_RECORDS" => NUM_RAW_RECORDS,
            "RecordedHistorySegment::SIZE" => RECORDED_HISTORY_SEGMENT_SIZE,
            "ArchivedHistorySegment::NUM_PIECES" => NUM_PIECES_IN_SEGMENT,
            "ArchivedHistorySegment::SIZE" => ARCHIVED_HISTORY_SEGMENT_SIZE,
            "PosProof::K" => usize::from(POS_K),
            "PosProof::SIZE" => PosProof::SIZE,
            "PotCheckpoints::NUM_CHECKPOINTS" => PotCheckpoints::NUM_CHECKPOINTS,
            "SectorMetadataChecksummed::encoded_size" => SectorMetadataChecksummed::ENCODED_SIZE,
            "sector_size" => sector_size(argument),
            "sector_record_chunks_size" => sector_record_chunks_size(argument),
            "sector_record_metadata_size" => sector_record_metadata_size(argument),
            "SectorContentsMap::encoded_size" => sector_contents_map_size(argument),
            "SolutionBytes (SCALE, 32-byte reward address)" => Solution::ENCODED_SIZE,
            _ => panic!("unknown constant {name}"),
        };
        assert_eq!(ours, value.usize(), "{name}");
    }
    vectors.finish();
}

#[test]
fn public_keys() {
    let vectors = section("core.json", "public_keys");
    for case in vectors.root().items() {
        let public_key = PublicKey(case.get("public_key").array());
        assert_eq!(public_key.as_ref(), xof(case.get("label").str(), PublicKey::SIZE));
        assert_eq!(public_key.hash(), Blake3Hash(case.get("hash").array()));
    }
    vectors.finish();
}

#[test]
fn sector_ids() {
    let vectors = section("core.json", "sector_ids");
    for case in vectors.root().items() {
        let public_key_hash = PublicKey(case.get("public_key").array()).hash();
        let sector_id = SectorId::new(
            &public_key_hash,
            case.get("sector_index").u16(),
            history_size(&case.get("history_size")),
        );
        assert_eq!(sector_id, SectorId::from(case.get("sector_id").array()));
    }
    vectors.finish();
}

#[test]
fn piece_indexes() {
    let vectors = section("core.json", "piece_indexes");
    for case in vectors.root().items() {
        let sector_id = SectorId::from(case.get("sector_id").array());
        let (offsets, indexes) = (
            case.get("piece_offsets").items(),
            case.get("piece_indexes").items(),
        );
        assert_eq!(offsets.len(), indexes.len());
        for (offset, index) in offsets.iter().zip(indexes) {
            let derived = sector_id.derive_piece_index(
                PieceOffset::new(offset.u16()),
                history_size(&case.get("history_size")),
                case.get("max_pieces_in_sector").u16(),
                history_size(&case.get("recent_segments")),
                history_size_pair(&case.get("recent_history_fraction")),
            );
            assert_eq!(derived.get(), index.u64(), "{} {}", offset.path(), index.path());
        }
    }
    vectors.finish();
}

#[test]
fn evaluation_seeds() {
    let vectors = section("core.json", "evaluation_seeds");
    for case in vectors.root().items() {
        let seed = SectorId::from(case.get("sector_id").array())
            .derive_evaluation_seed(PieceOffset::new(case.get("piece_offset").u16()));
        assert_eq!(seed.0, case.get("evaluation_seed").array());
    }
    vectors.finish();
}

#[test]
fn global_challenges() {
    use subspace_core_primitives::pot::PotSeed;

    let vectors = section("core.json", "global_challenges");
    for case in vectors.root().items() {
        let output = PotOutput(case.get("pot_output").array());
        let slot = case.get("slot").u64();
        let randomness = output.derive_global_randomness();
        assert_eq!(randomness.0, case.get("global_randomness").array());
        let challenge = Blake3Hash(case.get("global_challenge").array());
        assert_eq!(derive_global_challenge(&randomness, slot), challenge);
        assert_eq!(output.derive_global_challenge(slot), challenge);

        assert_eq!(output.seed(), PotSeed(case.get("pot_seed_no_entropy").array()));
        assert_eq!(output.seed().key().0, case.get("pot_key_of_seed").array());
        let entropy = Blake3Hash(case.get("entropy").array());
        assert_eq!(
            output.seed_with_entropy(&entropy),
            PotSeed(case.get("pot_seed_with_entropy").array())
        );
        let chunk = ScalarBytes(case.get("entropy_chunk").array());
        assert_eq!(
            output.derive_entropy(&chunk),
            Blake3Hash(case.get("derived_pot_entropy").array())
        );

        let genesis = case.get("pot_seed_from_genesis");
        let seed = PotSeed::from_genesis(
            &genesis.get("genesis_block_hash").array::<32>(),
            genesis.get("external_entropy_utf8").str().as_bytes(),
        );
        assert_eq!(seed, PotSeed(genesis.get("seed").array()));
    }
    vectors.finish();
}

#[test]
fn sector_slot_challenges() {
    let vectors = section("core.json", "sector_slot_challenges");
    for case in vectors.root().items() {
        let challenge = SectorId::from(case.get("sector_id").array())
            .derive_sector_slot_challenge(&Blake3Hash(case.get("global_challenge").array()));
        assert_eq!(*challenge, case.get("sector_slot_challenge").array());
        assert_eq!(
            challenge.s_bucket_audit_index().get(),
            case.get("s_bucket_audit_index").u16()
        );
    }
    vectors.finish();
}

#[test]
fn expirations() {
    let vectors = section("core.json", "expirations");
    for case in vectors.root().items() {
        let made_at = history_size(&case.get("history_size"));
        let lifetime = history_size(&case.get("min_sector_lifetime"));
        assert_eq!(
            made_at.sector_expiration_check(lifetime),
            optional(&case.get("expiration_check_history_size"), history_size),
        );
        let expiration = SectorId::from(case.get("sector_id").array()).derive_expiration_history_size(
            made_at,
            &SegmentCommitment(case.get("segment_commitment").array()),
            lifetime,
        );
        assert_eq!(
            expiration,
            optional(&case.get("expiration_history_size"), history_size)
        );
    }
    vectors.finish();
}

#[test]
fn solution_distances() {
    let vectors = section("core.json", "solution_distances");
    for case in vectors.root().items() {
        let global_challenge = Blake3Hash(case.get("global_challenge").array());
        let challenge =
            SectorId::from(case.get("sector_id").array()).derive_sector_slot_challenge(&global_challenge);
        let distance = solution_distance(&global_challenge, &case.get("chunk").array(), &challenge);
        assert_eq!(distance, case.get("solution_distance").u64());
        for range in case.get("ranges").items() {
            assert_eq!(
                is_within_solution_range(distance, range.get("solution_range").u64()),
                range.get("within").bool(),
                "{}",
                range.path(),
            );
        }
    }
    vectors.finish();
}

#[test]
fn bidirectional_distances() {
    let vectors = section("core.json", "bidirectional_distance");
    for case in vectors.root().items() {
        let (a, b) = (case.get("a").u64(), case.get("b").u64());
        assert_eq!(bidirectional_distance(a, b), case.get("distance").u64());
        assert_eq!(bidirectional_distance(a, b), bidirectional_distance(b, a));
    }
    vectors.finish();
}

#[test]
fn solution_ranges() {
    let vectors = section("core.json", "solution_ranges");
    for case in vectors.root().items() {
        let slot_probability = pair(&case.get("slot_probability"));
        let range = pieces_to_solution_range(case.get("pieces").u64(), slot_probability);
        assert_eq!(range, case.get("solution_range").u64());
        assert_eq!(
            solution_range_to_pieces(range, slot_probability),
            case.get("back_to_pieces").u64()
        );
    }
    vectors.finish();
}

#[test]
fn next_solution_ranges() {
    let vectors = section("core.json", "next_solution_ranges");
    for case in vectors.root().items() {
        let next = next_solution_range(
            case.get("start_slot").u64(),
            case.get("current_slot").u64(),
            pair(&case.get("slot_probability")),
            case.get("current_solution_range").u64(),
            case.get("era_duration").u32(),
        );
        assert_eq!(next, case.get("next_solution_range").u64(), "{}", case.path());
    }
    vectors.finish();
}

#[test]
fn fork_weights() {
    let vectors = section("core.json", "fork_weights");
    for case in vectors.root().items() {
        assert_eq!(
            block_fork_weight(case.get("solution_range").u64()),
            case.get("fork_weight").u128()
        );
    }
    vectors.finish();
}

#[test]
fn hashes_to_scalars() {
    let vectors = section("core.json", "blake3_254");
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a pool starts");
    for case in vectors.root().items() {
        let data = case.get("data").bytes();
        let hash = Blake3Hash(case.get("blake3").array());
        assert_eq!(blake3_hash(&data), hash);
        assert_eq!(blake3_hash_parallel(&data, &pool), hash);
        assert_eq!(
            blake3_254_hash_to_scalar(&data).0,
            case.get("scalar_bytes").array()
        );
    }
    vectors.finish();
}

#[test]
fn record_commitment_hashes() {
    let vectors = section("core.json", "record_commitment_hashes");
    for case in vectors.root().items() {
        let commitment = RecordCommitment(case.get("commitment").array());
        assert_eq!(
            commitment.hash_to_scalar().0,
            case.get("commitment_hash_scalar").array()
        );
    }
    vectors.finish();
}

#[test]
fn piece_index_helpers() {
    let vectors = section("core.json", "piece_index_helpers");
    for case in vectors.root().items() {
        let index = PieceIndex::new(case.get("piece_index").u64());
        assert_eq!(index.segment_index().get(), case.get("segment_index").u64());
        assert_eq!(index.position(), case.get("position").u32());
        assert_eq!(index.is_source(), case.get("is_source").bool());
        let source_position = optional(&case.get("source_position"), |node| node.u32());
        assert_eq!(index.source_position(), source_position);
        if let Some(position) = source_position {
            assert_eq!(
                PieceIndex::from_source_position(position, index.segment_index()),
                Some(index)
            );
        }
        let read = |name| optional(&case.get(name), |node| PieceIndex::new(node.u64()));
        assert_eq!(index.next_source_index(), read("next_source_index"));
        assert_eq!(index.prev_source_index(), read("prev_source_index"));
    }
    vectors.finish();
}

#[test]
fn segment_index_helpers() {
    let vectors = section("core.json", "segment_index_helpers");
    for case in vectors.root().items() {
        let segment = SegmentIndex::new(case.get("segment_index").u64());
        assert_eq!(
            segment.first_piece_index().get(),
            case.get("first_piece_index").u64()
        );
        assert_eq!(
            segment.last_piece_index().get(),
            case.get("last_piece_index").u64()
        );

        let source_first: Vec<_> = segment
            .segment_piece_indexes_source_first()
            .map(PieceIndex::get)
            .collect();
        let samples = |name: &str| {
            case.get(name)
                .items()
                .iter()
                .map(|node| node.u64())
                .collect::<Vec<_>>()
        };
        assert!(source_first.starts_with(&samples("source_first_order_first_8")));
        assert!(source_first[126..].starts_with(&samples("source_first_order_from_126")));

        let mut sorted = source_first;
        sorted.sort_unstable();
        let all: Vec<_> = segment.segment_piece_indexes().map(PieceIndex::get).collect();
        assert_eq!(sorted, all);
        assert_eq!(all.len(), NUM_PIECES_IN_SEGMENT);
    }
    vectors.finish();
}
