//! Search for the blob inside any other file, by content.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes read at once.
const CHUNK_LENGTH: usize = 1 << 20;

/// The start of the mainnet blob: the generator of G1, then the first power of the ceremony's secret.
const PREFIX_HEX: &str = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb\
    abb83706b7f96c1ef21649124cd01ac58ec3cf19fbe7ba8e172b5f9e0facb354f3da4877946c24f17411cb551e0c24df";

pub(super) fn prefix() -> Vec<u8> {
    hex::decode(PREFIX_HEX).expect("a constant of hexadecimal digits; qed")
}

/// The first `length` bytes of `reader` that begin with `prefix` and that `accept` takes. Reads in chunks; holds one chunk and
/// one candidate.
pub(super) fn find(
    reader: &mut (impl Read + Seek),
    length: usize,
    prefix: &[u8],
    accept: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let mut window = Vec::with_capacity(CHUNK_LENGTH + prefix.len());
    // Where in the file the window starts.
    let mut offset = 0_u64;
    loop {
        let kept = window.len();
        reader
            .by_ref()
            .take(CHUNK_LENGTH as u64)
            .read_to_end(&mut window)?;
        if window.len() == kept {
            return Ok(None);
        }
        let end = offset + window.len() as u64;
        for position in candidates(&window, prefix) {
            reader.seek(SeekFrom::Start(offset + position as u64))?;
            let mut found = Vec::with_capacity(length);
            reader.by_ref().take(length as u64).read_to_end(&mut found)?;
            if found.len() == length && accept(&found) {
                return Ok(Some(found));
            }
        }
        reader.seek(SeekFrom::Start(end))?;
        // The tail may be the beginning of the prefix.
        let tail = window.len().min(prefix.len() - 1);
        window.drain(..window.len() - tail);
        offset = end - tail as u64;
    }
}

fn candidates(window: &[u8], prefix: &[u8]) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut from = 0;
    while let Some(at) = window[from..].iter().position(|byte| *byte == prefix[0]) {
        if window[from + at..].starts_with(prefix) {
            positions.push(from + at);
        }
        from += at + 1;
    }
    positions
}
