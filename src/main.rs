//! The `edgesvc` binary: parses arguments and dispatches.

fn main() {}
