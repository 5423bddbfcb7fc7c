//! DNS for Services (spec/dns.md): answers from the zone, forwards the rest.
//!
//! In: a [`Zone`], patched one [`Change`] at a time by its owner and published
//! through a tokio watch channel, and packets. Out: replies.
//!
//! ```text
//! packet -> request (what is asked) -> guard (may it be answered) -> subject (what the name means)
//!        -> answer (from the zone, pure) -> encode -> packet
//!        -> local (hosts file) or forward (cache, flights, health) -> exchange with an upstream
//! ```
//!
//! Always true: answers about our names come from the newest zone, never from a
//! cache; nothing a client sends panics or stops a listener; a response is never
//! answered.

mod answer;
mod authority;
mod cache;
mod connections;
mod cookie;
mod counters;
mod encode;
mod exchange;
mod forward;
mod guard;
mod hosts;
mod kept;
mod lan;
mod listen;
mod local;
mod pipeline;
mod probe;
mod reader;
mod record;
mod remote;
mod request;
mod resolvers;
mod respond;
mod reverse;
mod search;
mod server;
mod stored;
mod subject;
mod tcp;
mod tls;
mod udp;
mod upstream;
mod zone;

#[cfg(test)]
mod tests;

pub use authority::{DOMAIN_LENGTH_MAX, OptionsError, PodMode, TTL_SECONDS_MAX};
pub use counters::{Count, LATENCY_BOUNDS, Latency, Totals};
pub use kept::{MARK, MARK_LIVE, kept_path, mark};
pub use listen::ListenError;
pub use probe::{lookup, probe};
pub use remote::{RemoteHealth, Upstream};
pub use respond::Newest;
pub use reverse::zone_of;
pub use server::{BindError, Gate, Numbers, Options, Server};
pub use tls::TlsError;
pub use upstream::{Forwarding, Upstreams, in_use};
pub use zone::{Change, Zone};
