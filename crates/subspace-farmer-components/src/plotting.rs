//! Plotting: records to encoded records to a whole sector.
//!
//! [`encode_sector`] does all of it on the CPU. A machine that encodes records by other means (a GPU) calls
//! [`assemble_sector`] with the result. [`encode_records`] and [`EncodedRecords::write_sector`] do the same without ever holding
//! the sector beside its records.

mod record;
mod sector;
mod transposition;
mod writing;

pub use record::{EncodeRecordError, EncodedRecord, encode_record};
pub use sector::{
    AssembleSectorError, EncodeSectorError, EncodedSector, SectorToEncode, assemble_sector, encode_records,
    encode_sector, sector_piece_indexes,
};
pub use writing::{EncodedRecords, WrittenSector};
