//! Names of things in a cluster: the cluster itself, roles, instances, and the session key of a running instance.

use parity_scale_codec::{Decode, Encode, Error as ScaleError, Input, Output};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use ulid::Ulid;

/// Why a name was refused.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum IdError {
    /// The cluster name cannot be part of a NATS subject and of a JetStream name.
    #[error(
        "the cluster name {0:?} cannot be used: take 1 to {max} letters, digits or hyphens",
        max = ClusterName::MAX_LENGTH
    )]
    ClusterName(String),
    /// No such role.
    #[error(
        "there is no role {0:?}; the roles are controller, sharded-cache, full-piece-sharded-cache, proof-server, plot-server and plot-client"
    )]
    Role(String),
    /// Not `<role>.<ULID>`.
    #[error("{0:?} is not an instance id, which reads <role>.<ULID>")]
    Instance(String),
    /// A controller was needed.
    #[error("{0} is not a controller")]
    NotController(InstanceId),
}

/// Name of a cluster, the prefix of everything it keeps in NATS.
///
/// Letters, digits and hyphens only: a dot would split a subject, and an underscore would let the objects of two
/// clusters meet (`<cluster>_<object>`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// Longest name in bytes; keeps every derived JetStream name below the server's file-name limits.
    pub const MAX_LENGTH: usize = 32;

    /// The name as it stands in subjects.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterName {
    /// `default`
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for ClusterName {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        let fits = (1..=Self::MAX_LENGTH).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err(IdError::ClusterName(name.to_owned()))
        }
    }
}

impl TryFrom<String> for ClusterName {
    type Error = IdError;

    fn try_from(name: String) -> Result<Self, IdError> {
        name.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What an instance does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Talks to a node.
    Controller,
    /// Holds its shards' pieces in a slab.
    ShardedCache,
    /// Holds whole segments of the history.
    FullPieceShardedCache,
    /// Makes the proof part of solutions.
    ProofServer,
    /// Encodes sectors.
    PlotServer,
    /// Owns farms.
    PlotClient,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Controller,
        Self::ShardedCache,
        Self::FullPieceShardedCache,
        Self::ProofServer,
        Self::PlotServer,
        Self::PlotClient,
    ];

    /// The role's name, as the command line spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::ShardedCache => "sharded-cache",
            Self::FullPieceShardedCache => "full-piece-sharded-cache",
            Self::ProofServer => "proof-server",
            Self::PlotServer => "plot-server",
            Self::PlotClient => "plot-client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| IdError::Role(name.to_owned()))
    }
}

/// One running role process: `<role>.<ULID>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    role: Role,
    ulid: Ulid,
}

impl InstanceId {
    /// Longest textual form in bytes: the longest role name, a dot, 26 characters of the ULID.
    pub const MAX_LENGTH: usize = Role::FullPieceShardedCache.as_str().len() + 1 + ulid::ULID_LEN;

    /// A fresh id.
    pub fn generate(role: Role) -> Self {
        Self {
            role,
            ulid: Ulid::new(),
        }
    }

    /// The role part.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The ULID part.
    pub const fn ulid(&self) -> Ulid {
        self.ulid
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.role, self.ulid))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for InstanceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError::Instance(text.chars().take(2 * Self::MAX_LENGTH).collect());
        let (role, ulid) = text.split_once('.').ok_or_else(refused)?;
        let role = role.parse().map_err(|_| refused())?;
        let parsed = Ulid::from_string(ulid).map_err(|_| refused())?;
        // One spelling only: the id is part of subjects and keys.
        if parsed.to_string() == ulid {
            Ok(Self { role, ulid: parsed })
        } else {
            Err(refused())
        }
    }
}

impl TryFrom<String> for InstanceId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

impl Encode for InstanceId {
    fn encode_to<T: Output + ?Sized>(&self, dest: &mut T) {
        self.to_string().encode_to(dest);
    }
}

impl Decode for InstanceId {
    fn decode<I: Input>(input: &mut I) -> Result<Self, ScaleError> {
        String::decode(input)?
            .parse()
            .map_err(|_| ScaleError::from("not an instance id"))
    }
}

/// An instance that is known to be a controller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControllerId(InstanceId);

impl ControllerId {
    /// The instance behind it.
    pub const fn instance(&self) -> InstanceId {
        self.0
    }
}

impl TryFrom<InstanceId> for ControllerId {
    type Error = IdError;

    fn try_from(id: InstanceId) -> Result<Self, IdError> {
        if id.role() == Role::Controller {
            Ok(Self(id))
        } else {
            Err(IdError::NotController(id))
        }
    }
}

impl From<ControllerId> for InstanceId {
    fn from(id: ControllerId) -> Self {
        id.0
    }
}

impl fmt::Display for ControllerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ControllerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Encode for ControllerId {
    fn encode_to<T: Output + ?Sized>(&self, dest: &mut T) {
        self.0.encode_to(dest);
    }
}

impl Decode for ControllerId {
    fn decode<I: Input>(input: &mut I) -> Result<Self, ScaleError> {
        InstanceId::decode(input)?
            .try_into()
            .map_err(|_| ScaleError::from("not a controller"))
    }
}

/// Secret of one run of an instance; who can read it (through NATS) may speak on the data plane.
///
/// `Debug` never shows it.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// The secret bytes, for the handshake of the data plane.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for SessionKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

#[cfg(test)]
mod tests;
