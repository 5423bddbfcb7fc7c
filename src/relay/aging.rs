//! A bounded table whose entries end by themselves: client affinities and UDP
//! sessions. Pure: whoever asks says what time it is.

use std::collections::{BTreeMap, BTreeSet};

/// Values by key, each until its deadline in milliseconds. When the table is full,
/// the entry that would end first makes room.
#[derive(Debug)]
pub(super) struct Aging<K, V> {
    entries: BTreeMap<K, (V, u64)>,
    deadlines: BTreeSet<(u64, K)>,
    max: usize,
}

impl<K: Ord + Copy, V> Aging<K, V> {
    /// A table of at most `max` entries.
    pub(super) fn new(max: usize) -> Aging<K, V> {
        Aging { entries: BTreeMap::new(), deadlines: BTreeSet::new(), max }
    }

    /// What stands there, whether or not its time is over.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// Puts a value there; answers the one that had to make room or stood there before.
    pub(super) fn put(&mut self, key: K, value: V, deadline: u64) -> Option<V> {
        let mut left = self.remove(&key);
        if left.is_none() && self.entries.len() >= self.max {
            left = self.pop_first();
        }
        self.deadlines.insert((deadline, key));
        self.entries.insert(key, (value, deadline));
        left
    }

    /// Gives an entry another deadline.
    pub(super) fn extend(&mut self, key: &K, deadline: u64) {
        if let Some((_, until)) = self.entries.get_mut(key) {
            self.deadlines.remove(&(*until, *key));
            *until = deadline;
            self.deadlines.insert((deadline, *key));
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (value, deadline) = self.entries.remove(key)?;
        self.deadlines.remove(&(deadline, *key));
        Some(value)
    }

    /// Takes out the entry that would end first.
    pub(super) fn pop_first(&mut self) -> Option<V> {
        let (_, first) = self.deadlines.first().copied()?;
        self.remove(&first)
    }

    /// Takes out one entry whose time is over.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<(K, V)> {
        let (deadline, key) = self.deadlines.first().copied()?;
        if deadline > now { None } else { self.remove(&key).map(|value| (key, value)) }
    }

    /// When the next entry ends.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Keeps only what `wanted` says.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&K, &V) -> bool) {
        let deadlines = &mut self.deadlines;
        self.entries.retain(|key, (value, deadline)| {
            let keep = wanted(key, value);
            if !keep {
                deadlines.remove(&(*deadline, *key));
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_in_the_order_of_their_deadlines() {
        let mut table = Aging::new(8);
        assert_eq!(table.put('a', 1, 30), None);
        assert_eq!(table.put('b', 2, 10), None);
        table.extend(&'a', 5);
        assert_eq!(table.next_due(), Some(5));
        assert_eq!(table.pop_due(4), None);
        assert_eq!((table.pop_due(10), table.pop_due(10), table.pop_due(10)), (Some(('a', 1)), Some(('b', 2)), None));
        assert_eq!(table.next_due(), None);
    }

    #[test]
    fn a_full_table_gives_up_what_would_end_first() {
        let mut table = Aging::new(2);
        table.put('a', 1, 30);
        table.put('b', 2, 10);
        assert_eq!(table.put('c', 3, 20), Some(2));
        assert_eq!(table.put('c', 4, 25), Some(3), "the old value of the same key makes room");
        assert_eq!((table.get(&'a'), table.get(&'b'), table.get(&'c')), (Some(&1), None, Some(&4)));
        table.retain(|key, _| *key == 'c');
        assert_eq!((table.next_due(), table.get(&'a')), (Some(25), None));
    }
}
