//! Headers and blocks as `chain_*` methods show them: bytes as hexadecimal text with `0x`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use subspace_core_primitives::hexadecimal;

/// Bytes that travel as `0x` hexadecimal text.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct HexBytes(pub Vec<u8>);

/// 32-byte hash that travels as `0x` hexadecimal text.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct HexHash(pub [u8; 32]);

/// Block number that travels as minimal `0x` hexadecimal text in headers; a plain number is understood too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct HexNumber(pub u32);

fn decode_hex<E: de::Error>(text: &str) -> Result<Vec<u8>, E> {
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| E::custom("expected hexadecimal text that begins with 0x"))?;
    hexadecimal::decode(digits).map_err(E::custom)
}

fn encode_hex(bytes: &[u8]) -> String {
    format!("0x{}", hexadecimal::encode(bytes))
}

impl fmt::Debug for HexBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0..=64 => formatter.write_str(&encode_hex(&self.0)),
            length => write!(formatter, "{}... ({length} bytes)", encode_hex(&self.0[..32])),
        }
    }
}

impl fmt::Display for HexHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for HexHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        decode_hex(&text).map(Self)
    }
}

impl Serialize for HexHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes: Vec<u8> = decode_hex(&text)?;
        let length = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| de::Error::custom(format!("{length} bytes instead of the 32 of a hash")))
    }
}

impl Serialize for HexNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for HexNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = HexNumber;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a block number as a number or as 0x hexadecimal text")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<HexNumber, E> {
                u32::try_from(number)
                    .map(HexNumber)
                    .map_err(|_| E::custom("block number above 32 bits"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HexNumber, E> {
                let digits = text
                    .strip_prefix("0x")
                    .filter(|digits| !digits.starts_with('+'))
                    .ok_or_else(|| E::custom("a block number as text begins with 0x"))?;
                u32::from_str_radix(digits, 16)
                    .map(HexNumber)
                    .map_err(|_| E::custom("block number is not hexadecimal or above 32 bits"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Digest of a header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RpcDigest {
    /// Each item is the SCALE encoding of one digest item.
    pub logs: Vec<HexBytes>,
}

/// Header of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcHeader {
    /// Hash of the parent block.
    pub parent_hash: HexHash,
    /// Block number.
    pub number: HexNumber,
    /// State root.
    pub state_root: HexHash,
    /// Root over the extrinsics.
    pub extrinsics_root: HexHash,
    /// Digest.
    pub digest: RpcDigest,
}

/// Block without justifications.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RpcBlock {
    /// Header.
    pub header: RpcHeader,
    /// Extrinsics, each with its own compact length in front.
    pub extrinsics: Vec<HexBytes>,
}

/// Justification: engine id and payload, both as arrays of numbers.
pub type RpcJustification = ([u8; 4], Vec<u8>);

/// Block with justifications, the answer to `chain_getBlock`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RpcSignedBlock {
    /// Block.
    pub block: RpcBlock,
    /// Justifications, `None` when there are none.
    pub justifications: Option<Vec<RpcJustification>>,
}

/// Parameter of `chain_getBlockHash`: one number or a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NumberOrList {
    /// One number.
    One(HexNumber),
    /// Several numbers.
    Many(Vec<HexNumber>),
}

/// Answer to `chain_getBlockHash`: one hash or a list of hashes, `null` for an unknown number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HashOrList {
    /// One hash.
    One(Option<HexHash>),
    /// Several hashes.
    Many(Vec<Option<HexHash>>),
}

/// Answer to `system_health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemHealth {
    /// Connected peers.
    pub peers: u64,
    /// Whether the node is syncing.
    pub is_syncing: bool,
    /// Whether the node expects to have peers.
    pub should_have_peers: bool,
}

/// Answer to `system_syncState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncState {
    /// Block from which this run began.
    pub starting_block: u32,
    /// Best block.
    pub current_block: u32,
    /// Highest known block.
    pub highest_block: u32,
}

#[cfg(test)]
mod tests;
