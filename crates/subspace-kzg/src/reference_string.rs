//! Structured reference strings: the mainnet parameters and a deterministic insecure set for development.
//!
//! The mainnet set is one blob of [`BLOB_LENGTH`] bytes: 32 768 compressed powers in G1, then 65 in G2
//! (docs/protocol/kzg.md, "Reference string"). It is public data that is not shipped; [`import()`] finds it in the places an
//! operator can get it from.

mod development;
mod import;
mod store;

pub use import::{ImportError, import};
pub use store::{StoreError, load, store};

use crate::g1;
use blst::{BLST_ERROR, blst_p1_affine, blst_p2_affine, blst_p2_affine_compress, blst_p2_uncompress};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// Powers of the secret in G1.
pub const NUM_G1_POWERS: usize = 32_768;

/// Powers of the secret in G2, of which only the first two are used.
pub const NUM_G2_POWERS: usize = 65;

const G1_BYTES: usize = 48;
const G2_BYTES: usize = 96;

/// Bytes of the blob form.
pub const BLOB_LENGTH: usize = NUM_G1_POWERS * G1_BYTES + NUM_G2_POWERS * G2_BYTES;

/// SHA-256 of the mainnet blob.
pub const MAINNET_SHA256: [u8; 32] = [
    0xf3, 0xea, 0xd1, 0xa6, 0x24, 0x95, 0x27, 0xaa, 0x50, 0x3d, 0x6c, 0x56, 0x57, 0x83, 0x25, 0xc0, 0x1d,
    0x19, 0xb3, 0x36, 0x5c, 0xc5, 0x99, 0x05, 0xbe, 0x2b, 0xba, 0x64, 0xae, 0x32, 0x29, 0x25,
];

/// Whose secret stands behind a reference string.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum ReferenceStringKind {
    /// The public ceremony; nobody knows the secret.
    Mainnet,
    /// A fixed secret that everybody can compute; anybody can prove anything. For development networks and tests only.
    InsecureDevelopment,
}

impl fmt::Display for ReferenceStringKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mainnet => "mainnet",
            Self::InsecureDevelopment => "insecure-development",
        })
    }
}

/// Why bytes are not the reference string they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceStringError {
    /// Another length than that of the blob.
    #[error("KZG parameters have {given} bytes instead of {BLOB_LENGTH}; import them again")]
    Length {
        /// Bytes that were given.
        given: usize,
    },
    /// The right length with another content.
    #[error(
        "KZG parameters have the wrong hash {given} instead of {expected}; the file is damaged or another set of parameters, import them again"
    )]
    Hash {
        /// Hexadecimal hash of what was given.
        given: String,
        /// Hexadecimal hash of the right content.
        expected: String,
    },
    /// A hash that matches with points that do not decode; a defect of this software.
    #[error(
        "point {index} of the KZG parameters does not decode although their hash is right; report this defect"
    )]
    Point {
        /// Index of the point in the blob.
        index: usize,
    },
}

struct Inner {
    kind: ReferenceStringKind,
    g1_powers: Vec<blst_p1_affine>,
    g2_powers: Vec<blst_p2_affine>,
}

/// A decoded reference string, 3.1 MB; cheap to clone.
#[derive(Clone)]
pub struct ReferenceString {
    inner: Arc<Inner>,
}

impl ReferenceString {
    /// Decodes the mainnet blob on the calling thread (more than half a second; see
    /// [`ReferenceString::mainnet_from_bytes_parallel`]).
    ///
    /// # Errors
    /// When the bytes are anything but the mainnet parameters.
    pub fn mainnet_from_bytes(blob: &[u8]) -> Result<Self, ReferenceStringError> {
        check_mainnet(blob)?;
        Self::decode(blob, ReferenceStringKind::Mainnet, None)
    }

    /// Decodes the mainnet blob on `pool`.
    ///
    /// # Errors
    /// When the bytes are anything but the mainnet parameters.
    pub fn mainnet_from_bytes_parallel(
        blob: &[u8],
        pool: &rayon::ThreadPool,
    ) -> Result<Self, ReferenceStringError> {
        check_mainnet(blob)?;
        Self::decode(blob, ReferenceStringKind::Mainnet, Some(pool))
    }

    /// Generates the insecure development set; deterministic, about half a second of computation on one core (as fast as
    /// decoding a stored copy).
    pub fn insecure_development(pool: &rayon::ThreadPool) -> Self {
        let (g1_powers, g2_powers) = development::generate(pool);
        Self {
            inner: Arc::new(Inner {
                kind: ReferenceStringKind::InsecureDevelopment,
                g1_powers,
                g2_powers,
            }),
        }
    }

    /// Decodes a stored copy of the insecure development set.
    ///
    /// # Errors
    /// When the bytes are anything else; generate them again then.
    pub fn insecure_development_from_bytes(
        blob: &[u8],
        pool: &rayon::ThreadPool,
    ) -> Result<Self, ReferenceStringError> {
        check_length(blob)?;
        let hash = blake3::hash(blob);
        if hash != blake3::Hash::from_bytes(development::BLOB_BLAKE3) {
            return Err(ReferenceStringError::Hash {
                given: hash.to_hex().to_string(),
                expected: hex::encode(development::BLOB_BLAKE3),
            });
        }
        Self::decode(blob, ReferenceStringKind::InsecureDevelopment, Some(pool))
    }

    /// Whose secret stands behind it.
    pub fn kind(&self) -> ReferenceStringKind {
        self.inner.kind
    }

    /// The blob form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(BLOB_LENGTH);
        for power in &self.inner.g1_powers {
            blob.extend_from_slice(&g1::compress(power));
        }
        for power in &self.inner.g2_powers {
            let mut bytes = [0; G2_BYTES];
            // SAFETY: the output has the 96 bytes that the function writes.
            unsafe { blst_p2_affine_compress(bytes.as_mut_ptr(), power) };
            blob.extend_from_slice(&bytes);
        }
        blob
    }

    pub(crate) fn g1_powers(&self) -> &[blst_p1_affine] {
        &self.inner.g1_powers
    }

    pub(crate) fn g2_powers(&self) -> &[blst_p2_affine] {
        &self.inner.g2_powers
    }

    /// The caller has checked the hash, so points need no subgroup check.
    fn decode(
        blob: &[u8],
        kind: ReferenceStringKind,
        pool: Option<&rayon::ThreadPool>,
    ) -> Result<Self, ReferenceStringError> {
        use rayon::prelude::*;

        let (g1_bytes, g2_bytes) = blob.split_at(NUM_G1_POWERS * G1_BYTES);
        let decode_g1 = |(index, bytes): (usize, &[u8])| {
            let bytes = bytes
                .try_into()
                .map_err(|_| ReferenceStringError::Point { index })?;
            g1::uncompress(bytes).map_err(|_| ReferenceStringError::Point { index })
        };
        let g1_powers = match pool {
            Some(pool) => pool.install(|| {
                g1_bytes
                    .par_chunks_exact(G1_BYTES)
                    .enumerate()
                    .map(decode_g1)
                    .collect::<Result<Vec<_>, _>>()
            }),
            None => g1_bytes
                .chunks_exact(G1_BYTES)
                .enumerate()
                .map(decode_g1)
                .collect(),
        }?;
        let g2_powers = g2_bytes
            .chunks_exact(G2_BYTES)
            .enumerate()
            .map(|(index, bytes)| {
                let mut power = blst_p2_affine::default();
                // SAFETY: `chunks_exact` gives the 96 bytes that the function reads.
                match unsafe { blst_p2_uncompress(&mut power, bytes.as_ptr()) } {
                    BLST_ERROR::BLST_SUCCESS => Ok(power),
                    _ => Err(ReferenceStringError::Point {
                        index: NUM_G1_POWERS + index,
                    }),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                kind,
                g1_powers,
                g2_powers,
            }),
        })
    }
}

impl fmt::Debug for ReferenceString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReferenceString({})", self.kind())
    }
}

fn check_length(blob: &[u8]) -> Result<(), ReferenceStringError> {
    if blob.len() == BLOB_LENGTH {
        Ok(())
    } else {
        Err(ReferenceStringError::Length { given: blob.len() })
    }
}

/// Checks that `blob` is the mainnet reference string, without decoding it.
///
/// # Errors
/// When it has another length or hash.
pub fn check_mainnet(blob: &[u8]) -> Result<(), ReferenceStringError> {
    check_length(blob)?;
    let hash: [u8; 32] = Sha256::digest(blob).into();
    if hash == MAINNET_SHA256 {
        Ok(())
    } else {
        Err(ReferenceStringError::Hash {
            given: hex::encode(hash),
            expected: hex::encode(MAINNET_SHA256),
        })
    }
}

#[cfg(test)]
mod tests;
