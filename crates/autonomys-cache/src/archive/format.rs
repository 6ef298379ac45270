//! Bytes of a segment file.

use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};

/// First bytes of a footer.
const MAGIC: [u8; 8] = *b"AFSEGMT\n";

/// Version of the format.
pub(super) const VERSION: u32 = 1;

/// Bytes before the hashes.
const FIXED: usize = 8 + 4 + 4 + 8 + 4 + 4 + 32;

/// Bytes of a footer.
pub(super) const FOOTER_SIZE: usize = FIXED + NUM_PIECES_IN_SEGMENT * 32 + 32;

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

/// What stands behind the pieces of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) piece_size: u32,
    pub(super) segment_index: SegmentIndex,
    pub(super) identity: [u8; 32],
    pub(super) hashes: Vec<[u8; 32]>,
}

/// Why a footer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FooterError {
    Damaged(&'static str),
    Version(u32),
}

impl Footer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_SIZE);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.piece_size.to_le_bytes());
        bytes.extend_from_slice(&self.segment_index.to_bytes());
        bytes.extend_from_slice(&(NUM_PIECES_IN_SEGMENT as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.identity);
        self.hashes.iter().for_each(|hash| bytes.extend_from_slice(hash));
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
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
        if word(8) != VERSION {
            return Err(FooterError::Version(word(8)));
        }
        let (fields, checksum) = bytes.split_at(FOOTER_SIZE - 32);
        if blake3::hash(fields).as_bytes() != checksum {
            return Err(FooterError::Damaged("its footer fails the checksum"));
        }
        if word(24) as usize != NUM_PIECES_IN_SEGMENT {
            return Err(FooterError::Damaged("it has another number of pieces"));
        }
        Ok(Self {
            piece_size: word(12),
            segment_index: SegmentIndex::new(u64::from_le_bytes(
                bytes[16..24].try_into().expect("the range has 8 bytes"),
            )),
            identity: bytes[32..64].try_into().expect("the range has 32 bytes"),
            hashes: fields[FIXED..].as_chunks::<32>().0.to_vec(),
        })
    }
}
