//! Fixed-size byte arrays as distinct types: hex in JSON, raw bytes in SCALE.

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserializer, Serializer};
use std::fmt;

/// Text that is not the hex form of a fixed-size byte array.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexArrayError {
    /// The number of characters is not twice the number of bytes.
    #[error("expected {expected} hexadecimal digits without 0x prefix, got {actual} characters")]
    Length {
        /// Twice the size of the type.
        expected: usize,
        /// Characters in the text.
        actual: usize,
    },
    /// The length is right, but there is a character outside `0-9a-fA-F`.
    #[error("expected hexadecimal digits without 0x prefix, found a character that is none")]
    Character,
}

/// Parses exactly `2 * N` hexadecimal digits of either case.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexArrayError> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return Err(HexArrayError::Length {
            expected: 2 * N,
            actual: text.len(),
        });
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|_| HexArrayError::Character)?;
    Ok(bytes)
}

/// Hex string in human-readable formats, `N` plain bytes in others.
pub(crate) fn serialize<const N: usize, S>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
{
    if serializer.is_human_readable() {
        return serializer.serialize_str(&hex::encode(bytes));
    }
    let mut tuple = serializer.serialize_tuple(N)?;
    for byte in bytes {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

/// Reverse of [`serialize`].
pub(crate) fn deserialize<'de, const N: usize, D>(deserializer: D) -> Result<[u8; N], D::Error>
where
    D: Deserializer<'de>,
{
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(ArrayVisitor::<N>)
    } else {
        deserializer.deserialize_tuple(N, ArrayVisitor::<N>)
    }
}

struct ArrayVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for ArrayVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{N} bytes as {} hexadecimal digits without 0x prefix",
            2 * N
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        from_hex(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = sequence
                .next_element()?
                .ok_or_else(|| A::Error::invalid_length(index, &self))?;
        }
        Ok(bytes)
    }
}

/// Defines a newtype over `[u8; N]` with hex text forms, SCALE and the usual conversions. No `Default`: see
/// [`byte_array_default`].
macro_rules! byte_array {
    ($(#[$meta:meta])* $name:ident, $size:expr) => {
        $(#[$meta])*
        #[derive(
            Copy,
            Clone,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            parity_scale_codec::Encode,
            parity_scale_codec::Decode,
        )]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// Size in bytes, in memory and in SCALE.
            pub const SIZE: usize = $size;

            /// The bytes as an array.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl core::ops::Deref for $name {
            type Target = [u8; $size];

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl core::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl AsMut<[u8]> for $name {
            fn as_mut(&mut self) -> &mut [u8] {
                &mut self.0
            }
        }

        impl From<[u8; $size]> for $name {
            fn from(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }
        }

        impl From<$name> for [u8; $size] {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = core::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::HexArrayError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::byte_array::from_hex(text).map(Self)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(&hex::encode(self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(formatter, "{}({})", stringify!($name), hex::encode(self.0))
            }
        }
    };
}

/// Adds the hex string (JSON) form to a [`byte_array`].
macro_rules! byte_array_hex_serde {
    ($($name:ident),+) => {
        $(
            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    $crate::byte_array::serialize(&self.0, serializer)
                }
            }

            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    $crate::byte_array::deserialize(deserializer).map(Self)
                }
            }
        )+
    };
}

/// Adds the all-zero `Default` to a [`byte_array`].
macro_rules! byte_array_default {
    ($($name:ident),+) => {
        $(
            impl Default for $name {
                fn default() -> Self {
                    Self([0; Self::SIZE])
                }
            }
        )+
    };
}
