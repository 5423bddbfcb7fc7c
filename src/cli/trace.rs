//! `edgesvc trace`: a question to the room that reads the kernel.

use std::net::SocketAddr;

use super::args::Trace;
use super::exit::Failure;
use super::{Daemon, output};
use crate::model::Protocol;

/// What is asked.
pub struct Question {
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client connects to.
    pub to: SocketAddr,
    /// An address or a link; the box itself where there is none.
    pub from: Option<String>,
    /// Print JSON.
    pub json: bool,
}

/// Asks and prints; fails when the connection does.
pub(super) fn trace(args: Trace, daemon: &Daemon) -> Result<(), Failure> {
    let json = args.json.json();
    let told = (daemon.trace)(Question { protocol: args.protocol, to: args.to, from: args.from, json })?;
    output::print(&told.text)?;
    if told.good { Ok(()) } else { Err(Failure::different()) }
}
