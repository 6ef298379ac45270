//! Sizes as operators write them.

use bytesize::ByteSize;
use std::str::FromStr;
use thiserror::Error;

/// A number of bytes, not zero: `500GB`, `2TiB`, `1000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a size; write a number with a unit, as in 500GB or 2TiB")]
pub(crate) struct SizeError(String);

impl Size {
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        match text.parse::<ByteSize>() {
            Ok(size) if size.as_u64() > 0 => Ok(Self(size.as_u64())),
            _ => Err(SizeError(text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_are_not_zero() {
        assert_eq!("2GiB".parse(), Ok(Size(2 << 30)));
        assert_eq!("500GB".parse::<Size>().map(Size::bytes), Ok(500_000_000_000));
        for wrong in ["", "much", "0", "-1GB"] {
            assert_eq!(wrong.parse::<Size>(), Err(SizeError(wrong.to_string())));
        }
    }
}
