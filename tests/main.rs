//! Tests through the real binaries: one module a subject, the harness in `support`.
//!
//! They are one program, because the harness and everything below it would be compiled and linked again for each.

#![allow(clippy::unwrap_used)] // All of this is tests, their helper functions included.

mod support;

mod bad_input;
mod cache_contents;
mod cache_membership;
mod chaos;
mod clusters_by_shares;
mod controllers;
mod disk_faults;
mod drain;
mod export_piece;
mod farming_loop;
mod full_piece_caches;
mod import_piece_cache;
mod kill_nine;
mod operator_files;
mod proof_path;
mod rebuild_from_sectors;
mod restarts;
mod vectors_are_covered;
