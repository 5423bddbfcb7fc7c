//! DNS for Services (spec/dns.md): answers from the zone, forwards the rest.
//!
//! In: a [`Zone`], patched one [`Change`] at a time by its owner and published
//! through a tokio watch channel, and packets. Out: replies.
//!
//! ```text
//! packet -> request (what is asked, may it be answered) -> subject (what the name means)
//!        -> answer (from the zone, pure) -> encode -> packet
//!        -> forward (names of others: cache, flights) -> exchange with an upstream
//! ```
//!
//! Always true: answers about our names come from the newest zone, never from a
//! cache; nothing a client sends panics or stops a listener; a response is never
//! answered.

mod answer;
mod authority;
mod counters;
mod encode;
mod exchange;
mod forward;
mod listen;
mod probe;
mod record;
mod request;
mod respond;
mod reverse;
mod server;
mod subject;
mod tcp;
mod udp;
mod upstream;
mod zone;

#[cfg(test)]
mod tests;

pub use authority::{DOMAIN_LENGTH_MAX, OptionsError, PodMode, TTL_SECONDS_MAX};
pub use counters::{Count, Counters};
pub use listen::ListenError;
pub use probe::probe;
pub use server::{BindError, Options, Server};
pub use upstream::Upstreams;
pub use zone::{Change, Zone};
