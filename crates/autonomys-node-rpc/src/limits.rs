//! Sizes, counts and time-outs of the protocol and of our client, each with its reason.

use std::time::Duration;

/// Largest request a node takes, in bytes.
pub const MAX_REQUEST_SIZE: u32 = 15 * 1024 * 1024;
/// Largest response a node sends, in bytes; a client allows the same.
pub const MAX_RESPONSE_SIZE: u32 = 15 * 1024 * 1024;
/// Connections a node takes.
pub const MAX_CONNECTIONS: u32 = 100;
/// Subscriptions a node takes on one connection.
pub const MAX_SUBSCRIPTIONS_PER_CONNECTION: u32 = 1024;
/// Outgoing messages a node buffers for one connection.
pub const MESSAGE_BUFFER_CAPACITY: u32 = 64;
/// Most segment headers asked for in one call, by index or by limit.
pub const MAX_SEGMENT_HEADERS_PER_REQUEST: usize = 1000;
/// Most object hashes of one filtered subscription.
pub const MAX_OBJECT_HASHES_PER_SUBSCRIPTION: usize = 1000;
/// How long a node waits for a reward signature.
pub const REWARD_SIGNING_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a node waits for acknowledgements of a segment.
pub const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// First pause before reconnecting.
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Longest pause before reconnecting: a slot, which is what it may cost to notice that a node is back.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A connection that lived this long was healthy: the next pause starts at the minimum again.
pub const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(10);
/// Time for TCP, TLS and the WebSocket handshake together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for small requests (app info, acknowledgements, header lookups).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for submitting a solution: after the farming timeout nothing is gained any more.
pub const SOLUTION_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for submitting a reward signature; the node itself waits only half a second.
pub const SIGNATURE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for 1000 segment headers.
pub const SEGMENT_HEADERS_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for one piece; nodes answer pieces slowly when many queue.
pub const PIECE_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for one block or one batch of blocks.
pub const BLOCK_TIMEOUT: Duration = Duration::from_secs(120);
/// No slot for this long while the node is not syncing means that the subscription is dead.
pub const SILENT_SLOTS_AFTER: Duration = Duration::from_secs(15);
/// All nodes of a client are looked at this often.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A node that does not say who it is within this time counts as unreachable; one that is importing a block still does.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// After this many looks in a row at which it was unwell a node gives way to one that is well: not because of one slow answer.
pub const UNWELL_LOOKS: u32 = 2;
/// A dead TCP connection is noticed by missing answers to pings sent this often.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Without any traffic for this long after a ping the connection counts as dead.
pub const PING_INACTIVE_LIMIT: Duration = Duration::from_secs(30);
/// Piece requests in flight on the bulk socket; each answer is 2 MiB of text.
pub const MAX_PIECE_REQUESTS_IN_FLIGHT: usize = 10;
/// Requests queued towards one socket.
pub const MAX_CONCURRENT_REQUESTS: usize = 256;
/// Items buffered for one subscription before the client library drops it.
pub const SUBSCRIPTION_BUFFER: usize = 1024;
/// Slots and signing requests buffered for each consumer; older ones are dropped, they are worthless by then.
pub const BROADCAST_BUFFER: usize = 64;
/// Archived segment headers buffered for one consumer.
pub const HEADER_BUFFER: usize = 16;
/// Slots remembered as announced on the current connection; a node itself remembers four.
pub const REMEMBERED_SLOTS: usize = 64;
/// Farmer app info is asked from the node at most this often when a cached copy is good enough.
pub const FARMER_APP_INFO_MAX_AGE: Duration = Duration::from_secs(1);
/// Blocks of the first batch request of an exporter.
pub const INITIAL_BLOCK_BATCH: usize = 32;
/// Blocks of one batch request at most: an empty block is 3 KB of text, so that a thousand come close to the size aimed at.
pub const MAX_BLOCK_BATCH: usize = 1000;
/// Blocks asked for one by one on a WebSocket at the same time; a node buffers 64 messages for a connection.
pub const MAX_BLOCKS_IN_FLIGHT: usize = 32;
/// Bytes of text that a reply with several blocks should have.
pub const BLOCK_BATCH_REPLY_SIZE: usize = 4 * 1024 * 1024;
/// Block hashes asked for in one call.
pub const MAX_BLOCK_HASHES_PER_REQUEST: usize = 1000;
