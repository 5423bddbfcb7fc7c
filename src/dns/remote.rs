//! An upstream server and what is known of it: how fast it answers, whether it
//! does, and whether what it is asked comes back to us.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pipeline::Pipelines;

/// An upstream server as it is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    /// Address and port.
    pub addr: SocketAddr,
    /// DNS over TLS (RFC 7858), and the name or address its certificate must
    /// carry; `None` is plain DNS.
    pub tls: Option<String>,
}

impl From<SocketAddr> for Upstream {
    fn from(addr: SocketAddr) -> Upstream {
        Upstream { addr, tls: None }
    }
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tls {
            Some(name) => write!(f, "tls://{}#{name}", self.addr),
            None => write!(f, "{}", self.addr),
        }
    }
}

/// Questions in a row without an answer after which a server is asked last.
const FAILURES_MAX: u32 = 3;
/// How long it then stays there before it is given a question to prove itself.
const REST: Duration = Duration::from_secs(10);
/// How long a server whose questions come back to us is not asked.
const LOOP_REST: Duration = Duration::from_secs(60);
/// How long a server may take before the next one is asked beside it: twice its
/// usual time, within these.
const HEDGE_MIN: Duration = Duration::from_millis(50);
const HEDGE_MAX: Duration = Duration::from_millis(400);
/// A server and its health. Shared by all questions.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) upstream: Upstream,
    questions: AtomicU64,
    failures: AtomicU64,
    failures_in_a_row: AtomicU32,
    /// Smoothed time of an answer, in microseconds; 0 before the first.
    usual_micros: AtomicU32,
    loops: AtomicBool,
    times: Mutex<Times>,
    /// Connections to it, where it is asked over TLS.
    pub(crate) pipelines: Pipelines,
}

#[derive(Debug, Default)]
struct Times {
    rested: Option<Instant>,
    looped: Option<Instant>,
    suspected: Option<Instant>,
}

/// A server in numbers, for /metrics.
#[derive(Clone, Debug)]
pub struct RemoteHealth {
    /// Who.
    pub server: String,
    /// Whether it answers.
    pub healthy: bool,
    /// Whether its questions come back to us.
    pub loops: bool,
    /// Questions it was sent.
    pub questions: u64,
    /// Those without a usable answer.
    pub failures: u64,
    /// How long an answer usually takes.
    pub usual: Duration,
}

impl Remote {
    pub(crate) fn new(upstream: Upstream) -> Arc<Remote> {
        Arc::new(Remote {
            upstream,
            questions: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            usual_micros: AtomicU32::new(0),
            loops: AtomicBool::new(false),
            times: Mutex::default(),
            pipelines: Pipelines::default(),
        })
    }

    pub(crate) fn asked(&self) {
        self.questions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, took: Duration) {
        if self.failures_in_a_row.swap(0, Ordering::Relaxed) >= FAILURES_MAX {
            tracing::info!(server = %self.upstream, "upstream DNS server answers again");
        }
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let before = self.usual_micros.load(Ordering::Relaxed);
        let usual = if before == 0 { took } else { before - before / 8 + took / 8 };
        self.usual_micros.store(usual.max(1), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let before = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
        if before + 1 == FAILURES_MAX {
            tracing::warn!(server = %self.upstream, "upstream DNS server does not answer; it is asked last");
        }
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) < FAILURES_MAX
    }

    /// Whether it may be asked before others: it is well, or has rested enough to
    /// prove itself with one question.
    pub(crate) fn may_lead(&self, now: Instant) -> bool {
        if self.is_healthy() {
            return true;
        }
        let mut times = self.times();
        let rested = times.rested.is_some_and(|since| now.saturating_duration_since(since) >= REST);
        if rested || times.rested.is_none() {
            times.rested = Some(now);
        }
        rested
    }

    /// When the next server is asked beside this one.
    pub(crate) fn hedge(&self) -> Duration {
        match self.usual_micros.load(Ordering::Relaxed) {
            0 => HEDGE_MAX,
            usual => (Duration::from_micros(usual.into()) * 2).clamp(HEDGE_MIN, HEDGE_MAX),
        }
    }

    /// What it is asked comes back to us: it is left out for a while.
    pub(crate) fn set_looping(&self, now: Instant) {
        self.times().looped = Some(now);
        if !self.loops.swap(true, Ordering::Relaxed) {
            tracing::error!(
                server = %self.upstream,
                "upstream DNS server asks us what we ask it: it is left out; name the real servers with --upstream-dns"
            );
        }
    }

    pub(crate) fn is_looping(&self, now: Instant) -> bool {
        if !self.loops.load(Ordering::Relaxed) {
            return false;
        }
        let over = self.times().looped.is_none_or(|since| now.saturating_duration_since(since) >= LOOP_REST);
        if over {
            self.loops.store(false, Ordering::Relaxed);
        }
        !over
    }

    /// Whether to find out now if it loops; at most once in a while.
    pub(crate) fn begin_suspicion(&self, now: Instant) -> bool {
        let mut times = self.times();
        let free = times.suspected.is_none_or(|since| now.saturating_duration_since(since) >= LOOP_REST / 2);
        if free {
            times.suspected = Some(now);
        }
        free
    }

    pub(crate) fn health(&self) -> RemoteHealth {
        RemoteHealth {
            server: self.upstream.to_string(),
            healthy: self.is_healthy(),
            loops: self.loops.load(Ordering::Relaxed),
            questions: self.questions.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            usual: Duration::from_micros(self.usual_micros.load(Ordering::Relaxed).into()),
        }
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In which order servers are asked: as they are named, those that do not answer
/// last, those that loop not at all.
pub(crate) fn order(remotes: &[Arc<Remote>], now: Instant) -> Vec<Arc<Remote>> {
    let usable = remotes.iter().filter(|remote| !remote.is_looping(now)).cloned();
    let (mut first, last): (Vec<_>, Vec<_>) = usable.partition(|remote| remote.may_lead(now));
    first.extend(last);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remotes() -> Vec<Arc<Remote>> {
        let made = |n: u8| Remote::new(SocketAddr::from(([192, 0, 2, n], 53)).into());
        vec![made(1), made(2)]
    }

    fn lasts(remotes: &[Arc<Remote>], now: Instant) -> Vec<u8> {
        let last = |remote: &Arc<Remote>| match remote.upstream.addr {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        order(remotes, now).iter().map(last).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_asked_last_until_it_proves_itself() {
        let (remotes, start) = (remotes(), Instant::now());
        assert_eq!(lasts(&remotes, start), [1, 2]);
        (0..FAILURES_MAX).for_each(|_| remotes[0].failed());
        assert_eq!(lasts(&remotes, start), [2, 1]);
        let later = start + REST;
        assert_eq!(lasts(&remotes, later), [1, 2], "one question to prove itself");
        assert_eq!(lasts(&remotes, later), [2, 1], "and only one");
        remotes[0].answered(Duration::from_millis(3));
        assert_eq!(lasts(&remotes, later), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_loops_is_left_out_for_a_while() {
        let (remotes, start) = (remotes(), Instant::now());
        remotes[1].set_looping(start);
        assert_eq!(lasts(&remotes, start), [1]);
        assert_eq!(lasts(&remotes, start + LOOP_REST), [1, 2]);
    }

    #[test]
    fn the_next_server_is_asked_beside_a_slow_one_after_twice_its_usual_time() {
        let remote = &remotes()[0];
        assert_eq!(remote.hedge(), HEDGE_MAX);
        remote.answered(Duration::from_millis(60));
        assert_eq!(remote.hedge(), Duration::from_millis(120));
        (0..100).for_each(|_| remote.answered(Duration::from_micros(100)));
        assert_eq!(remote.hedge(), HEDGE_MIN);
    }
}
