//! Encoding records and putting sectors together.

use crate::{ERASURE_CODING, PIECES, POOL, encode, piece, plotted, reader, record, to_encode};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{Piece, PieceOffset, RecordCommitment, RecordWitness, SBucket};
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::plotting::{
    AssembleSectorError, EncodeRecordError, EncodeSectorError, SectorToEncode, assemble_sector,
    encode_record, encode_records, encode_sector,
};
use subspace_farmer_components::reading::ReadMode;
use subspace_farmer_components::sector::{CHUNK_SIZE, LoadedSector, NUM_CHUNKS};
use subspace_proof_of_space::{ChiaProofOfSpace, FastTestProofOfSpace};

#[test]
fn chunks_stand_by_s_bucket_then_piece_offset() {
    let (encoded, sector) = plotted();
    let contents_map = reader(ReadMode::SingleReads, None).read_contents_map().unwrap();
    assert_eq!(contents_map.s_bucket_sizes(), sector.s_bucket_sizes);
    let records: Vec<_> = (0..PIECES)
        .map(|offset| {
            let seed = sector.sector_id.derive_evaluation_seed(PieceOffset::from(offset));
            encode_record(&record(offset), &seed, &FastTestProofOfSpace, &ERASURE_CODING).unwrap()
        })
        .collect();
    let mut expected = Vec::new();
    let mut cursors = [0; PIECES as usize];
    for s_bucket in (0..=u16::MAX).map(SBucket::from) {
        for (record, cursor) in records.iter().zip(&mut cursors) {
            if record.bitmap.chunk(s_bucket).is_some() {
                expected.push(record.chunks[*cursor]);
                *cursor += 1;
            }
        }
    }
    let start = sector.layout().chunks_offset() as usize;
    let size = sector.layout().chunks_size() as usize;
    assert!(encoded.sector[start..start + size] == *expected.as_flattened());
    let (body, checksum) = encoded.sector.split_last_chunk::<32>().unwrap();
    assert_eq!(blake3::hash(body), *checksum);
}

#[test]
fn a_sector_written_by_parts_is_the_same() {
    let (encoded, _) = plotted();
    let records = encode_records(
        to_encode((0..PIECES).map(piece).collect()),
        &FastTestProofOfSpace,
        &ERASURE_CODING,
        &POOL,
        NonZeroUsize::MIN,
        &|_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(records.sector_size(), encoded.sector.len() as u64);
    // A sink that fails, wherever it does, gets nothing more; then all is written from the beginning.
    for fails_at in [0, 1, 2, 9, 18] {
        let mut parts = 0;
        let written = records.write_sector(&POOL, |_| {
            parts += 1;
            if parts > fails_at { Err(parts) } else { Ok(()) }
        });
        assert_eq!(written, Err(fails_at + 1));
    }
    let (mut sector, mut largest) = (Vec::new(), 0);
    let written = records.write_sector(&POOL, |part| {
        sector.extend_from_slice(part);
        largest = largest.max(part.len());
        Ok::<(), ()>(())
    });
    let written = written.unwrap();
    assert!(sector == encoded.sector);
    assert_eq!(written.metadata, encoded.metadata);
    assert_eq!(written.hash, blake3_hash(&sector));
    // The stated memory: a sixteenth of the s-buckets, each with at most a chunk of every record.
    assert!(largest <= usize::from(PIECES) * 128 * 1024, "{largest}");
}

#[test]
fn encoding_stops_when_asked() {
    let pieces: Vec<_> = (0..4).map(|_| piece(0)).collect();
    let one = NonZeroUsize::MIN;
    for stop_after in [0, 2] {
        let cancelled = AtomicBool::new(stop_after == 0);
        let done = AtomicU16::new(0);
        let progress = |records: u16| {
            done.store(records, Ordering::SeqCst);
            cancelled.store(records >= stop_after, Ordering::SeqCst);
        };
        let result = encode_sector(
            to_encode(pieces.clone()),
            &FastTestProofOfSpace,
            &ERASURE_CODING,
            &POOL,
            one,
            &progress,
            &cancelled,
        );
        assert!(matches!(result, Err(EncodeSectorError::Cancelled(12))));
        assert_eq!(done.into_inner(), stop_after);
    }
}

#[test]
fn invalid_records_are_named() {
    let mut bytes = piece(0).as_ref().to_vec();
    bytes[5 * CHUNK_SIZE..6 * CHUNK_SIZE].fill(0xff);
    let error = encode(vec![piece(0), Piece::try_from(bytes).unwrap()]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("sector 12, piece offset 1: chunk 5 "),
        "{error}"
    );

    let seed = Default::default();
    let error = encode_record(&record(0)[1..], &seed, &FastTestProofOfSpace, &ERASURE_CODING).unwrap_err();
    assert!(matches!(error, EncodeRecordError::ChunkCount(32_767)));

    assert!(matches!(
        encode(Vec::new()),
        Err(EncodeSectorError::Assemble(AssembleSectorError {
            records: 0,
            metadata: 0
        }))
    ));
    let one = encode_record(&record(0), &seed, &FastTestProofOfSpace, &ERASURE_CODING).unwrap();
    let error = assemble_sector(0, HistorySize::ONE, vec![one], &[], &POOL).unwrap_err();
    assert_eq!(
        error,
        AssembleSectorError {
            records: 1,
            metadata: 0
        }
    );
}

/// The example of `docs/protocol/sectors.md`: needs no reference string and no pieces, but the real proof of space.
#[test]
fn documented_example() {
    let chunks: Vec<_> = (0..NUM_CHUNKS as u64)
        .map(|number| {
            let mut chunk = *blake3_hash(&number.to_le_bytes());
            chunk[0] &= 0x3f;
            chunk
        })
        .collect();
    let piece = |commitment, witness| {
        let commitment = RecordCommitment::from([commitment; 48]);
        Piece::from_parts(
            chunks.as_flattened(),
            &commitment,
            &RecordWitness::from([witness; 48]),
        )
        .unwrap()
    };
    let sector = SectorToEncode {
        public_key_hash: blake3_hash(b"hello"),
        sector_index: 500,
        history_size: HistorySize::ONE,
        pieces: vec![piece(0xc0, 0xe0), piece(0xc1, 0xe1)],
    };
    let concurrency = NonZeroUsize::new(2).unwrap();
    let proof_of_space = ChiaProofOfSpace::new();
    let cancelled = AtomicBool::new(false);
    let encoded = encode_sector(
        sector,
        &proof_of_space,
        &ERASURE_CODING,
        &POOL,
        concurrency,
        &|_| {},
        &cancelled,
    )
    .unwrap();
    assert_eq!(encoded.sector.len(), 2_113_856);
    let sector = LoadedSector::new(&blake3_hash(b"hello"), encoded.metadata.0.clone());
    assert_eq!(
        sector.sector_id.to_string(),
        "3f2027fd2924f282a6c4cc66c4211e8400d35cdc08ce192b04294b7cc90911ca"
    );
    let checksum = &encoded.sector[encoded.sector.len() - 32..];
    assert_eq!(
        hex::encode(checksum),
        "8e07d0fc6ba948976e53fd7f1e33c5ceaeeed50bd2dd361856e7a71e07862cbf"
    );
    assert_eq!(sector.s_bucket_sizes.as_slice()[..8], [0, 1, 1, 0, 1, 2, 2, 1]);
    let metadata = parity_scale_codec::Encode::encode(&encoded.metadata);
    assert_eq!(
        hex::encode(&metadata[metadata.len() - 32..]),
        "cda53995f03ec38c4bda944f5a6ba3b1ded3747c219930793883b9180185d2ff"
    );
}
