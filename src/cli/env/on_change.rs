//! The command that is run after each change: one at a time, and once more when
//! there were changes while it ran.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use super::super::output;

/// How long a command that is told to end may take.
const END_SECONDS_MAX: u64 = 5;

/// What to run, and what runs.
pub(super) struct OnChange {
    line: Option<String>,
    running: Option<Child>,
    /// A change came while the command ran.
    again: bool,
    ended: Signals,
}

impl OnChange {
    pub(super) fn new(line: Option<String>) -> std::io::Result<OnChange> {
        Ok(OnChange { line, running: None, again: false, ended: signal(SignalKind::child())? })
    }

    /// A change: runs the command now, or when the one that runs has ended.
    pub(super) fn changed(&mut self) {
        let Some(line) = &self.line else { return };
        if self.running.is_some() {
            self.again = true;
            return;
        }
        let mut command = Command::new("/bin/sh");
        // A group of its own, so that all it started can be told to end.
        command.arg("-c").arg(line).stdin(Stdio::null()).process_group(0);
        match command.spawn() {
            Ok(child) => self.running = Some(child),
            Err(error) => output::note(&format!("edgesvc env: /bin/sh cannot be started for --on-change: {error}")),
        }
    }

    /// Returns when some child may have ended; then [`OnChange::look`].
    pub(super) async fn child_signal(&mut self) {
        self.ended.recv().await;
    }

    /// Notes the end of the command and runs it again when there were changes.
    pub(super) fn look(&mut self) {
        let Some(child) = &mut self.running else { return };
        match child.try_wait() {
            Ok(None) => return,
            Ok(Some(status)) => tell(status),
            Err(error) => output::note(&format!("edgesvc env: the --on-change command: {error}")),
        }
        self.running = None;
        if std::mem::take(&mut self.again) {
            self.changed();
        }
    }

    /// Tells a running command to end, and ends it when it does not.
    pub(super) async fn stop(mut self) {
        self.line = None;
        let deadline = Instant::now() + Duration::from_secs(END_SECONDS_MAX);
        self.send(Signal::SIGTERM);
        while self.running.is_some() {
            if timeout_at(deadline, self.child_signal()).await.is_err() {
                output::note("edgesvc env: the --on-change command did not end in time and was killed");
                self.send(Signal::SIGKILL);
                return;
            }
            let child = self.running.as_mut();
            if child.is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                self.running = None;
            }
        }
    }

    /// The child is not waited for yet, so the group's number is still its own.
    fn send(&self, what: Signal) {
        let group = self.running.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        if let Some(group) = group {
            // Nobody of the group is left: that is what was wanted.
            killpg(Pid::from_raw(group), what).unwrap_or_default();
        }
    }
}

fn tell(status: ExitStatus) {
    if !status.success() {
        output::note(&format!("edgesvc env: the --on-change command failed: {status}"));
    }
}
