//! What is recorded about a plot job.

use crate::codec::{Message, cut};
use crate::ids::{InstanceId, SessionKey};
use parity_scale_codec::{Decode, Encode};
use std::fmt;
use std::mem::discriminant;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::HistorySize;
use thiserror::Error;

/// Times a job may be taken before it is parked for the operator: a sector that ten servers could not plot will not be
/// plotted by the eleventh.
pub const MAX_ATTEMPTS: u16 = 10;
/// Most bytes of sector metadata in a record; those of the largest sector the protocol allows take 131 116.
pub const MAX_METADATA: usize = 256 * 1024;
/// Longest reason in bytes.
pub const MAX_REASON: usize = 512;
/// Most data-plane addresses of a server.
pub const MAX_ADDRESSES: usize = 16;

/// Which sector of which farm, at which history size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct JobId {
    /// Farm.
    pub public_key: PublicKey,
    /// Sector of the farm.
    pub sector_index: SectorIndex,
    /// History size the sector is plotted for.
    pub history_size: HistorySize,
}

impl JobId {
    /// Key of its record and last part of its queue subject: `<public key>.<sector index>.<history size>`.
    pub fn key(&self) -> String {
        format!(
            "{}.{}.{}",
            hex::encode(self.public_key),
            self.sector_index,
            self.history_size.get()
        )
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        let mut parts = key.split('.');
        let mut public_key = [0; 32];
        hex::decode_to_slice(parts.next()?, &mut public_key).ok()?;
        let sector_index = parts.next()?.parse().ok()?;
        let history_size = HistorySize::from_segments(parts.next()?.parse().ok()?)?;
        let id = Self {
            public_key: public_key.into(),
            sector_index,
            history_size,
        };
        // One spelling only.
        (id.key() == key).then_some(id)
    }

    /// Filter that matches all jobs of a farm.
    pub(super) fn farm_filter(public_key: &PublicKey) -> String {
        format!("{}.>", hex::encode(public_key))
    }
}

/// A text that names no job.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} names no plot job, which reads <public key of the farm>.<sector>.<history size>")]
pub struct JobIdError(String);

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(key: &str) -> Result<Self, JobIdError> {
        Self::parse(key).ok_or_else(|| JobIdError(key.to_owned()))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

/// What is to be plotted. Does not change during the job's life.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PlotJob {
    /// Which sector.
    pub id: JobId,
    /// The plot-client that owns the farm.
    pub client: InstanceId,
    /// Pieces in the sector.
    pub pieces_in_sector: u16,
    /// The chain's parameters that the pieces are chosen by.
    pub protocol_info: FarmerProtocolInfo,
    /// Unix time of the wish in milliseconds, by the client's clock; for people only.
    pub created_at: u64,
}

/// Where a finished sector is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ReadySector {
    /// The plot-server that holds it.
    pub server: InstanceId,
    /// `host:port` of its data plane, best first; a live member's announcement is newer than this.
    pub addresses: Vec<String>,
    /// Key for its data plane at the time; a live member's announcement is newer than this.
    pub session_key: Option<SessionKey>,
    /// Bytes of the sector.
    pub length: u64,
    /// BLAKE3 of the sector's bytes.
    pub checksum: Blake3Hash,
    /// The sector's metadata as it goes to disk; empty when it is fetched with the sector.
    pub metadata: Vec<u8>,
}

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JobState {
    /// Waits for a plot-server.
    #[codec(index = 0)]
    Wanted,
    /// A plot-server works on it.
    #[codec(index = 1)]
    Taken {
        /// Which one.
        server: InstanceId,
        /// Random number of this taking.
        lease: u64,
        /// Counts renewals.
        renewals: u64,
    },
    /// The sector is finished and waits to be fetched.
    #[codec(index = 2)]
    Ready(ReadySector),
    /// Given up until the operator looks at it.
    #[codec(index = 3)]
    Parked {
        /// What went wrong the last time.
        reason: String,
    },
}

impl JobState {
    /// One word for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Taken { .. } => "taken",
            Self::Ready(_) => "ready",
            Self::Parked { .. } => "parked",
        }
    }
}

/// Everything about a job.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JobRecord {
    /// What is to be plotted.
    pub job: PlotJob,
    /// Where it is.
    pub state: JobState,
    /// Unix time in milliseconds since when it is where it is, by the clock of whoever brought it there; for people only.
    pub since: u64,
    /// Times it was taken and did not become ready.
    pub attempts: u16,
    /// Times it was parked since it was queued or an operator had it tried again.
    pub parkings: u16,
    /// Why the last attempt ended, if one did.
    pub last_failure: Option<String>,
    /// The server whose finished sector was rejected last: it must not offer that one again.
    pub rejected: Option<InstanceId>,
    /// Random number of the last change, so that a writer recognises his own.
    pub(super) nonce: u64,
}

impl Message for JobRecord {
    const NAME: &'static str = "plot job record";
    const VERSION: u8 = 3;
    const MAX_SIZE: usize = MAX_METADATA + 16 * 1024;
}

impl JobRecord {
    /// The record of a job that nobody has taken yet.
    pub fn wanted(job: PlotJob) -> Self {
        Self {
            job,
            state: JobState::Wanted,
            since: unix_milliseconds(),
            attempts: 0,
            parkings: 0,
            last_failure: None,
            rejected: None,
            nonce: rand::random(),
        }
    }

    /// The same job in another state.
    pub(super) fn with_state(mut self, state: JobState) -> Self {
        if discriminant(&self.state) != discriminant(&state) {
            self.since = unix_milliseconds();
        }
        self.state = state;
        self.nonce = rand::random();
        self
    }

    /// After an attempt that came to nothing: wanted again, or parked when there were too many.
    pub(super) fn failed(mut self, reason: &str) -> Self {
        let reason = cut(reason, MAX_REASON);
        self.last_failure = Some(reason.clone());
        let state = if self.attempts >= MAX_ATTEMPTS {
            self.parkings = self.parkings.saturating_add(1);
            JobState::Parked { reason }
        } else {
            JobState::Wanted
        };
        self.with_state(state)
    }

    /// The plot-server that holds the job, if one does.
    pub const fn holder(&self) -> Option<InstanceId> {
        match &self.state {
            JobState::Taken { server, .. } => Some(*server),
            JobState::Ready(ready) => Some(ready.server),
            JobState::Wanted | JobState::Parked { .. } => None,
        }
    }
}

fn unix_milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    //! Keys, limits and the way to being parked.

    use super::*;
    use crate::codec::{decode, encode};
    use crate::ids::Role;
    use proptest::prelude::*;

    fn job() -> PlotJob {
        let segments = |count| HistorySize::from_segments(count).unwrap();
        PlotJob {
            id: JobId {
                public_key: [7; 32].into(),
                sector_index: 3,
                history_size: segments(9),
            },
            client: InstanceId::generate(Role::PlotClient),
            pieces_in_sector: 1000,
            protocol_info: FarmerProtocolInfo {
                history_size: segments(9),
                max_pieces_in_sector: 1000,
                recent_segments: segments(5),
                recent_history_fraction: (segments(1), segments(10)),
                min_sector_lifetime: segments(4),
            },
            created_at: 1,
        }
    }

    #[test]
    fn the_largest_record_fits() {
        let ready = ReadySector {
            server: InstanceId::generate(Role::PlotServer),
            addresses: vec!["a".repeat(255); MAX_ADDRESSES],
            session_key: Some(SessionKey::generate()),
            length: u64::MAX,
            checksum: [1; 32].into(),
            metadata: vec![2; MAX_METADATA],
        };
        let record = JobRecord {
            last_failure: Some("x".repeat(MAX_REASON)),
            ..JobRecord::wanted(job()).with_state(JobState::Ready(ready))
        };
        assert_eq!(decode::<JobRecord>(&encode(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn parked_after_the_limit() {
        let mut record = JobRecord::wanted(job());
        for attempt in 1..=MAX_ATTEMPTS {
            record.attempts += 1;
            record = record.failed(&"disk ".repeat(1000));
            assert_eq!(
                matches!(record.state, JobState::Parked { .. }),
                attempt == MAX_ATTEMPTS
            );
        }
        assert_eq!(record.last_failure.unwrap().len(), MAX_REASON);
        assert_eq!(record.parkings, 1);
    }

    #[test]
    fn the_time_is_that_of_the_last_change_of_state() {
        let taken = |renewals| JobState::Taken {
            server: InstanceId::generate(Role::PlotServer),
            lease: 1,
            renewals,
        };
        let mut record = JobRecord::wanted(job());
        record.since = 5;
        let mut record = record.with_state(taken(0));
        assert!(record.since > 5);
        record.since = 6;
        assert_eq!(record.with_state(taken(1)).since, 6, "a renewal changes nothing");
    }

    proptest! {
        #[test]
        fn keys_round_trip(public_key: [u8; 32], sector_index: u16, segments in 1u64..) {
            let history_size = HistorySize::from_segments(segments).unwrap();
            let id = JobId { public_key: public_key.into(), sector_index, history_size };
            prop_assert_eq!(id.key().parse(), Ok(id));
        }

        #[test]
        fn any_key_never_panics(key in ".{0,100}") {
            if let Some(id) = JobId::parse(&key) {
                prop_assert_eq!(id.key(), key);
            }
        }
    }
}
