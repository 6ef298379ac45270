//! Which instruction set the tables are made with.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Instruction sets there is code for. All of them give identical tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimdLevel {
    /// No special instructions, any processor.
    Portable,
    /// 256-bit vectors of x86-64.
    Avx2,
    /// 512-bit vectors of x86-64, with the byte permutations and compressions of VBMI and VBMI2.
    Avx512,
}

/// Name of the environment variable that [`SimdLevel::from_environment`] reads.
pub const SIMD_ENVIRONMENT_VARIABLE: &str = "AUTONOMYS_SIMD";

/// A text that names no [`SimdLevel`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is no instruction set, use \"portable\", \"avx2\" or \"avx512\"")]
pub struct ParseSimdLevelError(String);

impl SimdLevel {
    /// All levels, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor can run it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::lanes::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => crate::lanes::Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest level this processor supports.
    pub fn best() -> Self {
        Self::ALL
            .into_iter()
            .rev()
            .find(|level| level.is_supported())
            .unwrap_or(Self::Portable)
    }

    /// The level named by the environment variable `AUTONOMYS_SIMD`; [`Self::best`] when it is not set, names none, or names
    /// one that this processor does not support.
    pub fn from_environment() -> Self {
        std::env::var(SIMD_ENVIRONMENT_VARIABLE)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|level: &Self| level.is_supported())
            .unwrap_or_else(Self::best)
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

impl FromStr for SimdLevel {
    type Err = ParseSimdLevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|level| level.to_string() == text)
            .ok_or_else(|| ParseSimdLevelError(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_survive_their_text_form_and_the_best_is_supported() {
        for level in SimdLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("AVX2".parse::<SimdLevel>().is_err());
        assert!(SimdLevel::Portable.is_supported());
        assert!(SimdLevel::best().is_supported());
        assert!(SimdLevel::from_environment().is_supported());
    }
}
