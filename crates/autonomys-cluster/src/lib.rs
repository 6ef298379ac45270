//! Members, subjects and messages, JetStream objects and the plot-job queue of a farming cluster.
//!
//! Everything that processes of a cluster tell each other over NATS is here, as types:
//!
//! | who | tells or asks | pattern | where |
//! |---|---|---|---|
//! | everybody | "I am here, this is what I can do" every 2 s | broadcast | [`members`] |
//! | controllers | slots, reward hashes to sign, new segment headers | broadcast | [`messages`] |
//! | plot-client | a solution, a reward signature, to one named controller | request to an instance | [`messages`] |
//! | anybody | the chain's parameters, from any controller | request to a queue group | [`messages`] |
//! | plot-client | a proof, from any proof-server | request to a queue group | [`messages`] |
//!
//! What has to survive the death of any process lies in JetStream, under the cluster's name: plot jobs ([`plot_jobs`]),
//! segment headers ([`segment_headers`]), settings ([`settings`]), the leader's lease ([`leader`]), the shard map
//! ([`shard_map`]) and the journal of sent solutions ([`journal`]). All of them are buckets ([`store`]) changed by
//! compare-and-set.
//!
//! A process starts with [`Cluster::connect`], which checks the server and says in one sentence what is wrong with it.
//! From then on NATS may go and come back: the connection, subscriptions and watches are restored for ever.
//!
//! Wire forms and subjects are described in `docs/cluster-protocol.md`.

mod cluster;
mod codec;
mod connection;
pub mod identity;
mod ids;
pub mod journal;
pub mod leader;
pub mod members;
pub mod messages;
mod messaging;
pub mod plot_jobs;
pub mod segment_headers;
pub mod settings;
pub mod shard_map;
pub mod store;
mod subjects;
#[cfg(feature = "test-util")]
pub mod test_util;

pub use cluster::Cluster;
pub use codec::{CodecError, Message, decode, encode};
pub use connection::{ConnectError, ConnectionState, MIN_MAX_PAYLOAD, NatsOptions, OLDEST_SERVER};
pub use ids::{ClusterName, ControllerId, IdError, InstanceId, Role, SessionKey};
pub use messaging::{Refusal, RequestError, ServeLimits, Service, Subscription, TransportError};
pub use subjects::Subjects;
