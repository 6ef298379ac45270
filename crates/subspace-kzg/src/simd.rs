//! Which instruction set commitments are computed with.

use std::fmt;

/// Instruction sets there is code for. Results are identical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimdLevel {
    /// The arithmetic of the library, any processor.
    Portable,
    /// 256-bit vectors of x86-64 with fused multiplication and addition of floating-point numbers (AVX2 and FMA).
    Avx2,
    /// 512-bit vectors of x86-64 with the 52-bit multiplier (AVX-512 F and IFMA).
    Avx512,
}

/// Name of the environment variable that [`SimdLevel::from_environment`] reads; proofs of space obey it as well.
pub const SIMD_ENVIRONMENT_VARIABLE: &str = "AUTONOMYS_SIMD";

impl SimdLevel {
    /// All levels, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor can run it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::msm::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => crate::msm::Ifma::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The fastest level this processor supports.
    pub fn best() -> Self {
        Self::best_up_to(Self::Avx512)
    }

    /// The level for the environment variable `AUTONOMYS_SIMD`: the fastest one this processor supports, with `avx2` and
    /// `portable` none above them.
    pub fn from_environment() -> Self {
        Self::from_setting(std::env::var(SIMD_ENVIRONMENT_VARIABLE).ok().as_deref())
    }

    fn from_setting(setting: Option<&str>) -> Self {
        match setting {
            Some("portable") => Self::Portable,
            Some("avx2") => Self::best_up_to(Self::Avx2),
            _ => Self::best(),
        }
    }

    fn best_up_to(most: Self) -> Self {
        let levels = Self::ALL.into_iter().rev();
        levels
            .skip_while(|level| *level != most)
            .find(|level| level.is_supported())
            .unwrap_or(Self::Portable)
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
        assert_eq!(SimdLevel::from_setting(Some("portable")), SimdLevel::Portable);
        assert_eq!(
            SimdLevel::from_setting(Some("avx2")),
            if SimdLevel::Avx2.is_supported() {
                SimdLevel::Avx2
            } else {
                SimdLevel::Portable
            }
        );
        for level in SimdLevel::ALL {
            assert_eq!(level == SimdLevel::best_up_to(level), level.is_supported());
            assert!(SimdLevel::best_up_to(level).is_supported());
        }
        let names = SimdLevel::ALL.map(|level| level.to_string());
        assert_eq!(names, ["portable", "avx2", "avx512"]);
    }
}
