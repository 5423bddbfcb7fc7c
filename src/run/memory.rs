//! Memory that was needed for a moment: a start with ten thousand Services holds
//! everything the kernel holds too, to compare, and a large apply every body it
//! reads. glibc would keep these pages for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::store::Snapshot;

/// Changes that may have left enough freed memory to look for it: below, a look
/// costs more than it finds.
const REVISIONS_MIN: u64 = 1000;
/// So long nothing changed: the burst is over.
const QUIET: Duration = Duration::from_secs(1);
/// Under a flow of changes that never ends it is looked for this often.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Gives memory back after each burst of changes, until the store is closed.
pub(super) async fn follow(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let mut done = snapshots.borrow_and_update().revision().0;
    while snapshots.changed().await.is_ok() {
        if snapshots.borrow_and_update().revision().0 < done + REVISIONS_MIN {
            continue;
        }
        let end = Instant::now() + PAUSE_MAX;
        while Instant::now() < end && matches!(timeout(QUIET, snapshots.changed()).await, Ok(Ok(()))) {}
        // It takes milliseconds, in which a worker could have answered.
        if tokio::task::spawn_blocking(give_back).await.is_err() {
            tracing::warn!("freed memory was not given back");
        }
        done = snapshots.borrow_and_update().revision().0;
    }
}

/// Gives freed memory back to the kernel.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "malloc_trim takes no pointer and may be called at any time from any thread")]
    // SAFETY: malloc_trim only walks the allocator's own lists, under its own locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
