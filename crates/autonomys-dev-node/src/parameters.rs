//! Constants of a development chain; those of the public chain unless scaled by switches.

use crate::error::DevNodeError;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64};
use subspace_core_primitives::segments::HistorySize;
use subspace_core_primitives::solutions::{SolutionRange, pieces_to_solution_range};
use subspace_core_primitives::{BlockNumber, SlotNumber};
use subspace_proof_of_time::EntropyInjection;

/// Slots between the slot of a block and the slot whose proof of time it must also contain.
pub const BLOCK_AUTHORING_DELAY: SlotNumber = 4;
/// Votes expected for each block; the voting range is this plus one times the solution range.
pub const EXPECTED_VOTES_PER_BLOCK: u32 = 9;

/// Consensus parameters. A chain keeps those it was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainParameters {
    /// Text from which the genesis block is derived.
    pub seed: String,
    /// Segments that are archived before the first slot: that of the genesis block, and those of blocks that the node makes itself.
    #[serde(default = "one")]
    pub history_segments: u16,
    /// Limit for pieces in a sector.
    pub max_pieces_in_sector: u16,
    /// Segments that count as recent.
    pub recent_segments: u64,
    /// Fraction of a sector from recent segments.
    pub recent_history_fraction: (u64, u64),
    /// Segments that a sector lives at least.
    pub min_sector_lifetime: u64,
    /// Depth in blocks at which blocks are archived.
    pub confirmation_depth: BlockNumber,
    /// Blocks of an era, after which solution ranges adjust.
    pub era_duration: BlockNumber,
    /// Probability that a slot has a block: numerator and denominator.
    pub slot_probability: (u64, u64),
    /// Solution range at genesis.
    pub initial_solution_range: SolutionRange,
    /// Block at which adjustment of solution ranges and with it voting begins; never without.
    pub adjustment_start: Option<BlockNumber>,
    /// Blocks between injections of entropy into the proof of time.
    pub entropy_injection_interval: BlockNumber,
    /// Sequential AES encryptions of a slot, a multiple of 16.
    pub pot_iterations: u32,
    /// `chia` or `fast-test`.
    pub proof_of_space: String,
    /// `mainnet` or `insecure-development`.
    pub kzg: String,
}

impl Default for ChainParameters {
    fn default() -> Self {
        Self {
            seed: "autonomys".to_string(),
            history_segments: one(),
            max_pieces_in_sector: 1000,
            recent_segments: 5,
            recent_history_fraction: (1, 10),
            min_sector_lifetime: 4,
            confirmation_depth: 5,
            era_duration: 2016,
            slot_probability: (1, 6),
            initial_solution_range: pieces_to_solution_range(1000, (1, 6)),
            adjustment_start: None,
            entropy_injection_interval: 50,
            pot_iterations: 256,
            proof_of_space: "chia".to_string(),
            kzg: "insecure-development".to_string(),
        }
    }
}

/// Of the network, and of chains made before it could be chosen.
fn one() -> u16 {
    1
}

fn history_size(value: u64) -> HistorySize {
    HistorySize::new(NonZeroU64::new(value).unwrap_or(NonZeroU64::MIN))
}

impl ChainParameters {
    /// Checks that a chain can work with these.
    ///
    /// # Errors
    /// [`DevNodeError::Configuration`] with the reason.
    pub fn check(&self) -> Result<(), DevNodeError> {
        let require = |condition: bool, message: &str| {
            condition
                .then_some(())
                .ok_or_else(|| DevNodeError::Configuration(message.to_string()))
        };
        require(
            self.history_segments > 0,
            "the history begins with at least 1 segment, that of the genesis block",
        )?;
        require(
            self.max_pieces_in_sector > 0,
            "pieces in a sector must be at least 1",
        )?;
        require(self.recent_segments > 0, "recent segments must be at least 1")?;
        require(
            self.min_sector_lifetime > 0,
            "the minimum sector lifetime must be at least 1 segment",
        )?;
        let (numerator, denominator) = self.recent_history_fraction;
        require(
            numerator > 0 && numerator <= denominator,
            "the recent history fraction must lie between 0 (exclusive) and 1",
        )?;
        let (numerator, denominator) = self.slot_probability;
        require(
            numerator > 0 && numerator.checked_mul(2).is_some_and(|twice| twice <= denominator),
            "the slot probability must lie between 0 (exclusive) and 1/2",
        )?;
        require(self.era_duration > 0, "an era must have at least 1 block")?;
        require(
            self.entropy_injection_interval > 0,
            "the entropy injection interval must be at least 1 block",
        )?;
        require(
            self.initial_solution_range > 0,
            "the initial solution range must be at least 1",
        )?;
        require(
            self.adjustment_start != Some(0),
            "adjustment can begin at block 1 at the earliest",
        )?;
        require(
            self.pot_iterations > 0 && self.pot_iterations.is_multiple_of(16),
            "proof-of-time iterations must be a positive multiple of 16",
        )
    }

    /// When entropy is injected into the proof of time.
    ///
    /// # Errors
    /// [`DevNodeError::Configuration`] when the interval is zero.
    pub fn entropy_injection(&self) -> Result<EntropyInjection, DevNodeError> {
        let interval = NonZeroU32::new(self.entropy_injection_interval).ok_or_else(|| {
            DevNodeError::Configuration("the entropy injection interval must be at least 1 block".to_string())
        })?;
        Ok(EntropyInjection {
            interval,
            ..EntropyInjection::MAINNET
        })
    }

    /// Proof-of-time iterations as the protocol's type.
    ///
    /// # Errors
    /// [`DevNodeError::Configuration`] when zero.
    pub fn pot_iterations(&self) -> Result<NonZeroU32, DevNodeError> {
        NonZeroU32::new(self.pot_iterations).ok_or_else(|| {
            DevNodeError::Configuration(
                "proof-of-time iterations must be a positive multiple of 16".to_string(),
            )
        })
    }

    /// Recent segments as the protocol's type.
    pub fn recent_segments(&self) -> HistorySize {
        history_size(self.recent_segments)
    }

    /// Recent history fraction as the protocol's type.
    pub fn recent_history_fraction(&self) -> (HistorySize, HistorySize) {
        (
            history_size(self.recent_history_fraction.0),
            history_size(self.recent_history_fraction.1),
        )
    }

    /// Minimum sector lifetime as the protocol's type.
    pub fn min_sector_lifetime(&self) -> HistorySize {
        history_size(self.min_sector_lifetime)
    }

    /// Name and both values of the first parameter that differs.
    pub fn difference(&self, given: &Self) -> Option<(&'static str, String, String)> {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        macro_rules! compare {
            ($($field:ident => $name:literal),+) => {
                $(if self.$field != given.$field {
                    return Some(($name, text(&self.$field), text(&given.$field)));
                })+
            };
        }
        compare!(
            seed => "seed", history_segments => "segments of history", max_pieces_in_sector => "pieces in sector", recent_segments => "recent segments",
            recent_history_fraction => "recent history fraction", min_sector_lifetime => "minimum sector lifetime",
            confirmation_depth => "confirmation depth", era_duration => "era duration",
            slot_probability => "slot probability", initial_solution_range => "initial solution range",
            adjustment_start => "start of adjustment", entropy_injection_interval => "entropy injection interval",
            pot_iterations => "proof-of-time iterations", proof_of_space => "proof of space", kzg => "KZG parameters"
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_public_chain() {
        let parameters = ChainParameters::default();
        parameters.check().unwrap();
        assert_eq!(parameters.initial_solution_range, 6_148_914_691_236_495);
        let text = serde_json::to_string(&parameters).unwrap();
        let back: ChainParameters = serde_json::from_str(&text).unwrap();
        assert_eq!(back.difference(&parameters), None);
    }

    #[test]
    fn impossible_values_are_refused_and_differences_named() {
        let base = ChainParameters::default();
        for wrong in [
            ChainParameters {
                pot_iterations: 24,
                ..base.clone()
            },
            ChainParameters {
                max_pieces_in_sector: 0,
                ..base.clone()
            },
            ChainParameters {
                slot_probability: (2, 3),
                ..base.clone()
            },
            ChainParameters {
                recent_history_fraction: (2, 1),
                ..base.clone()
            },
            ChainParameters {
                era_duration: 0,
                ..base.clone()
            },
            ChainParameters {
                adjustment_start: Some(0),
                ..base.clone()
            },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
            assert!(base.difference(&wrong).is_some());
        }
        let other = ChainParameters {
            seed: "b".to_string(),
            ..base.clone()
        };
        let difference = base.difference(&other).unwrap();
        assert_eq!(
            difference,
            ("seed", "\"autonomys\"".to_string(), "\"b\"".to_string())
        );
    }
}
