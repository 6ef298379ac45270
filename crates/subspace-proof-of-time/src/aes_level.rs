//! Which AES instructions the chains are computed with.

use std::fmt;
use std::sync::OnceLock;

/// Instruction sets there is code for, slowest first. Results are identical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AesLevel {
    /// The AES library, any processor.
    Portable,
    /// AES instructions of x86-64 on one block each.
    AesNi,
    /// AES instructions of x86-64 on four blocks each (VAES with AVX-512 F); proving, one chain, is the same as with
    /// [`Self::AesNi`].
    Vaes,
}

/// Name of the environment variable that [`AesLevel::from_environment`] reads; commitments and proofs of space obey it as well.
pub const SIMD_ENVIRONMENT_VARIABLE: &str = "AUTONOMYS_SIMD";

impl AesLevel {
    /// All levels, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::AesNi, Self::Vaes];

    /// Whether this processor can run it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::AesNi => std::arch::is_x86_feature_detected!("aes"),
            #[cfg(target_arch = "x86_64")]
            Self::Vaes => {
                Self::AesNi.is_supported()
                    && std::arch::is_x86_feature_detected!("vaes")
                    && std::arch::is_x86_feature_detected!("avx512f")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::AesNi | Self::Vaes => false,
        }
    }

    /// The fastest level up to this one that this processor supports.
    pub fn supported(self) -> Self {
        let is_possible = |level: &Self| *level as u8 <= self as u8 && level.is_supported();
        Self::ALL.into_iter().rfind(is_possible).unwrap_or(Self::Portable)
    }

    /// The level for the environment variable `AUTONOMYS_SIMD`, which is asked once in a process: [`Self::Portable`] for
    /// `portable`, at most [`Self::AesNi`] for `avx2`, otherwise the fastest.
    pub fn from_environment() -> Self {
        static LEVEL: OnceLock<AesLevel> = OnceLock::new();
        *LEVEL.get_or_init(|| Self::from_setting(std::env::var(SIMD_ENVIRONMENT_VARIABLE).ok().as_deref()))
    }

    fn from_setting(setting: Option<&str>) -> Self {
        match setting {
            Some("portable") => Self::Portable,
            Some("avx2") => Self::AesNi.supported(),
            _ => Self::Vaes.supported(),
        }
    }
}

impl fmt::Display for AesLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Portable => "portable",
            Self::AesNi => "aes-ni",
            Self::Vaes => "vaes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_select_supported_levels() {
        assert_eq!(AesLevel::from_setting(Some("portable")), AesLevel::Portable);
        assert!(AesLevel::from_setting(Some("avx2")) != AesLevel::Vaes);
        for setting in [None, Some("portable"), Some("avx2"), Some("avx512"), Some("else")] {
            assert!(AesLevel::from_setting(setting).is_supported());
        }
        for level in AesLevel::ALL {
            assert!(level.supported().is_supported());
            assert!(!level.is_supported() || level.supported() == level, "{level}");
        }
    }
}
