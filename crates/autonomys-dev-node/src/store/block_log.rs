//! Append-only log of blocks with checksums; a torn tail is cut off when it is opened.
//!
//! File: 8 bytes `adnblog1`, then one record a block (little endian):
//!
//! | bytes | content |
//! |---|---|
//! | 4 | length of the encoded header |
//! | 4 | length of the rest of the encoded signed block |
//! | 8 | data progress: bytes of data put into blocks up to and including this one |
//! | 4 | CRC32C of the three fields above and the encoded header |
//! | 4 | CRC32C of the rest |
//! | | encoded header |
//! | | rest: extrinsics, justifications |
//!
//! Header and rest one after the other are the archived bytes of the block.

use crate::error::DevNodeError;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_archiving::encoding::{BlockHeader, SignedBlock};

const MAGIC: &[u8; 8] = b"adnblog1";
const PREFIX: usize = 24;
/// Longest header: digests grow with segments stored in one block, which is a handful.
const MAX_HEADER: usize = 1 << 20;
/// Longest rest: a block of extrinsics, and the checkpoints of a very long pause between blocks.
const MAX_REST: usize = 256 << 20;

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: [u8; 32],
    offset: u64,
    header_length: u32,
    rest_length: u32,
    data_progress: u64,
}

/// The log, with an index of some hundred bytes for each block in memory.
#[derive(Debug)]
pub struct BlockLog {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    numbers: HashMap<[u8; 32], u32>,
    end: u64,
}

impl BlockLog {
    /// Opens or creates the log and hands every stored header to `replay` in order. Whatever follows the last whole record is
    /// cut off.
    ///
    /// # Errors
    /// When the file cannot be used or `replay` fails.
    pub fn open(
        path: &Path,
        mut replay: impl FnMut(&Self, u32) -> Result<(), DevNodeError>,
    ) -> Result<Self, DevNodeError> {
        let io = |action| DevNodeError::io(action, path);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open"))?;
        let length = file.metadata().map_err(io("inspect"))?.len();
        let mut log = Self {
            path: path.to_path_buf(),
            file,
            entries: Vec::new(),
            numbers: HashMap::new(),
            end: MAGIC.len() as u64,
        };
        let mut magic = [0; MAGIC.len()];
        if length < log.end {
            log.file.write_all_at(MAGIC, 0).map_err(io("write"))?;
            log.file.set_len(log.end).map_err(io("write"))?;
        } else {
            log.file.read_exact_at(&mut magic, 0).map_err(io("read"))?;
            if magic != *MAGIC {
                return Err(DevNodeError::Inconsistent {
                    number: 0,
                    reason: format!("{} is no block log of this version", path.display()),
                });
            }
        }
        while let Some(entry) = log.read_entry(length)? {
            log.push(entry);
            replay(&log, log.entries.len() as u32 - 1)?;
        }
        if length > log.end {
            tracing::warn!(
                bytes = length - log.end,
                path = %path.display(),
                "the block log ended in an incomplete record, which was cut off"
            );
            log.file.set_len(log.end).map_err(io("shorten"))?;
            log.file.sync_all().map_err(io("sync"))?;
        }
        Ok(log)
    }

    /// The record at the end, `None` when there is none or it is torn.
    fn read_entry(&self, length: u64) -> Result<Option<Entry>, DevNodeError> {
        let io = |action| DevNodeError::io(action, &self.path);
        if length < self.end + PREFIX as u64 {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX];
        self.file
            .read_exact_at(&mut prefix, self.end)
            .map_err(io("read"))?;
        let u32_at =
            |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let (header_length, rest_length) = (u32_at(0) as usize, u32_at(4) as usize);
        let record = (PREFIX + header_length + rest_length) as u64;
        if header_length == 0 || header_length > MAX_HEADER || rest_length > MAX_REST {
            return Ok(None);
        }
        let Some(behind) = (length - self.end).checked_sub(record) else {
            return Ok(None);
        };
        let mut header = vec![0; header_length];
        self.file
            .read_exact_at(&mut header, self.end + PREFIX as u64)
            .map_err(io("read"))?;
        if crc32c::crc32c_append(crc32c::crc32c(&prefix[..16]), &header) != u32_at(16) {
            // Every record is on disk before the next one is begun, so only the last can be torn.
            return if behind == 0 {
                Ok(None)
            } else {
                Err(self.damaged(self.next_number(), "its header is damaged"))
            };
        }
        let mut data_progress = [0; 8];
        data_progress.copy_from_slice(&prefix[8..16]);
        let entry = Entry {
            hash: crate::chain::genesis::blake2b_256(&[&header]),
            offset: self.end,
            header_length: header_length as u32,
            rest_length: rest_length as u32,
            data_progress: u64::from_le_bytes(data_progress),
        };
        if behind == 0 && self.read_rest(&entry).is_err() {
            return Ok(None);
        }
        Ok(Some(entry))
    }

    fn push(&mut self, entry: Entry) {
        self.numbers.insert(entry.hash, self.entries.len() as u32);
        self.end =
            entry.offset + (PREFIX as u64) + u64::from(entry.header_length) + u64::from(entry.rest_length);
        self.entries.push(entry);
    }

    /// Appends a block (its number is that of [`Self::next_number`]) and waits until it is on disk.
    ///
    /// # Errors
    /// When it cannot be written; the log is as before then.
    pub fn append(&mut self, block: &SignedBlock, data_progress: u64) -> Result<(), DevNodeError> {
        let io = |action| DevNodeError::io(action, &self.path);
        let header = block.header.encode();
        let encoded = block.encode();
        let rest = &encoded[header.len()..];
        if header.len() > MAX_HEADER || rest.len() > MAX_REST {
            return Err(DevNodeError::Inconsistent {
                number: self.next_number(),
                reason: format!("it is too large for the log ({} bytes)", encoded.len()),
            });
        }
        let mut record = Vec::with_capacity(PREFIX + encoded.len());
        record.extend_from_slice(&(header.len() as u32).to_le_bytes());
        record.extend_from_slice(&(rest.len() as u32).to_le_bytes());
        record.extend_from_slice(&data_progress.to_le_bytes());
        let header_checksum = crc32c::crc32c_append(crc32c::crc32c(&record), &header);
        record.extend_from_slice(&header_checksum.to_le_bytes());
        record.extend_from_slice(&crc32c::crc32c(rest).to_le_bytes());
        record.extend_from_slice(&encoded);
        self.file.write_all_at(&record, self.end).map_err(io("write"))?;
        self.file.sync_data().map_err(io("sync"))?;
        self.push(Entry {
            hash: crate::chain::genesis::blake2b_256(&[&header]),
            offset: self.end,
            header_length: header.len() as u32,
            rest_length: rest.len() as u32,
            data_progress,
        });
        Ok(())
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, DevNodeError> {
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(DevNodeError::io("read", &self.path))?;
        Ok(bytes)
    }

    fn read_rest(&self, entry: &Entry) -> Result<Vec<u8>, DevNodeError> {
        let checksum = self.read_at(entry.offset + 20, 4)?;
        let start = entry.offset + PREFIX as u64 + u64::from(entry.header_length);
        let rest = self.read_at(start, entry.rest_length as usize)?;
        if crc32c::crc32c(&rest).to_le_bytes() != checksum[..] {
            let number = self
                .numbers
                .get(&entry.hash)
                .copied()
                .unwrap_or(self.next_number());
            return Err(self.damaged(number, "its extrinsics are damaged"));
        }
        Ok(rest)
    }

    fn damaged(&self, number: u32, reason: &str) -> DevNodeError {
        DevNodeError::Inconsistent {
            number,
            reason: format!("{reason} in {}", self.path.display()),
        }
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    /// Number of the next block.
    pub fn next_number(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Hash of a block.
    pub fn hash(&self, number: u32) -> Option<[u8; 32]> {
        self.entry(number).map(|entry| entry.hash)
    }

    /// Number of the block with this hash.
    pub fn number(&self, hash: &[u8; 32]) -> Option<u32> {
        self.numbers.get(hash).copied()
    }

    /// Data progress after a block.
    pub fn data_progress(&self, number: u32) -> Option<u64> {
        self.entry(number).map(|entry| entry.data_progress)
    }

    /// Archived bytes of a block: its encoded signed block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn encoded(&self, number: u32) -> Result<Option<Vec<u8>>, DevNodeError> {
        let Some(entry) = self.entry(number) else {
            return Ok(None);
        };
        let mut bytes = self.read_at(entry.offset + PREFIX as u64, entry.header_length as usize)?;
        bytes.extend(self.read_rest(entry)?);
        Ok(Some(bytes))
    }

    /// A block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn block(&self, number: u32) -> Result<Option<SignedBlock>, DevNodeError> {
        match self.encoded(number)? {
            Some(encoded) => Ok(Some(SignedBlock::decode(&encoded)?.0)),
            None => Ok(None),
        }
    }

    /// Header of a block, without reading the rest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn header(&self, number: u32) -> Result<Option<BlockHeader>, DevNodeError> {
        let Some(entry) = self.entry(number) else {
            return Ok(None);
        };
        let mut bytes = self.read_at(entry.offset + PREFIX as u64, entry.header_length as usize)?;
        // A header is the front of a signed block without extrinsics and justifications.
        bytes.extend_from_slice(&[0, 0]);
        Ok(Some(SignedBlock::decode(&bytes)?.0.header))
    }
}

#[cfg(test)]
mod tests;
