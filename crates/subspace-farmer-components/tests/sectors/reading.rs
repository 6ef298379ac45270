//! Reading pieces and auditing, with and without obstacles.

use crate::{ERASURE_CODING, PIECES, POOL, challenge_with_candidates, piece, plotted, reader};
use std::io;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::PieceOffset;
use subspace_farmer_components::auditing::{AuditChallenge, SectorInPlot, audit_plot, audit_sector};
use subspace_farmer_components::read_at::ReadAt;
use subspace_farmer_components::reading::{ReadMode, ReadingErrorReason, SectorReader};
use subspace_farmer_components::sector::{LoadedSector, SectorContentsMap, placeholder_metadata};
use subspace_proof_of_space::FastTestProofOfSpace;

struct BrokenDisk;

impl ReadAt for BrokenDisk {
    fn read_into(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
        Err(io::Error::other("unrecovered read error"))
    }
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
