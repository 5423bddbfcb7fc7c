//! `edgesvc doctor`: what on this box keeps Services from working, each thing
//! with its cause and what mends it.
//!
//! In: [`Facts`], gathered by a thin shell that needs no daemon and takes what it
//! may see. Out: [`Finding`]s, by pure functions. Nothing is changed.

mod facts;
mod gather;
mod kernel;
mod network;
mod state;
#[cfg(test)]
mod tests;

pub use facts::{Daemon, Disk, Facts, LinkFact, Validity};
pub use gather::{dns_sockets, first_resolver, gather};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Could not be looked at.
    Unknown,
    /// Works, or may not for some.
    Warning,
    /// Does not work.
    Failure,
}

impl Level {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Unknown => "unknown",
            Level::Warning => "warning",
            Level::Failure => "failure",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub cause: String,
    /// What mends it; empty where there is nothing to mend.
    pub mend: String,
}

fn ok(check: &'static str, cause: impl Into<String>) -> Finding {
    Finding { check, level: Level::Ok, cause: cause.into(), mend: String::new() }
}

fn unknown(check: &'static str, cause: impl Into<String>) -> Finding {
    Finding { check, level: Level::Unknown, cause: cause.into(), mend: "run `edgesvc doctor` as root".to_owned() }
}

fn warning(check: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check, level: Level::Warning, cause: cause.into(), mend: mend.into() }
}

fn failure(check: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check, level: Level::Failure, cause: cause.into(), mend: mend.into() }
}

/// Every check, in the order in which a box is set up.
const CHECKS: [fn(&Facts) -> Finding; 27] = [
    state::configuration,
    state::daemon,
    state::versions,
    state::privileges,
    state::data_dir,
    state::clock,
    state::certificates,
    kernel::features,
    kernel::owned_tables,
    kernel::sctp,
    kernel::other_proxies,
    kernel::legacy_iptables,
    kernel::conntrack_size,
    kernel::udp_timeouts,
    kernel::connection_events,
    network::forwarding,
    network::rp_filter,
    network::forward_policy,
    network::firewalls,
    network::hairpin,
    network::ports,
    network::ranges,
    network::mtu,
    network::dns_port,
    network::dns_for_the_lan,
    network::resolvers,
    network::names_on_the_box,
];

/// All findings.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    CHECKS.iter().map(|check| check(facts)).collect()
}
