//! Limits of the WebSocket, all in one place. docs/websocket.md names those that clients notice.

use std::time::Duration;

use crate::connections::ConnectionLimits;

/// Maximum size of a client's message, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Size of the buffer into which a socket reads, in bytes. Allocated for each socket.
pub const READ_BUFFER: usize = 2 * 1024;
/// Bytes that wait for the next write of a socket before they are written at once.
pub const WRITE_BUFFER: usize = 8 * 1024;
/// Largest frame that the server sends, in bytes. Larger messages are fragmented, because a socket
/// keeps a buffer of the size of its largest frame.
pub const MAX_FRAME: usize = 8 * 1024;

/// Time between two heartbeats.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Silence after which a client is considered gone. Clients answer pings, so a live client is never
/// silent for this long.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for which a client may accept no bytes.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time that a socket takes to close.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of subscriptions of a socket.
pub const MAX_SUBSCRIPTIONS: usize = 200;
/// Messages that a client may send at once.
pub const MESSAGE_BURST: u32 = 250;
/// Messages a second that a client may send in the long run.
pub const MESSAGES_PER_SECOND: u32 = 10;

/// Maximum number of messages that wait for a socket.
pub const QUEUE_MESSAGES: usize = 1024;
/// Maximum size of the messages that wait for a socket, in bytes.
pub const QUEUE_BYTES: usize = 1024 * 1024;
/// Rollbacks and gaps that may wait for a socket.
pub const QUEUE_NOTICES: usize = 256;
/// Messages that a socket sends before it looks after the client again.
pub const BATCH_MESSAGES: usize = 128;

/// Maximum number of records that a resumption replays.
pub const MAX_REPLAY: i64 = 20_000;
/// Longest time that a replay may take.
pub const REPLAY_TIMEOUT: Duration = Duration::from_secs(60);
/// Number of replays that may run in the process at the same time.
pub const REPLAYS: usize = 8;
/// Number of snapshots that may be read in the process at the same time.
pub const SNAPSHOT_READS: usize = 4;
/// Longest time for which a snapshot is shared, although no record of its channel has come.
pub const SNAPSHOT_AGE: Duration = Duration::from_secs(10);
/// Size of the snapshots that are kept, in bytes.
pub const SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;
/// Time limit of a database access.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of records that are kept in memory, from which sockets resume without the database.
pub const RECENT_RECORDS: usize = 4096;
/// Size of the records that are kept in memory, in bytes.
pub const RECENT_BYTES: usize = 16 * 1024 * 1024;
/// Messages that a socket resumes from memory at once. More are replayed from the database.
pub const MAX_MISSED: usize = 256;
/// Channels without listeners whose latest record the hub remembers.
pub const REMEMBERED_CHANNELS: usize = 50_000;

/// How many sockets may be open in the process, and of one client. Loopback addresses count in total alone,
/// because a proxy on the same machine connects for all of its clients.
pub const SOCKETS: ConnectionLimits = ConnectionLimits {
    total: 10_000,
    per_address: 100,
};
