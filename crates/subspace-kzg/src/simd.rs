//! Which instruction set commitments are computed with.

use std::fmt;

/// Instruction sets there is code for. Results are identical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimdLevel {
    /// The arithmetic of the library, any processor.
    Portable,
    /// 512-bit vectors of x86-64 with the 52-bit multiplier (AVX-512 F and IFMA).
    Avx512,
}

/// Name of the environment variable that [`SimdLevel::from_environment`] reads; proofs of space obey it as well.
pub const SIMD_ENVIRONMENT_VARIABLE: &str = "AUTONOMYS_SIMD";

impl SimdLevel {
    /// All levels, slowest first.
    pub const ALL: [Self; 2] = [Self::Portable, Self::Avx512];

    /// Whether this processor can run it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => crate::msm::Ifma::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 => false,
        }
    }

    /// The fastest level this processor supports.
    pub fn best() -> Self {
        if Self::Avx512.is_supported() {
            Self::Avx512
        } else {
            Self::Portable
        }
    }

    /// The level for the environment variable `AUTONOMYS_SIMD`: [`Self::Portable`] for `portable` and for `avx2` (for which there
    /// is no code of its own), otherwise [`Self::best`].
    pub fn from_environment() -> Self {
        Self::from_setting(std::env::var(SIMD_ENVIRONMENT_VARIABLE).ok().as_deref())
    }

    fn from_setting(setting: Option<&str>) -> Self {
        match setting {
            Some("portable" | "avx2") => Self::Portable,
            _ => Self::best(),
        }
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Portable => "portable",
            Self::Avx512 => "avx512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_select_supported_levels() {
        assert!(SimdLevel::Portable.is_supported());
        assert!(SimdLevel::best().is_supported());
        assert!(SimdLevel::from_environment().is_supported());
        for setting in [None, Some("avx512"), Some("something else")] {
            assert_eq!(SimdLevel::from_setting(setting), SimdLevel::best());
        }
        for setting in ["portable", "avx2"] {
            assert_eq!(SimdLevel::from_setting(Some(setting)), SimdLevel::Portable);
        }
        for level in SimdLevel::ALL {
            assert!(level.to_string() == "portable" || level != SimdLevel::Portable);
        }
    }
}
