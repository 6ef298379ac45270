//! Text form of faults.

use super::{Fault, FaultKind};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use subspace_core_primitives::SlotNumber;

/// All names with the value they take, for messages.
const NAMES: &str = "late-slots=MS, slot-burst=COUNT, skip-slots, pot-reorg, syncing, close-sockets, \
    refuse-solutions[=CODE], unanswered=METHOD, foreign-signing, early-signing, double-signing, duplicate-header, \
    header-gap, missing-piece=INDEX|all, corrupt-piece=INDEX|all, import-stall=MS, other-genesis, pruned-blocks=FROM-TO, \
    wrong-parent=NUMBER, lost-justification=NUMBER|all, corrupt-header=INDEX, no-batches, reply-limit=BYTES";

/// A text that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The name is unknown.
    #[error("{0:?} is no fault; there are: {NAMES}")]
    UnknownName(String),
    /// The value is missing, not wanted or malformed.
    #[error("fault {name:?}: {reason}")]
    Value {
        /// Name of the fault.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The window is malformed.
    #[error("fault window {0:?} is not of the form SLOT, FROM..TO or FROM.. with FROM up to TO")]
    Window(String),
    /// This fault needs a window.
    #[error("fault {0:?} needs a slot, for instance {0}@100")]
    WindowMissing(String),
}

fn parse_window(text: &str) -> Option<RangeInclusive<SlotNumber>> {
    let Some((from, to)) = text.split_once("..") else {
        let slot = text.parse().ok()?;
        return Some(slot..=slot);
    };
    let from: SlotNumber = from.parse().ok()?;
    let to = if to.is_empty() {
        SlotNumber::MAX
    } else {
        to.parse().ok()?
    };
    (from <= to).then_some(from..=to)
}

fn parse_blocks(text: &str) -> Option<RangeInclusive<u32>> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to).then_some(from..=to)
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (head, window) = match text.split_once('@') {
            Some((head, window)) => (head, Some(window)),
            None => (text, None),
        };
        let (name, value) = match head.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (head.trim(), None),
        };
        let wrong = |reason: &str| FaultError::Value {
            name: name.to_string(),
            reason: reason.to_string(),
        };
        let number = || -> Result<u64, FaultError> {
            let value = value.ok_or_else(|| wrong("it needs a number, as in NAME=NUMBER"))?;
            value
                .parse()
                .map_err(|_| wrong(&format!("{value:?} is not a whole number")))
        };
        let block = |number: u64| u32::try_from(number).map_err(|_| wrong("no block has this number"));
        let piece = || match value {
            None => Err(wrong("it needs a piece index or \"all\"")),
            Some("all") => Ok(None),
            Some(_) => number().map(Some),
        };
        let kind = match name {
            "late-slots" => FaultKind::LateSlots(Duration::from_millis(number()?)),
            "slot-burst" => FaultKind::SlotBurst(number()?),
            "import-stall" => FaultKind::ImportStall(Duration::from_millis(number()?)),
            "missing-piece" => FaultKind::MissingPiece(piece()?),
            "corrupt-piece" => FaultKind::CorruptPiece(piece()?),
            "corrupt-header" => FaultKind::CorruptHeader(number()?),
            "wrong-parent" => FaultKind::WrongParent(block(number()?)?),
            "lost-justification" => match value {
                Some("all") => FaultKind::LostJustification(None),
                _ => FaultKind::LostJustification(Some(block(number()?)?)),
            },
            "pruned-blocks" => {
                let blocks = value
                    .and_then(parse_blocks)
                    .ok_or_else(|| wrong("it needs numbers of blocks, as in NAME=FROM-TO"))?;
                FaultKind::PrunedBlocks(blocks)
            }
            "reply-limit" => {
                let bytes = usize::try_from(number()?);
                FaultKind::ReplyLimit(bytes.map_err(|_| wrong("it is too large"))?)
            }
            "unanswered" => match value {
                Some(method) if !method.is_empty() => FaultKind::Unanswered(method.to_string()),
                _ => return Err(wrong("it needs the name of a method")),
            },
            "refuse-solutions" => match value {
                None => FaultKind::RefuseSolutions(autonomys_node_rpc::wire::DOMAIN_ERROR),
                Some(code) => FaultKind::RefuseSolutions(
                    code.parse()
                        .map_err(|_| wrong(&format!("{code:?} is not an error code")))?,
                ),
            },
            _ => {
                let kind = match name {
                    "skip-slots" => FaultKind::SkipSlots,
                    "pot-reorg" => FaultKind::PotReorg,
                    "syncing" => FaultKind::Syncing,
                    "close-sockets" => FaultKind::CloseSockets,
                    "foreign-signing" => FaultKind::ForeignSigning,
                    "early-signing" => FaultKind::EarlySigning,
                    "double-signing" => FaultKind::DoubleSigning,
                    "duplicate-header" => FaultKind::DuplicateHeader,
                    "header-gap" => FaultKind::HeaderGap,
                    "other-genesis" => FaultKind::OtherGenesis,
                    "no-batches" => FaultKind::NoBatches,
                    _ => return Err(FaultError::UnknownName(name.to_string())),
                };
                if value.is_some() {
                    return Err(wrong("it takes no value"));
                }
                kind
            }
        };
        let slots = match window {
            Some(window) => {
                parse_window(window.trim()).ok_or_else(|| FaultError::Window(window.to_string()))?
            }
            None if matches!(kind, FaultKind::SlotBurst(_)) => {
                return Err(FaultError::WindowMissing(name.to_string()));
            }
            None => 0..=SlotNumber::MAX,
        };
        Ok(Self { kind, slots })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = |index: &Option<u64>| index.map_or("all".to_string(), |index| index.to_string());
        match &self.kind {
            FaultKind::LateSlots(late) => write!(formatter, "late-slots={}", late.as_millis())?,
            FaultKind::SlotBurst(count) => write!(formatter, "slot-burst={count}")?,
            FaultKind::SkipSlots => formatter.write_str("skip-slots")?,
            FaultKind::PotReorg => formatter.write_str("pot-reorg")?,
            FaultKind::Syncing => formatter.write_str("syncing")?,
            FaultKind::CloseSockets => formatter.write_str("close-sockets")?,
            FaultKind::RefuseSolutions(code) => write!(formatter, "refuse-solutions={code}")?,
            FaultKind::Unanswered(method) => write!(formatter, "unanswered={method}")?,
            FaultKind::ForeignSigning => formatter.write_str("foreign-signing")?,
            FaultKind::EarlySigning => formatter.write_str("early-signing")?,
            FaultKind::DoubleSigning => formatter.write_str("double-signing")?,
            FaultKind::DuplicateHeader => formatter.write_str("duplicate-header")?,
            FaultKind::HeaderGap => formatter.write_str("header-gap")?,
            FaultKind::MissingPiece(index) => write!(formatter, "missing-piece={}", piece(index))?,
            FaultKind::CorruptPiece(index) => write!(formatter, "corrupt-piece={}", piece(index))?,
            FaultKind::ImportStall(stall) => write!(formatter, "import-stall={}", stall.as_millis())?,
            FaultKind::OtherGenesis => formatter.write_str("other-genesis")?,
            FaultKind::PrunedBlocks(blocks) => {
                write!(formatter, "pruned-blocks={}-{}", blocks.start(), blocks.end())?;
            }
            FaultKind::WrongParent(number) => write!(formatter, "wrong-parent={number}")?,
            FaultKind::LostJustification(number) => {
                let number = number.map(u64::from);
                write!(formatter, "lost-justification={}", piece(&number))?;
            }
            FaultKind::CorruptHeader(index) => write!(formatter, "corrupt-header={index}")?,
            FaultKind::NoBatches => formatter.write_str("no-batches")?,
            FaultKind::ReplyLimit(bytes) => write!(formatter, "reply-limit={bytes}")?,
        }
        match (*self.slots.start(), *self.slots.end()) {
            (0, SlotNumber::MAX) => Ok(()),
            (from, SlotNumber::MAX) => write!(formatter, "@{from}.."),
            (from, to) if from == to => write!(formatter, "@{from}"),
            (from, to) => write!(formatter, "@{from}..{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_its_text() {
        for text in [
            "late-slots=1500@10..20",
            "slot-burst=5@7",
            "skip-slots@3..4",
            "pot-reorg@9..",
            "syncing",
            "close-sockets@12",
            "refuse-solutions=9001@1..2",
            "unanswered=subspace_piece@5..",
            "foreign-signing@1",
            "early-signing@1",
            "double-signing",
            "duplicate-header",
            "header-gap",
            "missing-piece=all",
            "missing-piece=17@3",
            "corrupt-piece=0",
            "import-stall=240000@50",
            "other-genesis@99..",
            "pruned-blocks=10-20",
            "wrong-parent=7",
            "lost-justification=all",
            "lost-justification=7@3..",
            "corrupt-header=2",
            "no-batches",
            "reply-limit=1000000",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
            let name = text.split(['=', '@']).next().unwrap();
            assert!(NAMES.contains(name), "{name}");
        }
        let bare: Fault = "refuse-solutions".parse().unwrap();
        assert_eq!(bare.to_string(), "refuse-solutions=9001");
    }

    #[test]
    fn errors_say_what_was_wrong() {
        for (text, message) in [
            ("late-slot=5", "\"late-slot\" is no fault"),
            ("late-slots", "needs a number"),
            ("late-slots=soon", "\"soon\" is not a whole number"),
            ("pot-reorg=5", "takes no value"),
            ("skip-slots@5..4", "\"5..4\" is not of the form"),
            ("skip-slots@", "is not of the form"),
            ("missing-piece", "piece index or \"all\""),
            ("unanswered", "name of a method"),
            ("refuse-solutions=x", "not an error code"),
            ("slot-burst=3", "needs a slot"),
            ("pruned-blocks=9-8", "FROM-TO"),
            ("wrong-parent=4294967296", "no block has this number"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn faults_act_in_their_window() {
        let control = super::super::FaultControl::new(vec!["skip-slots@3..4".parse().unwrap()]);
        for slot in 0..8 {
            control.enter_slot(slot);
            assert_eq!(control.acts(&FaultKind::SkipSlots), (3..=4).contains(&slot));
        }
        control.enter_slot(3);
        control.inject("late-slots=7".parse().unwrap());
        let late = |kind: &FaultKind| match kind {
            FaultKind::LateSlots(late) => Some(*late),
            _ => None,
        };
        assert_eq!(control.find(late), Some(Duration::from_millis(7)));
        control.clear();
        assert!(!control.acts(&FaultKind::SkipSlots));
    }
}
