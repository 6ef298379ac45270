use super::*;
use proptest::prelude::*;

fn request(seed: u64) -> ProofRequest {
    let mut bytes = [0; RECORD_BITMAP_SIZE];
    let mut chunks = zeroed_chunks();
    let mut hasher = blake3::Hasher::new();
    let mut xof = hasher.update(&seed.to_le_bytes()).finalize_xof();
    xof.fill(&mut bytes[..4096]);
    xof.fill(chunks.as_flattened_mut());
    bytes[3] |= 4;
    ProofRequest::V0(ProofRequestV0 {
        proof_of_space: if seed.is_multiple_of(2) {
            ProofOfSpaceKind::Chia
        } else {
            ProofOfSpaceKind::FastTest
        },
        seed: PosSeed::from([seed as u8; 32]),
        s_bucket: SBucket::from(26),
        record_commitment: RecordCommitment::from([7; 48]),
        bitmap: RecordBitmap::from_bytes(&bytes).unwrap(),
        chunks,
    })
}

const BITMAP_START: usize = 2 + 32 + 2 + 48;

#[test]
fn hostile_requests_are_refused_by_name() {
    let valid = request(0).encode();
    assert_eq!(valid.len(), ProofRequest::ENCODED_SIZE);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = valid.clone();
        change(&mut bytes);
        let typed = ProofRequest::from_bytes(&bytes).unwrap_err();
        // The plain decoder agrees, except that it leaves bytes after the request alone.
        if bytes.len() <= valid.len() {
            assert!(ProofRequest::decode(&mut bytes.as_slice()).is_err());
        }
        typed
    };
    let expected = ProofRequest::ENCODED_SIZE;
    assert_eq!(
        changed(&|bytes| bytes.clear()),
        ProofRequestError::Length { expected, actual: 0 }
    );
    assert_eq!(
        changed(&|bytes| bytes.truncate(100)),
        ProofRequestError::Length {
            expected,
            actual: 100
        }
    );
    assert_eq!(
        changed(&|bytes| bytes.push(0)),
        ProofRequestError::Length {
            expected,
            actual: expected + 1
        }
    );
    assert_eq!(changed(&|bytes| bytes[0] = 1), ProofRequestError::Version(1));
    assert_eq!(changed(&|bytes| bytes[1] = 9), ProofRequestError::ProofOfSpace(9));
    assert_eq!(
        changed(&|bytes| bytes[BITMAP_START + 3] &= !4),
        ProofRequestError::NotEncoded(SBucket::from(26))
    );
    assert_eq!(
        changed(&|bytes| bytes[BITMAP_START..][..RECORD_BITMAP_SIZE].fill(0xff)),
        ProofRequestError::TooManyEncodedChunks(TooManyEncodedChunksError {
            encoded_chunks: 65_536
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn encoding_round_trips(seed in any::<u64>()) {
        let request = request(seed);
        let bytes = request.encode();
        prop_assert_eq!(bytes.len(), ProofRequest::ENCODED_SIZE);
        prop_assert_eq!(&ProofRequest::from_bytes(&bytes).unwrap(), &request);
        prop_assert_eq!(&ProofRequest::decode(&mut bytes.as_slice()).unwrap(), &request);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut head in proptest::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
        if whole {
            head.resize(ProofRequest::ENCODED_SIZE, 0x5a);
        }
        let _ = ProofRequest::from_bytes(&head);
        let _ = ProofRequest::decode(&mut head.as_slice());
    }
}
