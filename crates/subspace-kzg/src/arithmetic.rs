//! Which instructions the arithmetic on many scalars uses.

mod operations;

use crate::SimdLevel;
use std::fmt;
use std::sync::OnceLock;

/// The instructions that transforms and other arithmetic on many scalars use. Results are the same with all of them.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Arithmetic(pub(crate) Kind);

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One scalar at a time.
    Portable,
    /// Four scalars at a time.
    #[cfg(target_arch = "x86_64")]
    Quads(crate::msm::Avx2),
    /// Eight scalars at a time.
    #[cfg(target_arch = "x86_64")]
    Lanes(crate::lanes::Token),
}

impl Arithmetic {
    /// One scalar at a time, any processor.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The instructions of a level; [`Self::PORTABLE`] where the processor does not have all of them (with
    /// [`SimdLevel::Avx512`] these are F, BW, IFMA and VBMI2).
    pub fn new(level: SimdLevel) -> Self {
        match level {
            SimdLevel::Portable => Self::PORTABLE,
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2 => {
                crate::msm::Avx2::detect().map_or(Self::PORTABLE, |proof| Self(Kind::Quads(proof)))
            }
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512 => {
                crate::lanes::Token::detect().map_or(Self::PORTABLE, |token| Self(Kind::Lanes(token)))
            }
            #[cfg(not(target_arch = "x86_64"))]
            SimdLevel::Avx2 | SimdLevel::Avx512 => Self::PORTABLE,
        }
    }

    /// The instructions of [`SimdLevel::from_environment`], which is asked once in a process.
    pub fn from_environment() -> Self {
        static ARITHMETIC: OnceLock<Arithmetic> = OnceLock::new();
        *ARITHMETIC.get_or_init(|| Self::new(SimdLevel::from_environment()))
    }

    /// The level that it belongs to.
    pub fn simd_level(self) -> SimdLevel {
        match self.0 {
            Kind::Portable => SimdLevel::Portable,
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(_) => SimdLevel::Avx2,
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(_) => SimdLevel::Avx512,
        }
    }

    /// All that this processor has, slowest first.
    pub fn supported() -> impl Iterator<Item = Self> {
        let of_level = |level| (level, Self::new(level));
        let levels = SimdLevel::ALL.into_iter().map(of_level);
        levels
            .filter(|(level, arithmetic)| arithmetic.simd_level() == *level)
            .map(|(_, arithmetic)| arithmetic)
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.simd_level().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_supported_is_what_its_level_gives() {
        assert_eq!(Arithmetic::supported().next(), Some(Arithmetic::PORTABLE));
        for arithmetic in Arithmetic::supported() {
            assert_eq!(Arithmetic::new(arithmetic.simd_level()), arithmetic);
        }
        assert!(Arithmetic::supported().any(|arithmetic| arithmetic == Arithmetic::from_environment()));
    }
}
