//! Reading chunks, records and pieces back out of a sector.

mod error;
mod reader;

pub use error::{ReadingError, ReadingErrorReason};
pub use reader::{ReadMode, SectorReader};
