//! `edgesvc exec`: this process becomes the command, with the variables added.

use std::io::{Error, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::super::block_on;
use super::super::exit::{Code, Failure};
use super::args::Exec;
use super::variables_once;
use crate::env::{Wanted, merge};

/// Does not return when the command could be started.
pub(in crate::cli) fn exec(args: &Exec) -> Result<(), Failure> {
    let Some((program, words)) = args.command.split_first() else {
        return Err(Failure::new(Code::Usage, "error: say which command, behind --"));
    };
    let wanted = Wanted { namespace: &args.namespace(), links: args.links.enable_service_links, names: &[] };
    let variables = block_on(variables_once(&args.server, &wanted))?;
    let inherited = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let set = merge(&args.env, inherited, &variables);
    let count = set.len();
    let error = Command::new(program).args(words).envs(set).exec();
    Err(failure(&program.to_string_lossy(), &error, count))
}

/// The codes of env(1) and the shells.
fn failure(program: &str, error: &Error, variables: usize) -> Failure {
    let code = if error.kind() == ErrorKind::NotFound { Code::NoCommand } else { Code::CannotExecute };
    let mend = match error.kind() {
        ErrorKind::ArgumentListTooLong => {
            format!(" (with {variables} variables added; --enable-service-links=false adds the fewest)")
        }
        _ => String::new(),
    };
    Failure::new(code, format!("error: {program}: {error}{mend}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_command_is_127_and_any_other_fault_126() {
        let code = |number| failure("x", &Error::from_raw_os_error(number), 3).code as u8;
        assert_eq!(code(nix::libc::ENOENT), 127);
        for number in [nix::libc::EACCES, nix::libc::ENOEXEC, nix::libc::E2BIG, nix::libc::ENOTDIR] {
            assert_eq!(code(number), 126);
        }
        let said = failure("x", &Error::from_raw_os_error(nix::libc::E2BIG), 3).message;
        assert!(said.contains("3 variables"), "{said}");
    }
}
