//! `edgesvc env --watch`: a file kept equal to the variables of a namespace.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::channel;
use tokio::time::{Instant, sleep_until};

use super::super::exit::{Code, Failure};
use super::super::output;
use super::args::Env;
use super::file;
use super::follow::follow;
use super::on_change::OnChange;
use super::services::{self, Collection, Services};
use super::variables;
use crate::env::{self, Wanted};

/// Changes within this time are written as one.
const GATHER: Duration = Duration::from_millis(100);
/// A write that failed, for instance for want of room, is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

/// Writes the file, and again with every change, until SIGTERM or SIGINT. What is
/// wrong at the start ends the command; what goes wrong later is told.
pub(super) async fn watch(args: &Env, wanted: &Wanted<'_>, path: &Path) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut on_change = OnChange::new(args.on_change.clone())?;
    let mut keeper = Keeper { args, wanted, path, told: Vec::new() };
    let first = services::seen_from(&args.server, wanted.namespace).await?;
    if keeper.write(&first)? {
        on_change.changed();
    }
    keeper.tell(keeper.unmet(&first));
    // What is known so far is no change when the first lists say the same.
    let (sender, mut state) = channel(first);
    for collection in Collection::seen_from(wanted.namespace) {
        tokio::spawn(follow(args.server.clone(), collection, sender.clone()));
    }
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = on_change.child_signal() => on_change.look(),
            // The tasks that send never end, so this is a change.
            _ = state.changed() => {
                let soon = Instant::now() + GATHER;
                due = Some(due.map_or(soon, |due| due.min(soon)));
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = keeper.write_or_tell(&state.borrow_and_update(), &mut on_change);
            }
        }
    }
    on_change.stop().await;
    Ok(())
}

/// Makes the file equal to Services.
struct Keeper<'a> {
    args: &'a Env,
    wanted: &'a Wanted<'a>,
    path: &'a Path,
    /// What was told last, so that it is told once.
    told: Vec<String>,
}

impl Keeper<'_> {
    /// Whether the file had to be written.
    fn write(&self, services: &Services) -> Result<bool, Failure> {
        let text = self.args.format.text(&variables(services, self.wanted)?)?;
        file::write_if_changed(self.path, &text)
            .map_err(|error| Failure::from_error(Code::Io, &self.path.display().to_string(), &error))
    }

    /// Answers when to try again, if at all.
    fn write_or_tell(&mut self, services: &Services, on_change: &mut OnChange) -> Option<Instant> {
        let mut lines = self.unmet(services);
        let mut again = None;
        match self.write(services) {
            Ok(true) => on_change.changed(),
            Ok(false) => {}
            Err(failure) => {
                again = (failure.code == Code::Io).then(|| Instant::now() + RETRY);
                lines.push(failure.message);
            }
        }
        self.tell(lines);
        again
    }

    /// A Service asked for that is not there yet, or no more, is no reason to end.
    fn unmet(&self, services: &Services) -> Vec<String> {
        env::unmet(services, self.wanted).iter().map(ToString::to_string).collect()
    }

    fn tell(&mut self, lines: Vec<String>) {
        if lines != self.told {
            lines.iter().for_each(|line| output::note(&format!("edgesvc env: {line}")));
            self.told = lines;
        }
    }
}
