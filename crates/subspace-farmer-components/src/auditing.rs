//! Auditing: which stored chunks win in a slot.
//!
//! [`SectorAudit`] says what to read of a sector and judges what was read, so that a farm can schedule its reads itself;
//! [`audit_sector`] and [`audit_plot`] do both.

mod keyed_hash;
mod plot;
mod sector;

pub use plot::{AuditError, PlotAudit, SectorInPlot, audit_plot};
pub use sector::{AuditChallenge, AuditResult, ChunkCandidate, SectorAudit, audit_sector};
