//! Answers of upstreams, kept while they are fresh, and beyond that for the time
//! when no upstream answers (RFC 8767).
//!
//! Two generations: what is asked lives in the young one, and when that is full
//! the old one is dropped. No list to keep in order, so a flood of names that
//! nobody asks twice costs no more than a write, and never what is in use.
//!
//! Always true: at most two generations of answers and of bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::stored::{Dated, Stored};

/// Answers of one generation; both together are what a household or a plant asks
/// in a day.
const GENERATION_ENTRIES_MAX: usize = 4096;
/// Bytes of one generation, so that long answers cannot fill a small box.
const GENERATION_BYTES_MAX: usize = 2 << 20;
/// How long an answer past its time is still better than none (RFC 8767 section 5
/// suggests one to three days).
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long after a failure a stale answer is given without asking again (RFC
/// 8767 section 5).
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Answers asked this often are fetched anew before they are over.
const PREFETCH_HITS_MIN: u32 = 2;
/// The last part of a lifetime in which they are: a tenth.
const PREFETCH_PART: u32 = 10;

/// What makes two questions the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Labels in lower case, each behind its length.
    pub(crate) name: Box<[u8]>,
    pub(crate) query_type: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

/// What is known of a question.
#[derive(Debug)]
pub(crate) enum Found {
    /// Good to send; `again` if it should be asked for anew meanwhile.
    Fresh { answer: Dated, again: bool },
    /// Only to send if no upstream answers; `again` unless that was just found out.
    Stale { answer: Dated, again: bool },
}

#[derive(Debug)]
struct Entry {
    stored: Arc<Stored>,
    since: Instant,
    until: Instant,
    hits: u32,
    /// Since a fetch failed: until when not to try again.
    quiet_until: Option<Instant>,
}

/// Answers by question.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    young: BTreeMap<Key, Entry>,
    old: BTreeMap<Key, Entry>,
    young_bytes: usize,
    old_bytes: usize,
}

impl Cache {
    /// What is known of a question now.
    pub(crate) fn find(&mut self, key: &Key, now: Instant) -> Option<Found> {
        if !self.young.contains_key(key) {
            let entry = self.old.remove(key)?;
            self.old_bytes = self.old_bytes.saturating_sub(entry.stored.size());
            self.insert(key.clone(), entry);
        }
        let entry = self.young.get_mut(key)?;
        let over = now.saturating_duration_since(entry.until);
        if over > STALE_MAX {
            return None;
        }
        let age = u32::try_from(now.saturating_duration_since(entry.since).as_secs()).unwrap_or(u32::MAX);
        let quiet = entry.quiet_until.is_some_and(|until| now < until);
        let answer = Dated { stored: Arc::clone(&entry.stored), age, stale: now >= entry.until };
        if answer.stale {
            return Some(Found::Stale { answer, again: !quiet });
        }
        entry.hits = entry.hits.saturating_add(1);
        let left = entry.until - now;
        let soon = left <= (entry.until - entry.since) / PREFETCH_PART;
        Some(Found::Fresh { answer, again: soon && entry.hits >= PREFETCH_HITS_MIN && !quiet })
    }

    /// Keeps an answer as long as it says.
    pub(crate) fn keep(&mut self, key: Key, stored: &Arc<Stored>, now: Instant) {
        let Some(seconds) = stored.lifetime() else { return };
        let until = now + Duration::from_secs(seconds.into());
        let entry = Entry { stored: Arc::clone(stored), since: now, until, hits: 0, quiet_until: None };
        if let Some(before) = self.old.remove(&key) {
            self.old_bytes = self.old_bytes.saturating_sub(before.stored.size());
        }
        self.insert(key, entry);
    }

    /// Remembers that no upstream answered.
    pub(crate) fn failed(&mut self, key: &Key, now: Instant) {
        if let Some(entry) = self.young.get_mut(key) {
            entry.quiet_until = Some(now + FAILURE_PAUSE);
        }
    }

    /// Forgets everything: other upstreams may see another world.
    pub(crate) fn clear(&mut self) {
        *self = Cache::default();
    }

    /// Answers held, and their bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.young.len() + self.old.len(), self.young_bytes + self.old_bytes)
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        if self.young.len() >= GENERATION_ENTRIES_MAX || self.young_bytes >= GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += entry.stored.size();
        if let Some(before) = self.young.insert(key, entry) {
            self.young_bytes = self.young_bytes.saturating_sub(before.stored.size());
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::{A, TXT};
    use hickory_proto::rr::{Name, RData, Record};

    use super::*;

    const ENTRIES_MAX: usize = 2 * GENERATION_ENTRIES_MAX;
    /// One answer may overshoot a generation by its own length.
    const BYTES_MAX: usize = 2 * (GENERATION_BYTES_MAX + u16::MAX as usize);

    fn key(n: usize) -> Key {
        Key { name: n.to_be_bytes().into(), query_type: 1, dnssec_ok: false, checking_disabled: false }
    }

    fn stored(data: RData) -> Arc<Stored> {
        let mut message = Message::query().into_response();
        message.add_answer(Record::from_rdata(Name::root(), 100, data));
        Arc::new(Stored::of(message).unwrap())
    }

    fn short() -> Arc<Stored> {
        stored(RData::A(A([192, 0, 2, 1].into())))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fresh_then_fetched_anew_then_stale_then_gone() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.keep(key(1), &short(), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(matches!(cache.find(&key(1), at(5)), Some(Found::Fresh { again: false, answer }) if answer.age == 5));
        assert!(matches!(cache.find(&key(1), at(95)), Some(Found::Fresh { again: true, .. })));
        assert!(matches!(cache.find(&key(1), at(100)), Some(Found::Stale { again: true, .. })));
        cache.failed(&key(1), at(100));
        assert!(matches!(cache.find(&key(1), at(104)), Some(Found::Stale { again: false, .. })));
        assert!(matches!(cache.find(&key(1), at(106)), Some(Found::Stale { again: true, .. })));
        assert!(cache.find(&key(1), at(100 + 24 * 3600 + 1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_once_is_not_fetched_anew() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.keep(key(1), &short(), start);
        let late = start + Duration::from_secs(95);
        assert!(matches!(cache.find(&key(1), late), Some(Found::Fresh { again: false, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_names_neither_grows_the_cache_nor_drops_what_is_in_use() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.keep(key(usize::MAX), &short(), now);
        for n in 0..5 * ENTRIES_MAX {
            cache.keep(key(n), &short(), now);
            if n % 1000 == 0 {
                assert!(cache.find(&key(usize::MAX), now).is_some(), "after {n}");
            }
        }
        assert!(cache.size().0 <= ENTRIES_MAX);
        let long = stored(RData::TXT(TXT::new(vec!["x".repeat(255); 200])));
        for n in 0..1000 {
            cache.keep(key(n), &long, now);
            assert!(cache.size().1 <= BYTES_MAX);
        }
    }
}
