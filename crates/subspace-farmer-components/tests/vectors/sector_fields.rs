//! Compares a plotted sector with its fields in a vector file.

use crate::pieces::Inputs;
use crate::plotted::Plotted;
use autonomys_test_support::Node;
use parity_scale_codec::{Decode, Encode};
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{PieceOffset, SBucket};
use subspace_farmer_components::sector::{
    CHUNK_SIZE, ChunkKind, PlottedSector, RecordMetadata, SectorContentsMap, SectorMetadataChecksummed,
    sector_size,
};
use subspace_kzg::{Commitment, Scalar, Witness};

#[track_caller]
fn assert_blake3(bytes: &[u8], expected: &Node<'_>) {
    assert_eq!(*blake3_hash(bytes), expected.array(), "{}", expected.path());
}

/// Checks every field of a sector.
pub(crate) fn check_sector(node: &Node<'_>, plotted: &Plotted, inputs: &Inputs) {
    let sector = plotted.encoded.sector.as_slice();
    let layout = plotted.sector.layout();
    let loaded = &plotted.sector;
    assert_eq!(node.get("name").str(), plotted.name);
    assert_eq!(*plotted.public_key, node.get("public_key").array());
    assert_eq!(loaded.sector_index, node.get("sector_index").u16());
    assert_eq!(loaded.pieces_in_sector, node.get("pieces_in_sector").u16());
    assert_eq!(loaded.history_size.get(), node.get("history_size").u64());
    assert_eq!(
        plotted.protocol_info.max_pieces_in_sector,
        node.get("max_pieces_in_sector").u16()
    );
    assert_eq!(
        plotted.protocol_info.recent_segments.get(),
        node.get("recent_segments").u64()
    );
    let fraction = node.get("recent_history_fraction").items();
    let used = plotted.protocol_info.recent_history_fraction;
    assert_eq!(
        [used.0.get(), used.1.get()],
        [fraction[0].u64(), fraction[1].u64()]
    );
    assert_eq!(*loaded.sector_id, node.get("sector_id").array());

    assert_eq!(sector.len(), node.get("sector_size").usize());
    assert_eq!(sector_size(loaded.pieces_in_sector), sector.len());
    assert_blake3(sector, &node.get("sector_blake3"));
    let (map, rest) = sector.split_at(layout.contents_map_size() as usize);
    let (chunks, rest) = rest.split_at(layout.chunks_size() as usize);
    let (record_metadata, checksum) = rest.split_at(layout.all_record_metadata_size() as usize);
    assert_eq!(map.len(), node.get("contents_map_len").usize());
    assert_blake3(map, &node.get("contents_map_blake3"));
    assert_eq!(
        map[map.len() - 32..],
        node.get("contents_map_trailing_checksum").bytes()
    );
    assert_eq!(chunks.len(), node.get("s_buckets_len").usize());
    assert_blake3(chunks, &node.get("s_buckets_blake3"));
    assert_eq!(record_metadata.len(), node.get("record_metadata_len").usize());
    assert_blake3(record_metadata, &node.get("record_metadata_blake3"));
    assert_eq!(checksum, node.get("sector_trailing_checksum").bytes());

    check_metadata(node, plotted);
    let contents_map = SectorContentsMap::from_bytes(map, loaded.pieces_in_sector).unwrap();
    assert_eq!(contents_map.s_bucket_sizes(), loaded.s_bucket_sizes);
    check_records(
        &node.get("records"),
        plotted,
        &contents_map,
        record_metadata,
        inputs,
    );
    check_s_buckets(node, plotted, &contents_map, chunks);
}

fn check_metadata(node: &Node<'_>, plotted: &Plotted) {
    let metadata = plotted.encoded.metadata.encode();
    assert_eq!(metadata.len(), node.get("metadata_scale_len").usize());
    assert_eq!(metadata.len(), SectorMetadataChecksummed::ENCODED_SIZE);
    assert_blake3(&metadata, &node.get("metadata_scale_blake3"));
    assert_eq!(metadata[..36], node.get("metadata_scale_first_36").bytes());
    assert_eq!(
        metadata[metadata.len() - 40..],
        node.get("metadata_scale_last_40").bytes()
    );
    let decoded = SectorMetadataChecksummed::decode(&mut metadata.as_slice()).unwrap();
    assert_eq!(decoded, plotted.encoded.metadata);
    assert_eq!(plotted.sector.to_metadata(), decoded.0);

    let announced = PlottedSector {
        sector_id: plotted.sector.sector_id,
        sector_index: plotted.sector.sector_index,
        sector_metadata: decoded,
        piece_indexes: plotted.piece_indexes.clone(),
    };
    assert_blake3(&announced.encode(), &node.get("plotted_sector_scale_blake3"));
}

fn check_records(
    records: &Node<'_>,
    plotted: &Plotted,
    contents_map: &SectorContentsMap,
    record_metadata: &[u8],
    inputs: &Inputs,
) {
    let records = records.items();
    assert_eq!(records.len(), usize::from(plotted.sector.pieces_in_sector));
    for (offset, record) in records.iter().enumerate() {
        let piece_offset = PieceOffset::from(record.get("piece_offset").u16());
        assert_eq!(usize::from(piece_offset), offset);
        let piece_index = plotted.piece_indexes[offset];
        assert_eq!(piece_index.get(), record.get("piece_index").u64());
        let seed = plotted.sector.sector_id.derive_evaluation_seed(piece_offset);
        assert_eq!(seed.0, record.get("evaluation_seed").array());
        let bitmap = contents_map.bitmap(piece_offset).unwrap();
        assert_eq!(bitmap.encoded_chunks(), record.get("encoded_chunks").u16());
        let bytes = bitmap.to_bytes();
        assert_blake3(bytes.as_slice(), &record.get("bitfield_blake3"));
        assert_eq!(bytes[..16], record.get("bitfield_first_16").bytes());
        let stored: [u8; 128] = record_metadata[offset * 128..][..128].try_into().unwrap();
        // Given for the first records only; the hash of the region covers all of them.
        let expected = record.get("record_metadata");
        if !expected.is_null() {
            assert_eq!(stored, expected.array());
        }

        let metadata = RecordMetadata::from_bytes(&stored);
        assert_eq!(metadata, RecordMetadata::of_piece(&inputs.pieces[&piece_index]));
        let commitment = inputs.segment_commitments[usize::from(piece_index.segment_index())];
        assert!(inputs.kzg.verify(
            &Commitment::try_from(&commitment).unwrap(),
            256,
            piece_index.position(),
            &Scalar::try_from(&metadata.commitment.hash_to_scalar()).unwrap(),
            &Witness::try_from(&metadata.witness).unwrap(),
        ));
    }
}

fn check_s_buckets(node: &Node<'_>, plotted: &Plotted, contents_map: &SectorContentsMap, chunks: &[u8]) {
    let sizes = &plotted.sector.s_bucket_sizes;
    let extremes = node.get("s_bucket_size_min_max").items();
    assert_eq!(sizes.as_slice().iter().min(), Some(&extremes[0].u16()));
    assert_eq!(sizes.as_slice().iter().max(), Some(&extremes[1].u16()));
    for sample in node.get("s_bucket_samples").items() {
        let s_bucket = SBucket::from(sample.get("s_bucket").u16());
        assert_eq!(sizes.offset(s_bucket), sample.get("offset_in_chunks").u32());
        assert_eq!(sizes.size(s_bucket), sample.get("size_in_chunks").u16());
        let expected: Vec<_> = sample
            .get("records")
            .items()
            .iter()
            .map(|record| {
                let record = record.items();
                let kind = if record[1].bool() {
                    ChunkKind::Encoded
                } else {
                    ChunkKind::Unencoded
                };
                (PieceOffset::from(record[0].u16()), kind)
            })
            .collect();
        assert_eq!(
            contents_map.s_bucket_records(s_bucket).collect::<Vec<_>>(),
            expected
        );
        let start = sizes.offset(s_bucket) as usize * CHUNK_SIZE;
        let bytes = &chunks[start..][..usize::from(sizes.size(s_bucket)) * CHUNK_SIZE];
        assert_eq!(bytes, sample.get("bytes").bytes());
    }
}
