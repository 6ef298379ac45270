//! Sectors plotted with the trivial proof of space: layout, reading, auditing, proving, and what happens when something is
//! wrong.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{LazyLock, OnceLock};
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, PieceOffset, RecordCommitment, RecordWitness, SBucket};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::{
    AuditChallenge, AuditResult, ChunkCandidate, SectorInPlot, audit_plot, audit_sector,
};
use subspace_farmer_components::plotting::{
    AssembleSectorError, EncodeRecordError, EncodeSectorError, EncodedSector, SectorToEncode,
    assemble_sector, encode_record, encode_sector,
};
use subspace_farmer_components::proving::{
    ProofRequest, ProvingError, provable_candidates, prove, read_proof_input,
};
use subspace_farmer_components::read_at::ReadAt;
use subspace_farmer_components::reading::{ReadMode, ReadingErrorReason, SectorReader};
use subspace_farmer_components::sector::{
    CHUNK_SIZE, LoadedSector, NUM_CHUNKS, RECORD_BITMAP_SIZE, RecordBitmap, SectorContentsMap,
    placeholder_metadata,
};
use subspace_kzg::{Commitment, Kzg, ReferenceString, Scalar, Witness};
use subspace_proof_of_space::{ChiaProofOfSpace, FastTestProofOfSpace, ProofOfSpace, ProofOfSpaceKind};

static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(2).build().unwrap());
static ERASURE_CODING: LazyLock<ErasureCoding> =
    LazyLock::new(|| ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap());

const PIECES: u16 = 3;

fn record(seed: u16) -> Vec<[u8; 32]> {
    let mut record = vec![[0; 32]; NUM_CHUNKS];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(record.as_flattened_mut());
    record.iter_mut().for_each(|chunk| chunk[0] &= 0x3f);
    record
}

fn piece(seed: u16) -> Piece {
    let commitment = RecordCommitment::from([seed as u8; 48]);
    Piece::from_parts(
        record(seed).as_flattened(),
        &commitment,
        &RecordWitness::from([9; 48]),
    )
    .unwrap()
}

fn to_encode(pieces: Vec<Piece>) -> SectorToEncode {
    SectorToEncode {
        public_key_hash: blake3_hash(b"key"),
        sector_index: 12,
        history_size: HistorySize::from_segments(7).unwrap(),
        pieces,
    }
}

fn encode(pieces: Vec<Piece>) -> Result<EncodedSector, EncodeSectorError> {
    let two = NonZeroUsize::new(2).unwrap();
    let cancelled = AtomicBool::new(false);
    encode_sector(
        to_encode(pieces),
        &FastTestProofOfSpace,
        &ERASURE_CODING,
        &POOL,
        two,
        &|_| {},
        &cancelled,
    )
}

fn load(encoded: &EncodedSector) -> LoadedSector {
    LoadedSector::new(&blake3_hash(b"key"), encoded.metadata.0.clone())
}

fn plotted() -> &'static (EncodedSector, LoadedSector) {
    static PLOTTED: OnceLock<(EncodedSector, LoadedSector)> = OnceLock::new();
    PLOTTED.get_or_init(|| {
        let encoded = encode((0..PIECES).map(piece).collect()).unwrap();
        let sector = load(&encoded);
        (encoded, sector)
    })
}

fn reader(mode: ReadMode, pool: Option<&'static ThreadPool>) -> SectorReader<'static, Vec<u8>> {
    let (encoded, sector) = plotted();
    SectorReader::new(&encoded.sector, sector, mode, pool)
}

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
fn pieces_read_back() {
    for (offset, mode, pool) in [
        (0, ReadMode::SingleReads, None),
        (1, ReadMode::WholeSector, None),
        (2, ReadMode::SingleReads, Some(&*POOL)),
        (2, ReadMode::WholeSector, Some(&*POOL)),
    ] {
        let read = reader(mode, pool)
            .read_piece(PieceOffset::from(offset), &FastTestProofOfSpace, &ERASURE_CODING)
            .unwrap();
        assert_eq!(read, piece(offset));
    }
    let reader = reader(ReadMode::SingleReads, None);
    let error = reader
        .read_piece(PieceOffset::from(PIECES), &FastTestProofOfSpace, &ERASURE_CODING)
        .unwrap_err();
    assert!(matches!(
        error.reason,
        ReadingErrorReason::NoSuchPiece {
            pieces_in_sector: PIECES
        }
    ));
    assert_eq!(
        error.to_string(),
        "sector 12, piece offset 3: the sector has only 3 pieces"
    );
}

#[test]
fn a_contents_map_of_another_sector_is_refused() {
    let (encoded, sector) = plotted();
    let contents_map = reader(ReadMode::SingleReads, None).read_contents_map().unwrap();
    let fewer = SectorContentsMap::new(contents_map.bitmaps()[1..].to_vec()).unwrap();
    let other = LoadedSector::new(&blake3_hash(b"key"), placeholder_metadata(12, PIECES));
    let offset = PieceOffset::from(1);
    for (sector, map) in [(sector, &fewer), (&other, &contents_map)] {
        let reader = SectorReader::new(&encoded.sector, sector, ReadMode::SingleReads, None);
        let error = reader.read_record_chunks(offset, map).unwrap_err();
        assert!(
            matches!(error.reason, ReadingErrorReason::MetadataMismatch),
            "{error}"
        );
        assert!(error.reason.is_sector_damaged());
    }
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

struct BrokenDisk;

impl ReadAt for BrokenDisk {
    fn read_into(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
        Err(io::Error::other("unrecovered read error"))
    }
}

#[test]
fn unreadable_sectors_do_not_hide_others() {
    let (encoded, sector) = plotted();
    let challenge = challenge_with_candidates(sector);
    // The second place lies behind the end of the plot.
    let sectors = [encoded.sector.len() as u64, 0].map(|start| SectorInPlot { sector, start });
    for pool in [None, Some(&*POOL)] {
        let audit = audit_plot(&encoded.sector, &sectors, &challenge, &|_| false, pool);
        assert_eq!((audit.results.len(), audit.errors.len()), (1, 1));
        assert_eq!(audit.errors[0].sector_index, 12);
        assert_eq!(audit.errors[0].source.kind(), io::ErrorKind::UnexpectedEof);
        let audit = audit_plot(&encoded.sector, &sectors, &challenge, &|index| index == 12, pool);
        assert!(audit.results.is_empty() && audit.errors.is_empty());
    }
    let reader = SectorReader::new(&BrokenDisk, sector, ReadMode::SingleReads, Some(&POOL));
    let error = reader
        .read_piece(PieceOffset::ZERO, &FastTestProofOfSpace, &ERASURE_CODING)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "sector 12: cannot be read (unrecovered read error); check the disk"
    );
    assert!(!error.reason.is_sector_damaged());
}

fn challenge_with_candidates(sector: &LoadedSector) -> AuditChallenge {
    (0_u64..)
        .map(|number| AuditChallenge {
            global_challenge: blake3_hash(&number.to_le_bytes()),
            solution_range: u64::MAX,
        })
        .find(|challenge| {
            let slot_challenge = sector
                .sector_id
                .derive_sector_slot_challenge(&challenge.global_challenge);
            sector.s_bucket_sizes.size(slot_challenge.s_bucket_audit_index()) > 0
        })
        .unwrap()
}

#[test]
fn empty_s_buckets_are_not_read() {
    let sector = LoadedSector::new(&blake3_hash(b"key"), placeholder_metadata(3, 1000));
    let challenge = AuditChallenge {
        global_challenge: Blake3Hash::default(),
        solution_range: u64::MAX,
    };
    let mut buffer = Vec::new();
    assert!(
        audit_sector(&sector, &BrokenDisk, &challenge, &mut buffer)
            .unwrap()
            .is_none()
    );
    assert!(buffer.is_empty());
}

#[test]
fn unencoded_candidates_are_dropped() {
    let mut bytes = [0; RECORD_BITMAP_SIZE];
    bytes[0] = 0b10;
    let encoded_there = RecordBitmap::from_bytes(&bytes).unwrap();
    let unencoded_there = RecordBitmap::from_bytes(&[0; RECORD_BITMAP_SIZE]).unwrap();
    let contents_map =
        SectorContentsMap::new(vec![unencoded_there.clone(), encoded_there, unencoded_there]).unwrap();
    let candidate = |chunk_offset| ChunkCandidate {
        chunk_offset,
        solution_distance: u64::from(chunk_offset),
    };
    let audit = AuditResult {
        sector_index: 0,
        sector_id: Default::default(),
        s_bucket: SBucket::from(1),
        candidates: [2, 1, 0, 3].map(candidate).to_vec(),
    };
    let provable = provable_candidates(&audit, &contents_map);
    assert_eq!(provable.len(), 1);
    assert_eq!((provable[0].piece_offset.get(), provable[0].chunk_offset), (1, 1));
}

#[test]
fn proofs_are_checked_before_they_are_sent() {
    let kzg = Kzg::new(ReferenceString::insecure_development(&POOL)).with_precomputation(&POOL);
    let record = record(5);
    let scalars: Vec<_> = record
        .iter()
        .map(|chunk| Scalar::try_from_bytes(chunk).unwrap())
        .collect();
    let commitment = kzg.commit_values(&scalars).unwrap();
    let witness = RecordWitness::default();
    let piece = Piece::from_parts(
        record.as_flattened(),
        &RecordCommitment::from(commitment),
        &witness,
    )
    .unwrap();
    let encoded = encode(vec![piece]).unwrap();
    let sector = load(&encoded);
    let reader = SectorReader::new(&encoded.sector, &sector, ReadMode::SingleReads, None);
    let contents_map = reader.read_contents_map().unwrap();
    let challenge = challenge_with_candidates(&sector);
    let audit = audit_sector(&sector, &encoded.sector, &challenge, &mut Vec::new())
        .unwrap()
        .unwrap();
    let candidate = provable_candidates(&audit, &contents_map)[0];
    let input = read_proof_input(&reader, &contents_map, &candidate, ProofOfSpaceKind::FastTest).unwrap();
    let prove = |request: &ProofRequest, proof_of_space: &dyn ProofOfSpace| {
        prove(request, &kzg, &ERASURE_CODING, proof_of_space, &POOL)
    };

    let proof = prove(&input.request, &FastTestProofOfSpace).unwrap();
    let index = u32::from(candidate.s_bucket);
    let chunk = Scalar::try_from(&proof.chunk).unwrap();
    let witness = Witness::try_from(&proof.chunk_witness).unwrap();
    let stated = Commitment::try_from(&input.solution_part.record_commitment).unwrap();
    assert!(kzg.verify(&stated, 65_536, index, &chunk, &witness));
    let solution = input
        .solution_part
        .into_solution(Default::default(), Default::default(), &proof);
    let slot_challenge = sector
        .sector_id
        .derive_sector_slot_challenge(&challenge.global_challenge);
    let distance = subspace_core_primitives::solutions::solution_distance(
        &challenge.global_challenge,
        &solution.masked_chunk(),
        &slot_challenge,
    );
    assert_eq!(distance, candidate.solution_distance);

    let changed = |change: &dyn Fn(&mut subspace_farmer_components::proving::ProofRequestV0)| {
        let ProofRequest::V0(mut request) = input.request.clone();
        change(&mut request);
        prove(&ProofRequest::V0(request), &FastTestProofOfSpace).unwrap_err()
    };
    // The lowest bit of a chunk never makes it too large for a field element.
    let error = changed(&|request| request.chunks[77][31] ^= 1);
    assert!(matches!(error, ProvingError::CommitmentMismatch), "{error}");
    assert!(error.is_sector_damaged());
    let error = changed(&|request| request.record_commitment.0[0] ^= 0x80);
    assert!(matches!(error, ProvingError::CommitmentMismatch), "{error}");
    let error = changed(&|request| request.chunks.as_flattened_mut().fill(0xff));
    assert!(matches!(error, ProvingError::Decode(_)), "{error}");
    let error = changed(&|request| {
        let unencoded = (0..=u16::MAX)
            .map(SBucket::from)
            .find(|&s_bucket| !request.bitmap.is_encoded(s_bucket));
        request.s_bucket = unencoded.unwrap();
    });
    assert!(matches!(error, ProvingError::NotEncoded(_)), "{error}");
    let error = prove(&input.request, &ChiaProofOfSpace::new()).unwrap_err();
    assert!(matches!(error, ProvingError::ProofOfSpace { .. }), "{error}");
    assert!(!error.is_sector_damaged());
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
