//! Every bound the HTTP front has, with its reason. Nothing a client sends may wait or grow without one.

use std::time::Duration;

/// Bounds on connections, heads, bodies and shutdown. [`Limits::default`] is what is served; tests shorten it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at a time: each costs a descriptor and about 20 KiB. Above it probes alone are answered.
    pub connections: usize,
    /// Connections of one client (an address, or an IPv6 network of 64 bits). Above it its probes alone are answered,
    /// and others find room.
    pub connections_per_peer: usize,
    /// Connections beyond those, on which probes alone are answered. A new one takes the place of the oldest.
    pub spare_connections: usize,
    /// How long one of those may take for the head of a request, and rest.
    pub spare_wait: Duration,
    /// Bytes that bodies and answers hold at a time; a quarter of it for one key, or one address without a key.
    pub memory: usize,
    /// How long a request waits for memory that others hold.
    pub memory_wait: Duration,
    /// How long the TLS handshake may take.
    pub handshake: Duration,
    /// From the first byte of a head (or the accept) to its end. Slower ones are an attack or a dead peer.
    pub head: Duration,
    /// How long a connection may rest between requests. SDK pools drop theirs after about a minute.
    pub idle: Duration,
    /// How long an answer may stand still because its reader does not read.
    pub write_stall: Duration,
    /// Bytes of a head, request line included.
    pub head_bytes: usize,
    /// Header lines in a head.
    pub headers: usize,
    /// Bytes of a body that is held in memory, unless its route says otherwise. Job and application requests are
    /// a few KiB. Together they are bounded by `memory`.
    pub body_bytes: usize,
    /// How long a body held in memory may take, and the window in which a streamed one is measured.
    pub body: Duration,
    /// Bytes a second that a streamed body must bring on average in each window of waiting for it.
    pub body_rate: u64,
    /// How much of a refused body is read and thrown away, so that its sender gets to read the answer.
    pub drain_bytes: u64,
    /// How long a refused body is read and thrown away.
    pub drain: Duration,
    /// How long requests under way may take to end after the shutdown began.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_peer: 3072,
            spare_connections: 64,
            spare_wait: Duration::from_secs(1),
            memory: 256 << 20,
            memory_wait: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write_stall: Duration::from_secs(60),
            head_bytes: 32 << 10,
            headers: 64,
            body_bytes: 1 << 20,
            body: Duration::from_secs(30),
            body_rate: 1 << 10,
            drain_bytes: 16 << 20,
            drain: Duration::from_secs(5),
            shutdown: Duration::from_secs(25),
        }
    }
}

impl Limits {
    /// Allows connections no more than a quarter of the descriptors that the process may have open. The store takes
    /// up to half, and jobs need the rest.
    pub fn within(self, descriptors: u64) -> Self {
        let most = usize::try_from(descriptors / 4).unwrap_or(usize::MAX).max(1);
        let connections = self.connections.min(most);
        let spare_connections = self.spare_connections.min(connections.div_ceil(4));
        // In the same proportion as before.
        let of_peer =
            self.connections_per_peer as u128 * connections as u128 / self.connections.max(1) as u128;
        let connections_per_peer = usize::try_from(of_peer).unwrap_or(connections).max(1);
        Self { connections, connections_per_peer, spare_connections, ..self }
    }
}

/// The part of `memory` that one holder may have: one over this.
pub const HOLDER_PART: usize = 4;

/// Bytes of a body or an answer that are not counted: they are no more than what a connection costs anyway.
pub const FREE_BYTES: usize = 16 << 10;

/// Bytes that an answer may hold in front of a socket that takes no more, beyond the part it was given last.
pub const ANSWER_BUFFER: usize = 64 << 10;

/// Bytes of the items of a page. A page that would have more ends before, with a token for the rest.
pub const PAGE_BYTES: usize = 1 << 20;

/// Bytes of a job's failures that one request searches; its answer says where to go on.
pub const SEARCH_BYTES: u64 = 16 << 20;

/// Bytes of a part of a streamed answer, unless one item of it is larger.
pub const PART_BYTES: usize = 64 << 10;

/// Bytes that are taken from `memory` while a page or a part of a stream is read from the store.
pub const READ_BYTES: usize = 2 << 20;

/// How long a thread that reads ahead of a streamed answer waits to be asked for more, before it ends.
pub const AHEAD_WAIT: Duration = Duration::from_secs(1);

/// The same for a group of rows of a Parquet stream: a third are its columns, and the rest what encodes them and is made of
/// them.
pub const PARQUET_BYTES: usize = 24 << 20;

/// Bytes of the body of UpdateEndpointsBatch: 100 endpoints of 15 KiB as they are stored, each of which may take twice
/// that as JSON. Together they are bounded by `memory`.
pub const BATCH_BODY: usize = 3 << 20;

/// Requests that make jobs, each with a look at its data, that are worked on at a time.
pub const CREATES: usize = 32;

/// The same of one key, or one address without a key.
pub const CREATES_OF_KEY: usize = 8;

/// Requests of one key that make jobs and wait for their turn.
pub const CREATES_WAITING: usize = 256;

/// How long they wait.
pub const CREATE_WAIT: Duration = Duration::from_secs(20);

/// After which time those that found no turn may come again.
pub const CREATE_RETRY: Duration = Duration::from_secs(1);

/// Characters of a segment's name, as in the service.
pub const MAX_SEGMENT_NAME: usize = 64;

/// How long the count of a segment's members is kept before it is made again.
pub const FRESH_COUNT: Duration = Duration::from_secs(60);

/// Segments that wait to be counted. More are counted when somebody looks at them again.
pub const COUNTS_WAITING: usize = 1000;

/// Characters of a text among an application's settings.
pub const MAX_SETTING: usize = 2048;

/// Names and patterns of one RemoveAttributes: each is held against the names of every endpoint.
pub const MAX_PATTERNS: usize = 100;

/// Characters of one of them.
pub const MAX_PATTERN: usize = 256;

/// Characters of a phone number that is to be looked at.
pub const MAX_PHONE: usize = 64;

/// Events, or endpoints, of one PutEvents.
pub const MAX_EVENTS: usize = 100;

/// Characters of a `RoleArn`, as in AWS.
pub const MAX_ROLE_ARN: usize = 2048;

/// Characters of an `ExternalId`, as in AWS.
pub const MAX_EXTERNAL_ID: usize = 1224;

/// Characters of an `S3Url`: a key has 1,024 bytes, which may be percent-encoded.
pub const MAX_S3_URL: usize = 2048;

/// Characters of one word of a message or a line of the log; a request may bring any.
pub const MAX_SHOWN: usize = 256;

/// Characters of a whole message, and of each member of a line of the log.
pub const MAX_MESSAGE: usize = 2048;

/// Connections that the system holds until the server accepts them (Linux takes `net.core.somaxconn` if it is less).
/// When so many wait, the system drops the next one, whichever client it is.
pub const BACKLOG: u32 = 4096;

/// How long the accept loop rests after an error that is the machine's (out of descriptors or memory):
/// trying at once would only burn a CPU.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Query parameters read of one request. The service's operations have at most a handful, a presigned
/// request seven more.
pub const MAX_QUERY_PAIRS: usize = 64;

/// Bytes of a paging token. Ours are far shorter.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// The largest page.
pub const MAX_PAGE_SIZE: u32 = 1000;

/// The page when none is asked for.
pub const DEFAULT_PAGE_SIZE: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_store_and_the_jobs() {
        let connections = |descriptors| Limits::default().within(descriptors).connections;
        assert_eq!(connections(1 << 20), Limits::default().connections);
        assert_eq!(connections(1024), 256);
        assert_eq!(connections(0), 1);
        let small = Limits::default().within(1024);
        assert_eq!((small.connections_per_peer, small.spare_connections), (192, 64));
        assert_eq!(Limits::default().within(128).spare_connections, 8);
    }
}
