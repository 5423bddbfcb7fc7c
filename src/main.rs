//! The `edgesvc` binary: hands the daemon to the command line and exits as it says.

use std::process::ExitCode;

use edgesvc::{cli, run};

fn main() -> ExitCode {
    cli::main(&cli::Daemon {
        run: run::run,
        dataplane: run::dataplane,
        doctor: run::doctor,
        trace: run::trace,
        host_dns: run::host_dns,
    })
}
