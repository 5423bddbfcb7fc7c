//! What administrators gave away, on flash: a file of the data directory, read at
//! start, replaced as a whole at each change. Readers see the newest state without
//! waiting.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch as latest;

use super::super::status::ApiError;
use super::private_file;

/// What such a file says.
pub(super) trait Document: Default + Send + Sync {
    /// The file's name in the data directory.
    const NAME: &'static str;
    /// More than the most it may say takes.
    const BYTES_MAX: u64;

    /// Reads the file's text.
    fn parse(text: &[u8]) -> Result<Self, String>;
    /// The file's text.
    fn to_text(&self) -> Vec<u8>;
}

/// The file and what it says.
pub(super) struct Kept<T> {
    path: PathBuf,
    newest: latest::Sender<Arc<T>>,
    /// One change at a time. Taken on blocking threads only.
    changing: Mutex<()>,
    /// Why the file found at start cannot be used. It is kept for a person to mend
    /// and nothing is written over it; meanwhile it counts as empty.
    damage: Option<String>,
}

impl<T: Document> Kept<T> {
    /// Reads the file. A broken one is not fatal: it must never stand between the box
    /// and its traffic. Blocking.
    pub(super) fn open(data_dir: &Path) -> Kept<T> {
        let path = data_dir.join(T::NAME);
        let read = match private_file::read(&path, T::BYTES_MAX) {
            Ok(Some(text)) => T::parse(&text),
            Ok(None) if path.exists() => Err(format!("larger than {} bytes", T::BYTES_MAX)),
            Ok(None) => Ok(T::default()),
            Err(error) => Err(error.to_string()),
        };
        let (found, damage) = match read {
            Ok(found) => (found, None),
            Err(why) => {
                tracing::error!(path = %path.display(), why, "this file counts as empty until it is mended or removed");
                (T::default(), Some(format!("{}: {why}", path.display())))
            }
        };
        Kept { path, newest: latest::Sender::new(Arc::new(found)), changing: Mutex::new(()), damage }
    }

    /// What it says now.
    pub(super) fn newest(&self) -> Arc<T> {
        Arc::clone(&self.newest.borrow())
    }

    /// Tells of changes.
    pub(super) fn subscribe(&self) -> latest::Receiver<Arc<T>> {
        self.newest.subscribe()
    }

    /// Makes a change durable, then known. The outer error is the disk's. Blocking.
    pub(super) fn change<E>(&self, change: impl FnOnce(&T) -> Result<T, E>) -> Result<Result<(), E>, String> {
        if let Some(damage) = &self.damage {
            return Err(format!("mend or remove this file and start again: {damage}"));
        }
        // A poisoned lock guards nothing that could be half done: the file is replaced whole.
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match change(&self.newest()) {
            Ok(changed) => changed,
            Err(error) => return Ok(Err(error)),
        };
        private_file::write(&self.path, &changed.to_text())
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.newest.send_replace(Arc::new(changed));
        Ok(Ok(()))
    }
}

/// Makes a change off the runtime's threads: flash may take its time.
pub(super) async fn change<T: Document + 'static, E: Send + 'static>(
    file: &Arc<Kept<T>>,
    change: impl FnOnce(&T) -> Result<T, E> + Send + 'static,
) -> Result<Result<(), E>, ApiError> {
    let file = Arc::clone(file);
    let done = tokio::task::spawn_blocking(move || file.change(change)).await.map_err(ApiError::internal)?;
    done.map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::Tokens;
    use super::*;

    #[test]
    fn a_broken_file_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(Tokens::NAME), "{ half").unwrap();
        let file = Kept::<Tokens>::open(dir.path());
        let refused = file.change(|tokens| Ok::<_, ()>(tokens.clone())).unwrap_err();
        assert!(refused.contains(Tokens::NAME), "{refused}");
        assert_eq!(std::fs::read(dir.path().join(Tokens::NAME)).unwrap(), b"{ half");
    }

    #[test]
    fn nothing_is_known_that_is_not_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let file = Kept::<Tokens>::open(&dir.path().join("gone"));
        file.change(|tokens| Ok::<_, ()>(tokens.clone())).unwrap_err();
        assert_eq!(*file.newest(), Tokens::default());
    }
}
