//! One segment file: written whole, read at opening, changed piece by piece.

use super::format::{
    EXTENSION, FOOTER_SIZE, Footer, FooterError, RECORD_SIZE, Record, VERSION, file_length, file_name,
    piece_offset, record_bytes, record_offset,
};
use super::store::ArchiveOptions;
use crate::error::CacheError;
use crate::storage::{OsStorage, Storage};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};
use tracing::warn;

/// Ending of files that are being written.
pub(super) const TEMPORARY: &str = "tmp";

/// Path of a segment's file.
pub(super) fn path_of(directory: &Path, segment_index: SegmentIndex) -> PathBuf {
    directory.join(file_name(segment_index))
}

/// Writes a file with these pieces under its final name, which it gets last, when everything is durable. A file of whole pieces has
/// its space reserved first, so that a full disk shows before any work; one without pieces takes space as they come.
pub(super) fn create<P: AsRef<[u8]>>(
    directory: &Path,
    footer: &Footer,
    pieces: &[P],
) -> Result<(), CacheError> {
    let path = path_of(directory, footer.segment_index);
    let temporary = path.with_extension(format!("{EXTENSION}.{TEMPORARY}"));
    let length = file_length(footer.piece_size);
    let write = || -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&temporary)?;
        if pieces.is_empty() {
            file.set_len(length)?;
        }
        let storage = OsStorage::from(file);
        if !pieces.is_empty() {
            storage.resize(length)?;
        }
        for (position, piece) in pieces.iter().enumerate() {
            storage.write_all_at(piece.as_ref(), piece_offset(footer.piece_size, position))?;
        }
        storage.write_all_at(
            &footer.to_bytes(),
            piece_offset(footer.piece_size, NUM_PIECES_IN_SEGMENT),
        )?;
        storage.sync()?;
        std::fs::rename(&temporary, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| {
        // The space is worth more than the evidence; failing to remove it changes nothing about the error.
        let _ = std::fs::remove_file(&temporary);
        CacheError::write("Writing", &path, length, error)
    })
}

/// Stores one piece in a file that exists. At every moment of death its record is the right one for the bytes, or they do not have
/// the record's hash, or there is no record: never is a byte taken for another.
pub(super) fn write_piece(
    storage: &dyn Storage,
    footer: &Footer,
    position: usize,
    bytes: &[u8],
    hash: &[u8; 32],
) -> io::Result<()> {
    let record_at = record_offset(footer.piece_size, position);
    if matches!(footer.records[position], Record::Held(before) if before != *hash) {
        storage.write_all_at(&[0; RECORD_SIZE], record_at)?;
        storage.sync()?;
    }
    storage.write_all_at(bytes, piece_offset(footer.piece_size, position))?;
    storage.sync()?;
    let piece_index = footer.segment_index.first_piece_index().get() + position as u64;
    storage.write_all_at(
        &record_bytes(&footer.identity, piece_index.into(), hash),
        record_at,
    )?;
    // The same bytes as before, unless that part was damaged.
    storage.write_all_at(
        &footer.fixed_bytes(),
        piece_offset(footer.piece_size, NUM_PIECES_IN_SEGMENT),
    )?;
    storage.sync()
}

/// The footer of a segment file; `None`, with a report, when the file is damaged.
pub(super) fn read_footer(
    path: &Path,
    segment_index: SegmentIndex,
    options: &ArchiveOptions,
) -> Result<Option<Footer>, CacheError> {
    let failed = |error| CacheError::io("Reading", path, error);
    let storage = OsStorage::from(File::open(path).map_err(failed)?);
    let length = storage.length().map_err(failed)?;
    let damaged = |reason: &str| {
        warn!(path = %path.display(), reason, "a segment is damaged and counts as absent");
        Ok(None)
    };
    let Some(start) = length.checked_sub(FOOTER_SIZE as u64) else {
        return damaged("it is too short");
    };
    let mut bytes = [0; FOOTER_SIZE];
    if let Err(error) = storage.read_exact_at(&mut bytes, start) {
        return damaged(&error.to_string());
    }
    let unsupported = |found| {
        Err(CacheError::UnsupportedVersion {
            path: path.to_owned(),
            found,
            known: VERSION,
        })
    };
    if Footer::is_version_1(&bytes) {
        return unsupported(1);
    }
    let footer = match Footer::from_bytes(&bytes) {
        Ok(footer) => footer,
        Err(FooterError::Damaged(reason)) => return damaged(reason),
        Err(FooterError::Version(found)) => return unsupported(found),
    };
    let differs = |what| {
        Err(CacheError::Mismatch {
            path: path.to_owned(),
            what,
        })
    };
    if footer.identity != options.identity {
        return differs("chain");
    }
    if footer.piece_size != options.piece_size {
        return differs("piece size");
    }
    if footer.segment_index != segment_index || length != file_length(footer.piece_size) {
        return damaged("its name or length does not fit its footer");
    }
    Ok(Some(footer))
}
