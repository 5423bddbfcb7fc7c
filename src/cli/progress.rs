//! One line that says how far a long command is: on a terminal only, and only
//! when it takes long.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use super::exit::Failure;
use super::output;

/// Whoever waits shorter needs no comfort.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two looks of the line.
const PAUSE: Duration = Duration::from_millis(100);
/// To the line's start, and everything on it away.
const CLEAR: &str = "\r\x1b[K";

/// How far a command is.
pub(super) struct Progress {
    total: usize,
    shown: bool,
    terminal: bool,
    /// Results go to the terminal too, above the line.
    results_above: bool,
    patience_ends: Instant,
    next: Instant,
}

impl Progress {
    /// Begins with nothing done.
    pub(super) fn new(total: usize) -> Progress {
        // A terminal that calls itself dumb cannot clear a line.
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let results_above = std::io::stdout().is_terminal();
        let patience_ends = Instant::now() + PATIENCE;
        Progress { total, shown: false, terminal, results_above, patience_ends, next: patience_ends }
    }

    /// Prints a line of the result above the progress. Results that go elsewhere
    /// leave it standing: cleared by each of them it would never be seen.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        if self.results_above {
            self.clear();
        }
        output::line(text)
    }

    /// So much is done.
    pub(super) fn at(&mut self, done: usize) {
        let now = Instant::now();
        let due = now >= self.next || !self.shown;
        if !self.terminal || now < self.patience_ends || !due {
            return;
        }
        self.next = now + PAUSE;
        self.shown = true;
        draw(&format!("{CLEAR}applied {done} of {}", self.total));
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            draw(CLEAR);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A terminal that is gone cannot be told anything.
fn draw(text: &str) {
    let mut terminal = std::io::stderr().lock();
    drop(terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()));
}
