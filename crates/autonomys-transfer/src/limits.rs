//! Every bound of the data plane in one place, each with its reason.

use std::time::Duration;

/// Largest item in bytes. A piece has 1 048 672 bytes; 64 KiB above 1 MiB leaves room without inviting abuse.
pub const MAX_ITEM_LEN: usize = 1024 * 1024 + 64 * 1024;

/// Most keys in one `Get`: the pieces of one segment, the largest batch that means anything to a cache.
pub const MAX_KEYS_PER_GET: usize = 256;

/// Bytes of a sector in one `SectorChunk`: long enough that per-frame cost vanishes, short enough to interleave with items.
pub const SECTOR_CHUNK_LEN: usize = 1024 * 1024;

/// Bytes that our client asks for in one `GetSector`; the next part is asked for while one arrives, over the other connection. Twice
/// the window of a request, so that neither runs dry.
pub const SECTOR_PART_LEN: u64 = 16 * SECTOR_CHUNK_LEN as u64;

/// Longest text of an `Error` frame in bytes: one sentence.
pub const MAX_ERROR_TEXT: usize = 512;

/// Requests that may be open on one connection at once; announced in `Welcome`. Enough to hide latency, few enough that the
/// state of a connection stays small.
pub const MAX_REQUESTS_PER_CONNECTION: usize = 64;

/// Largest total credit of one request: what a reader may have outstanding. Beyond it the sender would buffer for nothing.
pub const MAX_REQUEST_WINDOW: usize = 64 * 1024 * 1024;

/// Items that a peer may be ahead of our client in one request. Eight pieces cover 10 Gbit/s at 6 ms round trip.
pub const REQUEST_WINDOW_ITEMS: usize = 8;

/// Most credit that our client gives one request.
pub const REQUEST_WINDOW: usize = REQUEST_WINDOW_ITEMS * MAX_ITEM_LEN;

/// Sum of the credits our client has out on one connection: with two connections, receive memory of 64 MiB for one peer.
pub const CONNECTION_WINDOW: usize = 32 * 1024 * 1024;

/// Bytes one connection of a server may hold between source and socket. A slow reader costs at most this.
pub const CONNECTION_SEND_CREDIT: usize = 16 * 1024 * 1024;

/// Bytes all connections of a server together may hold between source and socket.
pub const SERVER_SEND_BUDGET: usize = 512 * 1024 * 1024;

/// Bytes of `Put` payloads that all connections of a server together may hold until the sink has taken them.
pub const SERVER_PUT_BUDGET: usize = 256 * 1024 * 1024;

/// Authenticated connections of one server. Clusters have tens of members, each with two connections to each other.
pub const MAX_SERVER_CONNECTIONS: usize = 512;

/// Connections of one server that have not authenticated yet. Separate, so that strangers cannot crowd out members.
pub const MAX_PENDING_HANDSHAKES: usize = 64;

/// Peers of one client pool. Above it the connections to the longest unused idle one are closed.
pub const MAX_POOL_CONNECTIONS: usize = 256;

/// Payloads up to this length get memory of their own: the allocator is good at such sizes, and keeping them would hold much for
/// little.
pub const SMALL_PAYLOAD: usize = 32 * 1024;

/// Bytes of receive buffers that a pool, or a server, keeps for the next frames: as much as may be on its way from one peer.
pub const BUFFERS_KEPT_BYTES: usize = CONNECTIONS_PER_PEER * CONNECTION_WINDOW;

/// A kept receive buffer that was not used for this long is freed: a cluster at rest needs none.
pub const BUFFER_KEPT_FOR: Duration = Duration::from_secs(30);

/// Bytes read from a socket at once, and summed before the next are read: they are still in the processor's cache then.
pub const READ_STEP: usize = 256 * 1024;

/// Bytes of an item hashed at once as it arrives: a power of two that is long enough for all lanes of the processor, and short enough
/// to be in its cache still.
pub const HASH_STEP: usize = 64 * 1024;

/// Connections of one pool to one peer. One stream leaves a processor idle on either side while it waits for the other; two keep
/// them busy.
pub const CONNECTIONS_PER_PEER: usize = 2;

/// Payload bytes summed at once when a frame is sent: one run through memory is read ahead better than several.
pub const CHECKSUM_STEP: usize = 64 * 1024;

/// Frames waiting for the socket of one connection; their bytes are bounded by the credits, this bounds their number.
pub const OUTGOING_QUEUE: usize = 64;

/// Reports of damage waiting for the socket of one connection: the peer looks into one at a time anyway.
pub const MAX_REPORTS: usize = 64;

/// Bytes that one `Pool::fetch` may have asked for and not yet handed out, unless its caller says otherwise: about 60 pieces, which
/// keeps several peers busy.
pub const FETCH_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;

/// A peer's time without delivering anything that `Pool::fetch` waits for, unless its caller says otherwise: far past any healthy disk
/// and line, so that only a peer that hangs meets it.
pub const FETCH_ITEM_DEADLINE: Duration = Duration::from_secs(10);

/// Gets that one fetch has under way at one peer: the next stands ready when one ends, and both connections have work.
pub const FETCH_GETS_PER_PEER: usize = 4;

/// Keys of one Get of a fetch when so many wait: a store can sort a few reads, and the request's own cost vanishes.
pub const FETCH_KEYS_MIN: usize = 8;

/// An answer is never called late before this: pauses of schedulers and collectors are of this size.
pub const HEDGE_MIN: Duration = Duration::from_millis(20);

/// A first answer is late after this while a peer's percentiles are not known.
pub const HEDGE_FIRST_UNKNOWN: Duration = Duration::from_millis(500);

/// Each answer before it gives a later one this much longer while the peer's pace is not known: a piece at 50 MB/s.
pub const HEDGE_ITEM_UNKNOWN: Duration = Duration::from_millis(20);

/// Answers are looked through for late ones this often.
pub const HEDGE_TICK: Duration = Duration::from_millis(10);

/// A want that a spare has completed waits so long for the item that the spare stands in for: putting a piece together from its data
/// parts is a copy, while a part that is computed from parity takes more processor time than all other work on the piece.
pub const SPARE_GRACE: Duration = Duration::from_millis(50);

/// Late questions that others are asked for at once: this many, or half of what is under way if that is more, so that a slow network
/// is not given the double load.
pub const HEDGES_MIN: usize = 16;

/// First delay before a failed peer is tried again: a restart of a process takes about this long.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);

/// Longest delay before a failed peer is tried again: short enough that a returned member is used within seconds.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Latencies remembered per peer for its percentiles: recent enough to follow a change of load, enough for a p95.
pub const LATENCY_SAMPLES: usize = 256;

/// Fewest latencies from which percentiles are given at all; below it a percentile is noise.
pub const LATENCY_MIN_SAMPLES: usize = 16;

/// The waits of one connection. The defaults are for production; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accepted or requested connection to the end of the handshake. Generous for a loaded peer on a far line, short
    /// enough that strangers do not pile up.
    pub handshake: Duration,
    /// Between the first and the last byte of a frame, reading or writing. A 1 MiB frame in 20 s is 52 kB/s: slower peers are
    /// useless, and a peer that stopped reading must not hold buffers.
    pub progress: Duration,
    /// Without any frame from the other side. Three missed pings.
    pub idle: Duration,
    /// Between two pings of a client.
    pub ping: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            progress: Duration::from_secs(20),
            idle: Duration::from_secs(45),
            ping: Duration::from_secs(15),
        }
    }
}

/// [`MAX_ITEM_LEN`] as semaphore permits.
pub(crate) const ITEM_PERMITS: u32 = MAX_ITEM_LEN as u32;
