//! Every limit of the server, each with its reason.

use std::time::Duration;

/// What clients may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TLS connections at once. A box has a handful of clients; each connection
    /// costs up to a few hundred KiB in its worst moment.
    pub connections: u32,
    /// TLS connections of one address: four of them can have all.
    pub connections_each: u32,
    /// Connections of the Unix socket at once, apart from the others, so that no
    /// flood from the network locks out the person at the box.
    pub local_connections: u32,
    /// Requests in work at once, until the last byte of their answer is out; watches
    /// aside, and health and version, which must answer under any load.
    pub requests: u32,
    /// Requests in work of one user.
    pub requests_each: u32,
    /// Watches at once. Each holds a pointer to the newest state, no queue.
    pub watches: u32,
    /// Watches of one user: a thousand watchers of one kind are an ordinary day for
    /// the controllers of a box, which mostly share one user.
    pub watches_each: u32,
    /// Bytes of all bodies in work: what requests may make us hold, whatever their
    /// number.
    pub bodies_bytes: usize,
    /// Bytes of one user's bodies: five of the largest.
    pub bodies_bytes_each: usize,
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
    /// How long a connection may ask nothing: less than the two minutes after which
    /// Kubernetes' clients let go of one, so that they do not meet a closed one.
    pub idle: Duration,
    /// How long connections may go on after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1_024,
            connections_each: 256,
            local_connections: 1_536,
            requests: 256,
            requests_each: 64,
            watches: 2_048,
            watches_each: 1_024,
            bodies_bytes: 48 * 1024 * 1024,
            bodies_bytes_each: 16 * 1024 * 1024,
            body_bytes: 3_145_728,
            head_bytes: 64 * 1024,
            head_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            idle: Duration::from_secs(90),
            drain: Duration::from_secs(5),
        }
    }
}
