//! The tokens on flash: one file of the data directory, read at start, replaced as
//! a whole at each change. Readers see the newest state without waiting.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch as latest;

use super::super::private_file;
use super::Tokens;

/// The file's name in the data directory.
const NAME: &str = "tokens.json";
/// More than [`super::TOKENS_MAX`] tokens take.
const BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The file and what it says.
pub(in super::super) struct TokenFile {
    path: PathBuf,
    newest: latest::Sender<Arc<Tokens>>,
    /// One change at a time. Taken on blocking threads only.
    changing: Mutex<()>,
    /// Why the file found at start cannot be used. It is kept for a person to mend
    /// and nothing is written over it; meanwhile every token is unknown.
    damage: Option<String>,
}

impl TokenFile {
    /// Reads the file. A broken one is not fatal: a token must never stand between
    /// the box and its traffic. Blocking.
    pub(in super::super) fn open(data_dir: &std::path::Path) -> TokenFile {
        let path = data_dir.join(NAME);
        let read = match private_file::read(&path, BYTES_MAX) {
            Ok(Some(text)) => Tokens::parse(&text),
            Ok(None) if path.exists() => Err(format!("larger than {BYTES_MAX} bytes")),
            Ok(None) => Ok(Tokens::default()),
            Err(error) => Err(error.to_string()),
        };
        let (tokens, damage) = match read {
            Ok(tokens) => (tokens, None),
            Err(why) => {
                tracing::error!(path = %path.display(), why, "no token is known until this file is mended or removed");
                (Tokens::default(), Some(format!("{}: {why}", path.display())))
            }
        };
        TokenFile { path, newest: latest::Sender::new(Arc::new(tokens)), changing: Mutex::new(()), damage }
    }

    /// The tokens as they are now.
    pub(in super::super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.newest.borrow())
    }

    /// Tells of changes.
    pub(in super::super) fn subscribe(&self) -> latest::Receiver<Arc<Tokens>> {
        self.newest.subscribe()
    }

    /// Makes a change durable, then known. The outer error is the disk's. Blocking.
    pub(super) fn change<E>(&self, change: impl FnOnce(&Tokens) -> Result<Tokens, E>) -> Result<Result<(), E>, String> {
        if let Some(damage) = &self.damage {
            return Err(format!("mend or remove the file of tokens and start again: {damage}"));
        }
        // A poisoned lock guards nothing that could be half done: the file is replaced whole.
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match change(&self.tokens()) {
            Ok(changed) => changed,
            Err(error) => return Ok(Err(error)),
        };
        private_file::write(&self.path, &changed.to_text())
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.newest.send_replace(Arc::new(changed));
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "{ half").unwrap();
        let file = TokenFile::open(dir.path());
        let refused = file.change(|tokens| Ok::<_, ()>(tokens.clone())).unwrap_err();
        assert!(refused.contains(NAME), "{refused}");
        assert_eq!(std::fs::read(dir.path().join(NAME)).unwrap(), b"{ half");
    }

    #[test]
    fn nothing_is_known_that_is_not_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::open(&dir.path().join("gone"));
        file.change(|tokens| Ok::<_, ()>(tokens.clone())).unwrap_err();
        assert_eq!(*file.tokens(), Tokens::default());
    }
}
