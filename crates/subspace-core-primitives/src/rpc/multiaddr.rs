//! Network addresses of the storage network, carried and not used.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A multiaddress as text, for example `/ip4/203.0.113.7/tcp/30533/p2p/12D3KooW…`. Kept as the node gave it.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    parity_scale_codec::Encode,
    parity_scale_codec::Decode,
)]
#[serde(transparent)]
pub struct Multiaddr(pub String);

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

impl AsRef<str> for Multiaddr {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
