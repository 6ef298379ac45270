//! Network addresses of the storage network: carried from the node to whoever asks, not used.

use parity_scale_codec::{Decode, Encode, Error, Input, Output};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A multiaddress, for example `/ip4/203.0.113.7/tcp/30533/p2p/12D3KooW…`.
///
/// Kept as the text the node gave, whatever it says: an unknown protocol must not keep a farmer from starting. In SCALE it is
/// a byte vector with the binary form; an address that has none here is carried as its text, which can be told apart by the
/// leading slash (no protocol has that code).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Multiaddr(String);

/// What follows the code of a protocol.
#[derive(Copy, Clone)]
enum Argument {
    None,
    Ip4,
    Ip6,
    /// 16-bit number.
    Port,
    /// Text with its length.
    Name,
    /// Multihash in base 58 with its length.
    PeerId,
}

/// Protocols that addresses of nodes are made of: name, code of the multicodec table, argument.
const PROTOCOLS: [(&str, u64, Argument); 16] = [
    ("ip4", 4, Argument::Ip4),
    ("tcp", 6, Argument::Port),
    ("ip6", 41, Argument::Ip6),
    ("dns", 53, Argument::Name),
    ("dns4", 54, Argument::Name),
    ("dns6", 55, Argument::Name),
    ("dnsaddr", 56, Argument::Name),
    ("udp", 273, Argument::Port),
    ("p2p-circuit", 290, Argument::None),
    ("p2p", 421, Argument::PeerId),
    ("tls", 448, Argument::None),
    ("quic", 460, Argument::None),
    ("quic-v1", 461, Argument::None),
    ("ws", 477, Argument::None),
    ("wss", 478, Argument::None),
    ("webrtc-direct", 280, Argument::None),
];

impl Multiaddr {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Binary form, `None` when it contains a protocol that is not known here. Only a form that reads back as the same text
    /// counts, so that carrying an address never changes it.
    fn to_binary(&self) -> Option<Vec<u8>> {
        let mut parts = self.0.strip_prefix('/')?.split('/');
        let mut binary = Vec::new();
        while let Some(name) = parts.next() {
            let (_, code, argument) = PROTOCOLS.iter().find(|(known, ..)| *known == name)?;
            write_varint(&mut binary, *code);
            match argument {
                Argument::None => {}
                Argument::Ip4 => binary.extend(parts.next()?.parse::<Ipv4Addr>().ok()?.octets()),
                Argument::Ip6 => binary.extend(parts.next()?.parse::<Ipv6Addr>().ok()?.octets()),
                Argument::Port => binary.extend(parts.next()?.parse::<u16>().ok()?.to_be_bytes()),
                Argument::Name => write_bytes(&mut binary, parts.next()?.as_bytes()),
                Argument::PeerId => write_bytes(&mut binary, &bs58::decode(parts.next()?).into_vec().ok()?),
            }
        }
        (Self::from_binary(&binary)? == *self).then_some(binary)
    }

    /// Reverse of [`Self::to_binary`].
    fn from_binary(mut binary: &[u8]) -> Option<Self> {
        let mut text = String::new();
        while !binary.is_empty() {
            let code = read_varint(&mut binary)?;
            let (name, _, argument) = PROTOCOLS.iter().find(|(_, known, _)| *known == code)?;
            text.push('/');
            text.push_str(name);
            let value = match argument {
                Argument::None => continue,
                Argument::Ip4 => Ipv4Addr::from(*read_array::<4>(&mut binary)?).to_string(),
                Argument::Ip6 => Ipv6Addr::from(*read_array::<16>(&mut binary)?).to_string(),
                Argument::Port => u16::from_be_bytes(*read_array(&mut binary)?).to_string(),
                Argument::Name => String::from_utf8(read_bytes(&mut binary)?.to_vec()).ok()?,
                Argument::PeerId => bs58::encode(read_bytes(&mut binary)?).into_string(),
            };
            text.push('/');
            text.push_str(&value);
        }
        Some(Self(text))
    }
}

fn write_varint(target: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        target.push(number as u8 | 0x80);
        number >>= 7;
    }
    target.push(number as u8);
}

fn read_varint(source: &mut &[u8]) -> Option<u64> {
    // Codes and lengths that occur fit three bytes; nine is the limit of the format.
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *source.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn write_bytes(target: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(target, bytes.len() as u64);
    target.extend(bytes);
}

fn read_bytes<'a>(source: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read_varint(source)?).ok()?;
    source.split_off(..length)
}

fn read_array<'a, const N: usize>(source: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (array, rest) = source.split_first_chunk()?;
    *source = rest;
    Some(array)
}

impl Encode for Multiaddr {
    fn encode_to<O: Output + ?Sized>(&self, destination: &mut O) {
        match self.to_binary() {
            Some(binary) => binary.encode_to(destination),
            None => self.0.encode_to(destination),
        }
    }
}

impl Decode for Multiaddr {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let bytes = Vec::<u8>::decode(input)?;
        if bytes.first() == Some(&b'/') {
            return String::from_utf8(bytes)
                .map(Self)
                .map_err(|_| Error::from("a network address is not text"));
        }
        Self::from_binary(&bytes)
            .ok_or_else(|| Error::from("a network address is damaged or of an unknown protocol"))
    }
}

impl fmt::Display for Multiaddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<String> for Multiaddr {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Multiaddr {
    fn from(text: &str) -> Self {
        Self(text.to_string())
    }
}

impl AsRef<str> for Multiaddr {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> Vec<u8> {
        let address = Multiaddr::from(text);
        let encoded = address.encode();
        assert_eq!(
            Multiaddr::decode(&mut encoded.as_slice()).expect("decodes"),
            address
        );
        Vec::decode(&mut encoded.as_slice()).expect("a byte vector")
    }

    #[test]
    fn known_protocols_have_their_binary_form() {
        // The example of the multiaddr specification.
        assert_eq!(
            hex::encode(round_trip("/ip4/127.0.0.1/udp/1234")),
            "047f000001910204d2"
        );
        assert_eq!(
            hex::encode(round_trip("/dns/a.io/tcp/443/wss")),
            "3504612e696f0601bbde03"
        );
        let binary = round_trip(
            "/ip6/2001:db8::1/udp/30433/quic-v1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
        );
        assert_eq!(binary[0], 41);
        // Protocol 421, then the 38 bytes of an Ed25519 identity.
        assert_eq!(
            &binary[binary.len() - 41..][..9],
            [0xa5, 0x03, 0x26, 0x00, 0x24, 0x08, 0x01, 0x12, 0x20]
        );
    }

    #[test]
    fn other_addresses_are_carried_as_text() {
        for text in [
            "/onion3/abc:1",
            "/ip4/127.0.0.1/tcp/70000",
            "/ip6/2001:DB8::1/tcp/1",
            "/ip4",
            "/dns//tcp/01",
            "/",
        ] {
            assert_eq!(round_trip(text), text.as_bytes());
        }
    }

    #[test]
    fn damaged_addresses_are_refused() {
        for bytes in [
            &[4u8, 127, 0][..],
            &[200],
            &[0xa5, 0x03, 0x26, 1],
            &[0xff; 12],
            &[0x2f, 0xff],
        ] {
            assert!(
                Multiaddr::decode(&mut bytes.to_vec().encode().as_slice()).is_err(),
                "{bytes:?}"
            );
        }
    }
}
