//! Golden vectors of sectors, audits and solutions. All in one binary because they share pieces and sectors that are
//! expensive to make.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

mod audit;
mod pieces;
mod plotted;
mod proof_of_space;
mod sector;
mod sector_fields;
mod sector_sparse;
