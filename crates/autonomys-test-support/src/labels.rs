//! Inputs of the vectors, re-created from short labels.

/// The full label: prefix (`AUTONOMYS_VECTORS_PREFIX`, default `autonomys-vectors`), a slash, `rest`.
pub fn label(rest: &str) -> String {
    let prefix =
        std::env::var("AUTONOMYS_VECTORS_PREFIX").unwrap_or_else(|_| "autonomys-vectors".to_string());
    format!("{prefix}/{rest}")
}

/// `X(label, n)`: the first `length` bytes of the BLAKE3 extendable output of the **full** label (see [`label`]).
pub fn xof(full_label: &str, length: usize) -> Vec<u8> {
    let mut output = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(full_label.as_bytes());
    hasher.finalize_xof().fill(&mut output);
    output
}

/// `S(label, n)`: `count` canonical scalars as 32 big-endian bytes each, a zero byte followed by 31 bytes of
/// `X(label, 31 * count)`.
pub fn scalars(full_label: &str, count: usize) -> Vec<[u8; 32]> {
    let bytes = xof(full_label, 31 * count);
    bytes
        .chunks_exact(31)
        .map(|safe_bytes| {
            let mut scalar = [0; 32];
            scalar[1..].copy_from_slice(safe_bytes);
            scalar
        })
        .collect()
}
