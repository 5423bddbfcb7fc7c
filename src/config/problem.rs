//! What is wrong with a configuration, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag, for instance `--listen`.
    Flag(&'static str),
    /// An environment variable, for instance `EDGESVC_LISTEN`.
    Variable(String),
    /// A key of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// The key as written.
        key: String,
    },
    /// Nobody said anything.
    Default(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) => write!(f, "--{name}"),
            Source::Variable(name) => f.write_str(name),
            Source::File { path, line, key } => write!(f, "{}:{line}: {key}", path.display()),
            Source::Default(name) => write!(f, "{name} (default)"),
        }
    }
}

/// One fault: where, what stands there, and what is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Flag, variable or file position.
    pub source: Source,
    /// The value as written, when there is one.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub fault: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}: {value:?}: {}", self.source, self.fault),
            None => write!(f, "{}: {}", self.source, self.fault),
        }
    }
}

/// Why there is no configuration. The caller prints it and exits with 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Values are wrong: every one of them, in the order of the settings.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
