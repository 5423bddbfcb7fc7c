//! Why the store does not open, and whether it takes writes.

/// Whether writes reach flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Writable,
    /// They do not; the writer re-opens the database at the next write.
    Unavailable(String),
}

/// Why the store did not open; each says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store is in use by another process; stop the other edgesvc first")]
    Locked,
    /// A newer edgesvc wrote it.
    #[error(
        "the store has format {found}, this edgesvc reads up to {known}; start the newer edgesvc, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The format of the file.
        found: u64,
        /// The newest format this program reads.
        known: u64,
    },
    /// The file is not a store, or damaged.
    #[error("the store is damaged or not a store ({0}); move the file away or restore a backup")]
    Corrupt(String),
    /// The file may not be opened.
    #[error("no permission to open the store; run as the owner of the data directory")]
    Permission(#[source] std::io::Error),
    /// The disk is full.
    #[error("no space to open the store; free space on its disk")]
    NoSpace(#[source] std::io::Error),
    /// Anything else the disk said.
    #[error("cannot open the store: {0}; check the data directory and its disk")]
    Io(#[source] std::io::Error),
}

impl From<redb::Error> for OpenError {
    fn from(error: redb::Error) -> OpenError {
        use std::io::ErrorKind;
        match error {
            redb::Error::DatabaseAlreadyOpen => OpenError::Locked,
            redb::Error::Io(error) => match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OpenError::Permission(error),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::NoSpace(error),
                ErrorKind::InvalidData => OpenError::Corrupt(error.to_string()),
                _ => OpenError::Io(error),
            },
            other => OpenError::Corrupt(other.to_string()),
        }
    }
}
