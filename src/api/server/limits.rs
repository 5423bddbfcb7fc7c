//! Every limit of the server, each with its reason.

use std::time::Duration;

/// What clients may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, of both doors. A box has a handful of clients; each
    /// connection costs up to a few hundred KiB in its worst moment.
    pub connections: u32,
    /// Requests in work at once, watches aside.
    pub requests: u32,
    /// Watches at once. Each holds a pointer to the newest state, no queue.
    pub watches: u32,
    /// Bytes of a request's body: Kubernetes' own limit.
    pub body_bytes: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Until when a request's head must be there; also ends idle HTTP/1 connections.
    pub head_deadline: Duration,
    /// Until when a request's body must be there.
    pub body_deadline: Duration,
    /// How long a client may take no byte of an answer.
    pub write_stall: Duration,
    /// How long connections may go on after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1_536,
            requests: 128,
            watches: 1_024,
            body_bytes: 3_145_728,
            head_bytes: 64 * 1024,
            head_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}
