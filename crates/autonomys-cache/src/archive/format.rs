//! Bytes of a segment file: the pieces in order, then a footer and one record for each piece.

use crate::archive::store::ArchiveOptions;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};

/// First bytes of a footer.
const MAGIC: [u8; 8] = *b"AFSEGMT\n";

/// Version of the format.
pub(super) const VERSION: u32 = 2;

/// Bytes of the footer before the records.
const FIXED: usize = 128;

/// Bytes of the footer that its checksum covers.
const COVERED: usize = FIXED - 32;

/// Bytes of a piece's record. Divides 512, so a record never crosses a disk sector: the pieces before it are 256.
pub(super) const RECORD_SIZE: usize = 64;

/// Bytes of a footer with its records.
pub(super) const FOOTER_SIZE: usize = FIXED + NUM_PIECES_IN_SEGMENT * RECORD_SIZE;

/// Ending of segment files.
pub(super) const EXTENSION: &str = "pieces";

/// Name of the file of a segment: sortable, and the number can be read off.
pub(super) fn file_name(segment_index: SegmentIndex) -> String {
    format!("segment-{:010}.{EXTENSION}", segment_index.get())
}

/// The segment whose file has this name.
pub(super) fn parse_file_name(name: &str) -> Option<SegmentIndex> {
    let number = name
        .strip_prefix("segment-")?
        .strip_suffix(".pieces")?
        .parse()
        .ok()?;
    let segment_index = SegmentIndex::new(number);
    (file_name(segment_index) == name).then_some(segment_index)
}

/// What a segment file says about one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// The piece is not there.
    Absent,
    /// The piece has this BLAKE3 hash.
    Held([u8; 32]),
    /// The record is damaged, so nothing is known about the piece.
    Damaged,
}

/// What stands behind the pieces of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) piece_size: u32,
    pub(super) segment_index: SegmentIndex,
    pub(super) identity: [u8; 32],
    pub(super) records: Vec<Record>,
}

/// Why a footer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FooterError {
    Damaged(&'static str),
    Version(u32),
}

/// Offset of a piece in its file.
pub(super) fn piece_offset(piece_size: u32, position: usize) -> u64 {
    u64::from(piece_size) * position as u64
}

/// Offset of a piece's record in its file.
pub(super) fn record_offset(piece_size: u32, position: usize) -> u64 {
    piece_offset(piece_size, NUM_PIECES_IN_SEGMENT) + (FIXED + position * RECORD_SIZE) as u64
}

/// Bytes of a segment file.
pub(super) fn file_length(piece_size: u32) -> u64 {
    piece_offset(piece_size, NUM_PIECES_IN_SEGMENT) + FOOTER_SIZE as u64
}

/// The record of a piece with this hash; the checksum binds it to its archive and its place.
pub(super) fn record_bytes(
    identity: &[u8; 32],
    piece_index: PieceIndex,
    hash: &[u8; 32],
) -> [u8; RECORD_SIZE] {
    let mut bytes = [0; RECORD_SIZE];
    bytes[..32].copy_from_slice(hash);
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(identity)
        .update(&piece_index.get().to_le_bytes())
        .update(hash);
    bytes[32..].copy_from_slice(hasher.finalize().as_bytes());
    bytes
}

fn parse_record(identity: &[u8; 32], piece_index: PieceIndex, bytes: &[u8; RECORD_SIZE]) -> Record {
    if bytes.iter().all(|&byte| byte == 0) {
        return Record::Absent;
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[..32]);
    match record_bytes(identity, piece_index, &hash) == *bytes {
        true => Record::Held(hash),
        false => Record::Damaged,
    }
}

impl Footer {
    /// The footer of a segment of which nothing is there.
    pub(super) fn empty(options: &ArchiveOptions, segment_index: SegmentIndex) -> Self {
        Self {
            piece_size: options.piece_size,
            segment_index,
            identity: options.identity,
            records: vec![Record::Absent; NUM_PIECES_IN_SEGMENT],
        }
    }

    /// The part before the records.
    pub(super) fn fixed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_SIZE);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.piece_size.to_le_bytes());
        bytes.extend_from_slice(&self.segment_index.to_bytes());
        bytes.extend_from_slice(&(NUM_PIECES_IN_SEGMENT as u32).to_le_bytes());
        bytes.extend_from_slice(&(RECORD_SIZE as u32).to_le_bytes());
        bytes.extend_from_slice(&self.identity);
        bytes.resize(COVERED, 0);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.fixed_bytes();
        for (piece_index, record) in self.segment_index.segment_piece_indexes().zip(&self.records) {
            match record {
                Record::Held(hash) => {
                    bytes.extend_from_slice(&record_bytes(&self.identity, piece_index, hash))
                }
                Record::Absent | Record::Damaged => bytes.extend_from_slice(&[0; RECORD_SIZE]),
            }
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; FOOTER_SIZE]) -> Result<Self, FooterError> {
        let word = |offset: usize| {
            u32::from_le_bytes(
                bytes[offset..offset + 4]
                    .try_into()
                    .expect("the range has 4 bytes"),
            )
        };
        if bytes[..8] != MAGIC {
            return Err(FooterError::Damaged("it does not end like a segment file"));
        }
        // First the checksum: a flipped bit in the version is damage of one file, not a reason to refuse the archive.
        if *blake3::hash(&bytes[..COVERED]).as_bytes() != bytes[COVERED..FIXED] {
            return Err(FooterError::Damaged("its footer fails the checksum"));
        }
        if word(8) != VERSION {
            return Err(FooterError::Version(word(8)));
        }
        if word(24) as usize != NUM_PIECES_IN_SEGMENT || word(28) as usize != RECORD_SIZE {
            return Err(FooterError::Damaged("its records have another shape"));
        }
        let identity: [u8; 32] = bytes[32..64].try_into().expect("the range has 32 bytes");
        let segment_index = SegmentIndex::new(u64::from_le_bytes(
            bytes[16..24].try_into().expect("the range has 8 bytes"),
        ));
        Ok(Self {
            piece_size: word(12),
            segment_index,
            identity,
            records: segment_index
                .segment_piece_indexes()
                .zip(bytes[FIXED..].as_chunks::<RECORD_SIZE>().0)
                .map(|(piece_index, record)| parse_record(&identity, piece_index, record))
                .collect(),
        })
    }

    /// The version, when the bytes before the end of a file are a footer of version 1, which was shorter.
    pub(super) fn is_version_1(bytes: &[u8]) -> bool {
        /// 64 bytes, 256 hashes, one more hash.
        const LENGTH: usize = 64 + 256 * 32 + 32;
        bytes
            .len()
            .checked_sub(LENGTH)
            .is_some_and(|start| bytes[start..start + 12] == *b"AFSEGMT\n\x01\0\0\0")
    }
}
