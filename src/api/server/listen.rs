//! The two doors: a Unix socket that knows its peers, and TLS. Neither a peer nor
//! a full file table ends their loops.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ServeError;

/// How long a failing `accept` (no file descriptors left) waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the Unix socket. A socket nobody answers on is replaced; one that is
/// answered belongs to a running daemon and is refused by name.
pub(super) async fn unix(path: &Path, group: Option<u32>) -> Result<UnixListener, ServeError> {
    let fault = |source| ServeError::Socket { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fault(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ServeError::NotASocket(path.to_owned())),
        Ok(_) => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(ServeError::AlreadyRunning(path.to_owned()));
            }
        }
    }
    // Bound beside its place and moved there once its mode is right: nobody ever
    // sees it open to others, and the old one is replaced in one step.
    let fresh: PathBuf = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(fault)?;
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    if group.is_some() {
        std::os::unix::fs::chown(&fresh, None, group).map_err(fault)?;
    }
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode)).map_err(fault)?;
    std::fs::rename(&fresh, path).map_err(fault)?;
    Ok(listener)
}

/// Binds the TLS port.
pub(super) async fn tcp(at: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(at).await.map_err(|source| ServeError::Listen { at, source })
}

/// Accepts for ever: a permit first, so that the kernel's backlog holds what we
/// cannot serve, then a connection, which keeps its permit until it ends.
pub(super) async fn accept_loop<S, A, F>(
    permits: Arc<Semaphore>,
    mut accept: impl FnMut() -> A,
    mut serve: impl FnMut(S, OwnedSemaphorePermit) -> F,
) where
    A: Future<Output = io::Result<S>>,
    F: Future<Output = ()> + Send + 'static,
{
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match accept().await {
            Ok(stream) => {
                tokio::spawn(serve(stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
