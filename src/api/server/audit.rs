//! Refused requests in the log: one line each, and no more lines than a journal on
//! flash can bear, whoever sends how many.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines in a burst: enough to see what a wrong kubeconfig does.
const BURST: u32 = 20;
/// Afterwards one line in this time, which is under 2 MB of journal a day.
const EVERY: Duration = Duration::from_secs(10);
/// The burst of one source, so that a flood from one leaves lines for the others.
const SOURCE_BURST: u32 = 5;
/// As [`EVERY`], for one source.
const SOURCE_EVERY: Duration = Duration::from_secs(60);
/// Sources remembered; beyond them only the lines in all are bounded.
const SOURCES_MAX: usize = 256;
/// Bytes of a path or name in a line.
const TEXT_BYTES_MAX: usize = 256;

/// A refused request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    pub(super) user: &'a str,
    pub(super) verb: &'a str,
    pub(super) path: &'a str,
    pub(super) source: &'a str,
    pub(super) code: u16,
    pub(super) reason: &'a str,
}

/// Writes refusals to the log.
#[derive(Debug)]
pub(super) struct Audit {
    quota: Mutex<Quota>,
}

impl Audit {
    pub(super) fn new() -> Audit {
        Audit { quota: Mutex::new(Quota::new(Instant::now())) }
    }

    /// One line, unless there were too many.
    pub(super) fn refused(&self, refused: &Refused<'_>) {
        let quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner).line(refused.source, Instant::now());
        let Some(suppressed) = quota else { return };
        // Debug escapes: a name or path must not make lines of its own.
        tracing::warn!(
            user = ?cut(refused.user),
            verb = refused.verb,
            path = ?cut(refused.path),
            source = refused.source,
            code = refused.code,
            reason = ?cut(refused.reason),
            suppressed,
            "request refused"
        );
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Decides which lines are written. Pure.
#[derive(Debug)]
struct Quota {
    all: Bucket,
    sources: BTreeMap<String, Bucket>,
    suppressed: u64,
}

/// So many at once, and one more each `every`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    burst: u32,
    every: Duration,
    filled: Instant,
}

impl Quota {
    fn new(now: Instant) -> Quota {
        Quota { all: Bucket::full(BURST, EVERY, now), sources: BTreeMap::new(), suppressed: 0 }
    }

    /// Whether a line may be written, and how many were not since the last one.
    fn line(&mut self, source: &str, now: Instant) -> Option<u64> {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(source) {
            // Who was quiet long enough to be full again needs no memory.
            self.sources.retain(|_, bucket| !bucket.is_full(now));
        }
        let known = self.sources.contains_key(source) || self.sources.len() < SOURCES_MAX;
        let own = match known {
            true => {
                let fresh = Bucket::full(SOURCE_BURST, SOURCE_EVERY, now);
                self.sources.entry(source.to_owned()).or_insert(fresh).take(now)
            }
            false => true,
        };
        if own && self.all.take(now) {
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed += 1;
        None
    }
}

impl Bucket {
    fn full(burst: u32, every: Duration, now: Instant) -> Bucket {
        Bucket { left: burst, burst, every, filled: now }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_millis() / self.every.as_millis().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(passed).min(self.burst);
        // What is left of the interval counts towards the next one.
        self.filled = if self.left == self.burst { now } else { self.filled + self.every * passed };
    }

    fn is_full(mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == self.burst
    }

    fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_hides_nobody() {
        let now = Instant::now();
        let mut quota = Quota::new(now);
        let flood = (0..10_000).filter(|_| quota.line("198.51.100.7", now).is_some()).count();
        assert_eq!(flood, SOURCE_BURST as usize);
        assert_eq!(quota.line("192.0.2.1", now), Some(9_995), "the next line says how many are missing");
        let later = now + SOURCE_EVERY;
        assert_eq!(quota.line("198.51.100.7", later), Some(0));
        assert_eq!(quota.line("198.51.100.7", later), None);
    }

    #[test]
    fn many_sources_are_bounded_together() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        let mut lines = 0;
        for second in 0..600 {
            for number in 0..100 {
                let source = format!("{second}.{number}");
                lines += usize::from(quota.line(&source, start + Duration::from_secs(second)).is_some());
            }
            assert!(quota.sources.len() <= SOURCES_MAX);
        }
        let most = BURST as usize + 600 / usize::try_from(EVERY.as_secs()).unwrap();
        assert!((most - 1..=most).contains(&lines), "{lines} lines, {most} at most");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("é".repeat(1_000).as_str()).len(), TEXT_BYTES_MAX);
        assert_eq!(cut("short"), "short");
    }
}
