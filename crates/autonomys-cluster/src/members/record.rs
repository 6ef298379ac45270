//! What an instance tells the others about itself.
//!
//! The bytes begin with a head that keeps its layout for ever: protocol version (u16), then instance id, host and
//! software version as strings. So a process can name a member whose release it does not understand.

use super::status::RoleStatus;
use crate::codec::CodecError;
use crate::ids::{InstanceId, Role, SessionKey};
use bytes::Bytes;
use parity_scale_codec::{Decode, DecodeAll, Encode};
use std::fmt;

/// Version of everything members say to each other. Members of another version are shown and refused by name.
pub const PROTOCOL_VERSION: u16 = 3;

/// Most bytes of an announcement: some hundred addresses and facts.
const MAX_SIZE: usize = 64 * 1024;
/// Name in errors.
const NAME: &str = "member announcement";

/// An instance as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// Who.
    pub id: InstanceId,
    /// Machine, for spreading copies over machines and for people.
    pub host: String,
    /// Release of the software.
    pub version: String,
    /// Random number of this run; a restart under the same id has another.
    pub run: u64,
    /// Unix time of the start in milliseconds, by this machine's clock; for people only.
    pub started_at: u64,
    /// `host:port` where the data plane listens, best first; empty without one.
    pub data_plane_addresses: Vec<String>,
    /// Whether the data plane speaks TLS.
    pub data_plane_tls: bool,
    /// Key of this run for the data plane's handshake.
    pub session_key: SessionKey,
    /// Items that a sharded cache has room for, in the form of its status' item type; 0 for other roles.
    pub capacity: u64,
    /// Takes no new work.
    pub draining: bool,
    /// What the role does at the moment.
    pub status: RoleStatus,
    /// Things for people to see: device, temperature, speed. Name and value, in this order.
    pub facts: Vec<(String, String)>,
}

/// Identifies one run of an instance.
pub type MemberKey = (InstanceId, u64);

impl Member {
    /// A record for this process, started now, with a fresh session key and nothing else to tell yet.
    pub fn new(id: InstanceId, host: impl Into<String>, version: impl Into<String>) -> Self {
        let started_at = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Self {
            id,
            host: host.into(),
            version: version.into(),
            run: rand::random(),
            started_at,
            data_plane_addresses: Vec::new(),
            data_plane_tls: false,
            session_key: SessionKey::generate(),
            capacity: 0,
            draining: false,
            status: RoleStatus::initial(id.role()),
            facts: Vec::new(),
        }
    }

    /// The role.
    pub const fn role(&self) -> Role {
        self.id.role()
    }

    /// Sets a fact, in the place of an earlier one of the name.
    pub fn set_fact(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.facts.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.facts.push((name.to_owned(), value)),
        }
    }

    /// A fact by its name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn to_bytes(&self) -> Result<Bytes, CodecError> {
        let mut bytes = Head {
            protocol_version: PROTOCOL_VERSION,
            id: self.id.to_string(),
            host: self.host.clone(),
            version: self.version.clone(),
        }
        .encode();
        self.encode_to(&mut bytes);
        check_size(bytes.len())?;
        Ok(bytes.into())
    }

    pub(super) fn from_bytes(mut bytes: &[u8]) -> Result<Announcement, CodecError> {
        check_size(bytes.len())?;
        let malformed = |error: parity_scale_codec::Error| CodecError::Malformed {
            message: NAME,
            reason: error.to_string(),
        };
        let head = Head::decode(&mut bytes).map_err(malformed)?;
        if head.protocol_version != PROTOCOL_VERSION {
            return Ok(Announcement::Incompatible(IncompatibleMember {
                id: head.id,
                host: head.host,
                version: head.version,
                protocol_version: head.protocol_version,
            }));
        }
        let member = Self::decode_all(&mut bytes).map_err(malformed)?;
        Ok(Announcement::Member(Box::new(member)))
    }
}

fn check_size(size: usize) -> Result<(), CodecError> {
    if size > MAX_SIZE {
        return Err(CodecError::TooLarge {
            message: NAME,
            size,
            limit: MAX_SIZE,
        });
    }
    Ok(())
}

/// The part that never changes its layout.
#[derive(Encode, Decode)]
struct Head {
    protocol_version: u16,
    id: String,
    host: String,
    version: String,
}

/// What an announcement turned out to be.
pub(super) enum Announcement {
    Member(Box<Member>),
    Incompatible(IncompatibleMember),
}

/// A member that speaks another protocol version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompatibleMember {
    /// Its id, whatever form ids have in its release.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// Its release.
    pub version: String,
    /// Its protocol version.
    pub protocol_version: u16,
}

impl fmt::Display for IncompatibleMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on {} (release {}) speaks cluster protocol {}, this process {}; bring both to the same release",
            self.id, self.host, self.version, self.protocol_version, PROTOCOL_VERSION
        )
    }
}

#[cfg(test)]
mod tests {
    //! The head that outlives releases, and limits.

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_protocol_version_is_named() {
        let member = Member::new(InstanceId::generate(Role::PlotServer), "gpu-1", "1.2.3");
        let mut bytes = member.to_bytes().unwrap().to_vec();
        assert!(matches!(Member::from_bytes(&bytes).unwrap(), Announcement::Member(same) if *same == member));

        bytes[0] = 9;
        bytes.extend([0xaa; 40]);
        let Announcement::Incompatible(other) = Member::from_bytes(&bytes).unwrap() else {
            panic!("understood")
        };
        assert_eq!(
            other.to_string(),
            format!(
                "{} on gpu-1 (release 1.2.3) speaks cluster protocol 9, this process 3; bring both to the same release",
                member.id
            )
        );
    }

    #[test]
    fn limits_hold() {
        let mut member = Member::new(InstanceId::generate(Role::Controller), "a", "1");
        assert!(format!("{member:?}").contains("SessionKey(..)"));
        member.facts.push(("long".to_owned(), "x".repeat(MAX_SIZE)));
        assert!(
            member
                .to_bytes()
                .unwrap_err()
                .to_string()
                .starts_with("member announcement of 65")
        );
        assert!(Member::from_bytes(&vec![0; MAX_SIZE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Member::from_bytes(&data);
        }
    }
}
