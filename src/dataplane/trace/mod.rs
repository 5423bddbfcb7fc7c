//! `edgesvc trace`: follows a connection's first packet through the kernel's real
//! tables, ours and foreign ones, and its answer back.
//!
//! In: a question, and what the kernel says: every rule, set and map, links,
//! addresses, answers of the routing table. Out: what happens, step by step, for
//! every endpoint the packet may be sent to. The core is pure; [`read`] is the shell.

mod evaluate;
mod follow;
mod packet;
mod read;
mod registers;
mod tell;
#[cfg(test)]
mod tests;
mod xt;

use std::net::{IpAddr, SocketAddr};

use super::DataplaneError;
use crate::model::Protocol;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client connects to.
    pub to: SocketAddr,
    /// Where the client is.
    pub from: Origin,
}

/// Where a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A program on the box.
    Host,
    /// A host or container of this address.
    Address(IpAddr),
    /// Somebody behind this link.
    Link(String),
}

/// What happens to the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Where the client is, in words.
    pub from: String,
    /// What happens before an endpoint is chosen.
    pub steps: Vec<String>,
    /// The endpoints the packet may be sent to.
    pub endpoints: Vec<Leg>,
    /// Connections of this client that conntrack keeps where they are.
    pub flows: Vec<String>,
    /// What could not be seen.
    pub unseen: Vec<String>,
    /// Why nobody is reached; `None` where all or some endpoints are.
    pub refused: Option<String>,
}

/// The way to one endpoint and back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// The endpoint.
    pub endpoint: String,
    /// In how many of the equally likely cases it is chosen, of `of`.
    pub chosen: u32,
    /// See `chosen`.
    pub of: u32,
    /// What happens.
    pub steps: Vec<String>,
    /// Why the connection fails.
    pub blocked: Option<String>,
}

impl Trace {
    /// Whether every connection is served.
    pub fn reaches(&self) -> bool {
        self.refused.is_none() && self.endpoints.iter().all(|leg| leg.blocked.is_none())
    }
}

/// Follows the connection by what the kernel holds now. Needs no daemon, but CAP_NET_ADMIN.
///
/// # Errors
/// The kernel's tables cannot be read, or the link or address of the client means nothing here.
pub fn trace(question: &Question) -> Result<Trace, TraceError> {
    let facts = read::facts(question)?;
    let router = read::Router::open().map_err(DataplaneError::Socket)?;
    follow::follow(question, &facts, &|ask| router.route(&ask)).map_err(TraceError::Question)
}

/// Why nothing can be followed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] DataplaneError),
    /// The question.
    #[error("{0}")]
    Question(String),
}
