//! What became of the pieces, for people and for scripts.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Reasons that are told one by one; there are a handful.
const MAX_REASONS: usize = 20;

/// The result of a run; serialised as the one line of `--json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) cluster: String,
    pub(super) files: usize,
    /// Pieces with the right checksum.
    pub(super) pieces: u64,
    /// Slots that cannot be read, or fail their checksum.
    pub(super) damaged: u64,
    /// Pieces of segments that the chain does not have.
    pub(super) unknown: u64,
    /// Pieces that are not those of the chain.
    pub(super) wrong: u64,
    /// Items that caches have taken.
    pub(super) stored: u64,
    /// Items that caches had already.
    pub(super) already_there: u64,
    /// Items that caches have not taken, by reason.
    pub(super) not_taken: BTreeMap<String, u64>,
}

impl Report {
    /// Counts an item that was not taken.
    pub(super) fn not_taken(&mut self, reason: String) {
        if self.not_taken.len() < MAX_REASONS || self.not_taken.contains_key(&reason) {
            *self.not_taken.entry(reason).or_default() += 1;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pieces in {} files: {} items stored, {} were there already",
            self.pieces, self.files, self.stored, self.already_there
        )?;
        for (count, what) in [
            (self.damaged, "slots are damaged"),
            (
                self.unknown,
                "pieces are of segments that the chain does not have",
            ),
            (self.wrong, "pieces are not those of the chain"),
        ] {
            if count > 0 {
                writeln!(f, "{count} {what}")?;
            }
        }
        for (reason, items) in &self.not_taken {
            writeln!(f, "{items} items not taken: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_there_was_and_why_items_were_not_taken() {
        let mut report = Report {
            files: 2,
            pieces: 9,
            stored: 7,
            damaged: 1,
            ..Report::default()
        };
        for _ in 0..2 {
            report.not_taken("no room".to_owned());
        }
        let expected = "9 pieces in 2 files: 7 items stored, 0 were there already\n1 slots are damaged\n2 items not taken: no room\n";
        assert_eq!(report.to_string(), expected);
        (0..100).for_each(|number| report.not_taken(number.to_string()));
        assert_eq!(report.not_taken.len(), MAX_REASONS);
    }
}
