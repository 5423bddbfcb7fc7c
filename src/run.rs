//! `edgesvc run`: opens, wires, starts and stops the rooms in order.

use crate::cli::DataplaneVerb;
use crate::cli::exit::Failure;
use crate::config::Config;

/// Runs until told to stop.
pub fn run(_config: Config) -> Result<(), Failure> {
    Ok(())
}

/// Looks at the kernel without a daemon.
pub fn dataplane(_verb: DataplaneVerb) -> Result<String, Failure> {
    Ok(String::new())
}
