//! Names of the proofs of space and how to get one by name.

use crate::{ChiaProofOfSpace, FastTestProofOfSpace, ProofOfSpace};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;

/// Which proof of space a chain uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProofOfSpaceKind {
    /// The proof of space of the network, `chia`.
    Chia,
    /// A trivial stand-in for development chains, `fast-test`.
    FastTest,
}

impl fmt::Display for ProofOfSpaceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Chia => "chia",
            Self::FastTest => "fast-test",
        })
    }
}

/// A text that names no [`ProofOfSpaceKind`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is no proof of space, use \"chia\" or \"fast-test\"")]
pub struct ParseProofOfSpaceKindError(String);

impl FromStr for ProofOfSpaceKind {
    type Err = ParseProofOfSpaceKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "chia" => Ok(Self::Chia),
            "fast-test" => Ok(Self::FastTest),
            _ => Err(ParseProofOfSpaceKindError(text.to_string())),
        }
    }
}

/// The proof of space of that kind, with the fastest code this processor supports.
pub fn proof_of_space(kind: ProofOfSpaceKind) -> Arc<dyn ProofOfSpace> {
    match kind {
        ProofOfSpaceKind::Chia => Arc::new(ChiaProofOfSpace::new()),
        ProofOfSpaceKind::FastTest => Arc::new(FastTestProofOfSpace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_text_form() {
        for kind in [ProofOfSpaceKind::Chia, ProofOfSpaceKind::FastTest] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(proof_of_space(kind).kind(), kind);
        }
        let error = "Chia".parse::<ProofOfSpaceKind>().unwrap_err();
        assert!(error.to_string().contains("\"Chia\""), "{error}");
    }
}
