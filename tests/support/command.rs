//! Running programs to their end and judging what they said.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Output {
    /// The command line, for messages.
    pub(crate) line: String,
    /// The exit code; 128 and the signal's number when it was killed.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Runs `command` with `input` on its standard input.
    pub(crate) fn of(mut command: Command, input: &str) -> Output {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        // What stands before the last `--` is how we enter the namespace.
        let own = words.iter().rposition(|word| word == "--").map_or(0, |at| at + 1);
        let line = words[own..].join(" ");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_owned();
        // Written beside the reading below, so that neither side can block the other.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("a child can be waited for");
        // A program may end without reading its input.
        drop(writer.join());
        Output {
            line,
            code: output.status.code().unwrap_or(128),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a program that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "`{}` failed\n{}{}", self.line, self.stdout, self.stderr);
        self.stdout
    }

    /// The standard error of a program that must end with `code`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "`{}` ended otherwise\n{}{}", self.line, self.stdout, self.stderr);
        self.stderr
    }

    /// As [`Output::ok`], for loops that wait.
    pub(crate) fn result(self) -> Result<String, String> {
        match self.code {
            0 => Ok(self.stdout),
            code => Err(format!("`{}` ended with {code}: {}{}", self.line, self.stdout, self.stderr)),
        }
    }
}
