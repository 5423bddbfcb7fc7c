//! How a command ends badly: what is printed and which code the shell gets
//! (design section 14).

use std::fmt;

/// Why a command failed, by what the caller of the shell does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The server refused the request, as kubectl's exit code 1.
    Refused = 1,
    /// `diff` could not compare, where 1 means that there are differences.
    NotCompared = 2,
    /// The command line is wrong.
    Usage = 64,
    /// A manifest cannot be read as one.
    Manifest = 65,
    /// Nobody answers at the socket or address.
    Unreachable = 69,
    /// A fault of edgesvc itself.
    Bug = 70,
    /// State cannot be created: the store, the certificates, a listener.
    CannotCreate = 73,
    /// Input or output failed.
    Io = 74,
    /// The process lacks a privilege.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
    /// The command of `exec` cannot be executed, as env(1) has it.
    CannotExecute = 126,
    /// There is no such command for `exec`, as env(1) has it.
    NoCommand = 127,
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What is printed on standard error; may have several lines.
    pub message: String,
}

impl Failure {
    /// A failure with its words.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    /// `message: cause: cause`.
    pub fn from_error(code: Code, message: &str, error: &dyn std::error::Error) -> Failure {
        let mut text = if message.is_empty() { error.to_string() } else { format!("{message}: {error}") };
        let mut source = error.source();
        while let Some(cause) = source {
            let words = cause.to_string();
            // Many libraries print their source themselves; saying it twice helps nobody.
            if !text.ends_with(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            source = cause.source();
        }
        Failure { code, message: text }
    }
}

impl Failure {
    /// `diff` found differences and has shown them.
    pub fn different() -> Failure {
        Failure { code: Code::Refused, message: String::new() }
    }

    /// Whoever read our output closed the pipe: nobody is left to be told.
    pub fn closed_pipe() -> Failure {
        Failure { code: Code::Io, message: String::new() }
    }

    /// The exit code for the shell.
    pub fn exit_code(&self) -> u8 {
        match self.code {
            Code::Io if self.message.is_empty() => 0,
            code => code as u8,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::from_error(Code::Io, "", &error)
    }
}
