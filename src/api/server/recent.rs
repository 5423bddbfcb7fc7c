//! States that a continued list still needs: the next page shows the revision of
//! the first (spec/api.md section 6). A snapshot is a few pointers, but it keeps
//! what was deleted since alive, so there are few of them and none is old.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Kind, Revision};
use crate::store::Snapshot;

/// Lists being paged through at once, at different revisions.
const SNAPSHOTS_MAX: usize = 16;
/// How long a list may take: what a real cluster's compaction leaves it.
const AGE_MAX: Duration = Duration::from_secs(300);

/// Kept snapshots, oldest first. The lock is held for a few pointer moves, never
/// across an await.
#[derive(Default)]
pub(super) struct Recent {
    kept: Mutex<VecDeque<(Instant, Arc<Snapshot>)>>,
}

impl Recent {
    /// Keeps a snapshot for the pages to come.
    pub(super) fn keep(&self, snapshot: &Arc<Snapshot>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|(since, old)| now.duration_since(*since) < AGE_MAX && old.revision() != snapshot.revision());
        while kept.len() >= SNAPSHOTS_MAX {
            kept.pop_front();
        }
        kept.push_back((now, Arc::clone(snapshot)));
    }

    /// The state of a kind at exactly this revision: kept, or the current one if
    /// nothing of the kind changed since.
    pub(super) fn at(&self, current: &Arc<Snapshot>, kind: Kind, revision: Revision) -> Option<Arc<Snapshot>> {
        let unchanged = revision <= current.revision()
            && current.events_since(kind, revision).is_ok_and(|events| events.is_empty());
        if unchanged {
            return Some(Arc::clone(current));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(_, old)| old.revision() == revision).map(|(_, old)| Arc::clone(old))
    }
}
