//! From candidates to proofs.

use crate::{ERASURE_CODING, POOL, challenge_with_candidates, encode, load, record};
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness, SBucket};
use subspace_core_primitives::solutions::solution_distance;
use subspace_farmer_components::auditing::{AuditResult, ChunkCandidate, audit_sector};
use subspace_farmer_components::proving::{
    ProofRequest, ProofRequestV0, ProvingError, check_request, provable_candidates, prove, read_proof_input,
};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{RECORD_BITMAP_SIZE, RecordBitmap, SectorContentsMap};
use subspace_kzg::{Commitment, Kzg, ReferenceString, Scalar, Witness};
use subspace_proof_of_space::{ChiaProofOfSpace, FastTestProofOfSpace, ProofOfSpace, ProofOfSpaceKind};

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
    let distance = solution_distance(
        &challenge.global_challenge,
        &solution.masked_chunk(),
        &slot_challenge,
    );
    assert_eq!(distance, candidate.solution_distance);

    // A look costs nothing and finds what can be seen without the chunks.
    check_request(&input.request, ProofOfSpaceKind::FastTest).unwrap();
    let error = check_request(&input.request, ProofOfSpaceKind::Chia).unwrap_err();
    assert!(matches!(error, ProvingError::ProofOfSpace { .. }), "{error}");
    let changed = |change: &dyn Fn(&mut ProofRequestV0)| {
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
