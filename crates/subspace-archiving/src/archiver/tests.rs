use super::*;
use crate::reconstruction::{PiecesReconstructionError, PiecesReconstructor, reconstruct_raw_segment};
use crate::validation::{PieceToCheck, find_invalid_pieces, is_piece_valid};
use rayon::ThreadPoolBuilder;
use std::num::NonZeroUsize;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, RECORDED_HISTORY_SEGMENT_SIZE,
};
use subspace_kzg::ReferenceString;

/// Records of zeroes have the identity as commitment and are as good as any.
#[test]
fn segment_of_zeroes_goes_the_whole_way() {
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool));
    let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap();
    let archive = |raw: &[u8]| {
        let last = LastArchivedBlock {
            number: 0,
            archived_progress: ArchivedBlockProgress::Complete,
        };
        let hash = Blake3Hash::default();
        archive_segment(raw, SegmentIndex::ZERO, hash, last, &kzg, &erasure_coding, &pool)
    };
    assert!(matches!(
        archive(&[0; 31]),
        Err(ArchiverError::SegmentSize { given: 31, .. })
    ));

    let raw = vec![0; RECORDED_HISTORY_SEGMENT_SIZE];
    let segment = archive(&raw).unwrap();
    let segment_commitment = segment.segment_header.segment_commitment();
    let identity = [&[0xc0][..], &[0; 47]].concat();
    assert!(
        segment
            .pieces
            .iter()
            .all(|piece| piece.commitment().as_ref() == identity)
    );
    assert!(is_piece_valid(&kzg, &segment.pieces[5], &segment_commitment, 5));
    let mut claims: Vec<_> = (0..)
        .zip(segment.pieces.iter().cloned())
        .map(|(position, piece)| PieceToCheck {
            piece,
            segment_commitment,
            position,
        })
        .collect();
    assert!(find_invalid_pieces(&kzg, &claims, &pool).is_empty());
    // No such position.
    claims[3].position = 256;
    assert_eq!(find_invalid_pieces(&kzg, &claims, &pool), [3]);
    assert!(find_invalid_pieces(&kzg, &[], &pool).is_empty());

    let half: Vec<_> = segment
        .pieces
        .iter()
        .enumerate()
        .map(|(position, piece)| (position % 3 != 0 && position < 200).then(|| piece.clone()))
        .collect();
    assert_eq!(half.iter().flatten().count(), 133);
    let reconstructor = PiecesReconstructor::new(kzg.clone(), erasure_coding);
    let pieces = reconstructor.reconstruct_pieces(&half, &segment_commitment, &pool);
    assert_eq!(pieces.as_ref(), Ok(&segment.pieces));
    let piece = reconstructor.reconstruct_piece(&half, &segment_commitment, 1, &pool);
    assert_eq!(piece.as_ref(), Ok(&segment.pieces[1]), "one that is there");
    assert_eq!(
        reconstructor.reconstruct_piece(&half, &segment_commitment, 256, &pool),
        Err(PiecesReconstructionError::NoSuchPosition { position: 256 })
    );
    assert_eq!(reconstruct_raw_segment(&half, &erasure_coding, &pool), Ok(raw));
}
