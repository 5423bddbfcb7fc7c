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
    next: Instant,
}

impl Progress {
    /// Begins with nothing done.
    pub(super) fn new(total: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { total, shown: false, terminal, next: Instant::now() + PATIENCE }
    }

    /// Prints a line of the result above the progress.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.clear();
        output::line(text)
    }

    /// So much is done.
    pub(super) fn at(&mut self, done: usize) {
        if !self.terminal || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + PAUSE;
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
