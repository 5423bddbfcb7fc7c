//! Which Services of many the kernel refuses, and when those are tried again. Pure.
//!
//! A transaction is taken or refused whole: without this one Service that the kernel
//! does not take would hold up all others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::desired::{Change, Contribution};
use crate::model::ObjectKey;

/// Groups refused in one pass; the rest is then set aside as it is. A kernel that is
/// out of memory refuses everything, and to ask for each Service would take hours.
const GROUPS_MAX: usize = 32;
/// First and longest pause before a Service that was refused is tried again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(500);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Applies as many items as are taken, by halves of what is refused together. Answers
/// the refused ones, nearly always in groups of one, each with the reason.
pub(super) fn sift<'a, T, E>(items: &'a [T], attempt: &mut dyn FnMut(&'a [T]) -> Result<(), E>) -> Vec<(&'a [T], E)> {
    let mut refused = Vec::new();
    let mut groups = vec![items];
    while let Some(group) = groups.pop().filter(|group| !group.is_empty()) {
        let Err(why) = attempt(group) else { continue };
        if group.len() == 1 || refused.len() >= GROUPS_MAX {
            refused.push((group, why));
            continue;
        }
        let (first, second) = group.split_at(group.len() / 2);
        groups.extend([second, first]);
    }
    refused
}

/// A Service that the kernel does not hold as it is wanted.
#[derive(Clone, Debug)]
struct Waiting {
    held: Option<Arc<Contribution>>,
    wanted: Option<Arc<Contribution>>,
    reason: String,
    pause: Duration,
    at: Instant,
}

/// The Services that were refused.
#[derive(Clone, Debug, Default)]
pub(super) struct SetAside(BTreeMap<ObjectKey, Waiting>);

impl SetAside {
    /// The changes as seen from what the kernel holds.
    pub(super) fn rebase(&self, changes: &[Change]) -> Vec<Change> {
        let mut changes = changes.to_vec();
        for change in &mut changes {
            if let Some(waiting) = self.0.get(&change.key) {
                change.before.clone_from(&waiting.held);
            }
        }
        changes
    }

    /// Whether all of these were refused before.
    pub(super) fn has_all(&self, changes: &[Change]) -> bool {
        changes.iter().all(|change| self.0.contains_key(&change.key))
    }

    /// Notes that a change was refused. Each time it is tried later.
    pub(super) fn add(&mut self, change: &Change, reason: String, now: Instant) {
        let known = self.0.get(&change.key);
        let pause = known.map_or(RETRY_PAUSE_MIN, |waiting| (waiting.pause * 2).min(RETRY_PAUSE_MAX));
        let (held, wanted) = (change.before.clone(), change.after.clone());
        self.0.insert(change.key.clone(), Waiting { held, wanted, reason, pause, at: now + pause });
    }

    /// Notes that a change was taken; answers whether it had been refused before.
    pub(super) fn settle(&mut self, key: &ObjectKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// When the next one is to be tried.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|waiting| waiting.at).min()
    }

    /// Those to be tried now.
    pub(super) fn due(&self, now: Instant) -> Vec<Change> {
        let due = self.0.iter().filter(|(_, waiting)| waiting.at <= now);
        due.map(|(key, waiting)| Change {
            key: key.clone(),
            before: waiting.held.clone(),
            after: waiting.wanted.clone(),
        })
        .collect()
    }

    /// The Services and why.
    pub(super) fn reasons(&self) -> BTreeMap<ObjectKey, String> {
        self.0.iter().map(|(key, waiting)| (key.clone(), waiting.reason.clone())).collect()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may stop")]
mod tests {
    use super::*;

    /// Sifts 0..count where `bad` are refused; the refused groups and the attempts.
    fn sifted(count: usize, bad: &dyn Fn(usize) -> bool) -> (Vec<Vec<usize>>, usize, Vec<usize>) {
        let items: Vec<usize> = (0..count).collect();
        let (mut attempts, mut taken) = (0, Vec::new());
        let refused = sift(&items, &mut |group: &[usize]| {
            attempts += 1;
            if group.iter().any(|item| bad(*item)) {
                return Err(());
            }
            taken.extend_from_slice(group);
            Ok(())
        });
        (refused.into_iter().map(|(group, ())| group.to_vec()).collect(), attempts, taken)
    }

    #[test]
    fn the_culprits_are_found_and_all_others_are_taken_in_few_attempts() {
        assert_eq!(sifted(0, &|_| true), (vec![], 0, vec![]));
        assert_eq!(sifted(1, &|_| true), (vec![vec![0]], 1, vec![]));
        assert_eq!(sifted(100, &|_| false).1, 1);
        for culprits in [vec![0], vec![999], vec![17, 18], vec![0, 500, 999], (300..330).collect()] {
            let (refused, attempts, taken) = sifted(1000, &|item| culprits.contains(&item));
            assert_eq!(refused.concat(), culprits);
            assert!(refused.iter().all(|group| group.len() == 1));
            assert_eq!(taken, (0..1000).filter(|item| !culprits.contains(item)).collect::<Vec<_>>(), "in order");
            assert!(attempts <= 1 + 2 * 10 * culprits.len(), "{attempts} for {culprits:?}");
        }
    }

    #[test]
    fn a_kernel_that_refuses_everything_is_not_asked_for_each() {
        let (refused, attempts, taken) = sifted(30_000, &|_| true);
        assert_eq!(refused.concat().len(), 30_000);
        assert!(attempts < 200, "{attempts}");
        assert!(taken.is_empty());
    }

    fn change(held: bool, wanted: bool) -> Change {
        let key = ObjectKey::new("t", "web");
        let side = Arc::new(Contribution {
            key: key.clone(),
            cluster_ips: Vec::new(),
            frontends: Vec::new(),
            health: None,
            relayed: false,
            records: Arc::default(),
        });
        Change { key, before: held.then(|| Arc::clone(&side)), after: wanted.then_some(side) }
    }

    #[test]
    fn what_was_refused_is_tried_with_growing_pauses_from_what_the_kernel_holds() {
        let mut set_aside = SetAside::default();
        let mut now = Instant::now();
        assert_eq!(set_aside.next(), None);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            set_aside.add(&change(false, true), "no".to_owned(), now);
            let at = set_aside.next().unwrap_or(now);
            assert_eq!(set_aside.due(at - Duration::from_millis(1)), []);
            assert_eq!(set_aside.due(at), [change(false, true)]);
            pauses.push(at - now);
            now = at;
        }
        assert_eq!(pauses[0], RETRY_PAUSE_MIN);
        assert!(pauses.is_sorted() && pauses[8] == RETRY_PAUSE_MAX, "{pauses:?}");
        assert_eq!(set_aside.rebase(&[change(true, false)]), [change(false, false)], "the kernel never had it");
        assert_eq!(set_aside.reasons(), BTreeMap::from([(ObjectKey::new("t", "web"), "no".to_owned())]));
        assert!(set_aside.settle(&ObjectKey::new("t", "web")) && set_aside.next().is_none());
        assert_eq!(set_aside.rebase(&[change(true, false)]), [change(true, false)]);
    }
}
