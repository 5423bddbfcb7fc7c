//! Netlink without opinions: attributes, sockets, dumps, transactions.

pub(super) mod attrs;
pub(super) mod batch;
mod socket;

pub(super) use attrs::Attrs;
pub(super) use socket::{Link, Message};
