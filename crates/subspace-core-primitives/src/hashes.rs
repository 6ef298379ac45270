//! BLAKE3 in the forms the protocol uses: plain, keyed, and reduced to a field element.

use crate::pieces::ScalarBytes;

byte_array!(
    /// Output of BLAKE3 (32 bytes).
    Blake3Hash,
    32
);
byte_array_hex_serde!(Blake3Hash);
byte_array_default!(Blake3Hash);

impl From<blake3::Hash> for Blake3Hash {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.into())
    }
}

/// Plain BLAKE3 of `data`.
pub fn blake3_hash(data: &[u8]) -> Blake3Hash {
    blake3::hash(data).into()
}

/// Plain BLAKE3 of the concatenation of `parts`.
pub fn blake3_hash_list(parts: &[&[u8]]) -> Blake3Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// BLAKE3 in keyed mode (not the plain hash of key and data).
pub fn blake3_hash_with_key(key: &[u8; 32], data: &[u8]) -> Blake3Hash {
    blake3::keyed_hash(key, data).into()
}

/// BLAKE3 in keyed mode of the concatenation of `parts`.
pub fn blake3_hash_list_with_key(key: &[u8; 32], parts: &[&[u8]]) -> Blake3Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Plain BLAKE3 of a large buffer, computed by the threads of `pool`; same result as [`blake3_hash`].
pub fn blake3_hash_parallel(data: &[u8], pool: &rayon::ThreadPool) -> Blake3Hash {
    pool.install(|| blake3::Hasher::new().update_rayon(data).finalize().into())
}

/// BLAKE3 with the two most significant bits cleared, so that it always is a canonical big-endian field element.
pub fn blake3_254_hash_to_scalar(data: &[u8]) -> ScalarBytes {
    let mut hash: [u8; 32] = blake3::hash(data).into();
    hash[0] &= 0x3f;
    ScalarBytes(hash)
}
