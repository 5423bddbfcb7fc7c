//! Services under a name on the LAN: multicast DNS and DNS-SD (RFC 6762, RFC 6763), for
//! those that ask for it by annotation.
//!
//! In: what is [advertised](crate::desired::Advertised) of each Service, the box's
//! addresses, and packets of neighbours. Out: packets, and notices about names that others
//! have.
//!
//! ```text
//! packet -> packet (what is said) -> responder (whose link, whose name)
//!        -> answer (of what is asked), defend (of what others say) -> presence (when it is said)
//! ```
//!
//! Always true: no socket is open while no Service asks for a name; nothing is answered of
//! a name before its probes are over; what a peer sends makes no list of ours longer than
//! its limit, and is answered to all at most once a second, to one only if it is a
//! neighbour; without anything pending no timer runs.

mod answer;
mod defend;
mod link;
mod packet;
mod presence;
mod record;
mod responder;
mod serve;
mod socket;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use imbl::OrdMap;

use prometheus_client::metrics::counter::Counter;

use crate::desired::Advertised;
use crate::model::{NodePortAddress, ObjectKey};
pub use serve::{Inputs, serve};

/// The port of multicast DNS.
const PORT: u16 = 5353;

/// What is wanted on the LAN, by Service.
pub type Wanted = OrdMap<ObjectKey, Arc<Advertised>>;

/// What is told once, at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The links to speak on; empty means those the default routes leave by, `None` no link.
    pub links: Option<Vec<String>>,
    /// Which local addresses answer on node ports; empty means all.
    pub nodeport_addresses: Vec<NodePortAddress>,
}

/// What a Service is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The Service.
    pub service: ObjectKey,
    /// The reason, as events have it.
    pub reason: &'static str,
    /// What happened.
    pub note: String,
}

/// What was heard and said. A clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Packets that came in, our own among them where the link brings them back.
    pub received: Counter,
    /// Those that are malformed, or no plain queries or answers.
    pub ignored: Counter,
    /// Packets that went out.
    pub sent: Counter,
    /// Names of ours that another had too.
    pub conflicts: Counter,
}
