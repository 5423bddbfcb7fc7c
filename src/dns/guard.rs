//! Who may ask at an address of the LAN, and how often: a resolver that answers
//! anybody is a weapon against whoever's address is forged.
//!
//! Always true: nobody outside the networks named gets more than a refusal of the
//! length of the question, at the same rate; nobody without proof of its address
//! (TCP, a cookie) gets more answers a second than the limit; memory is
//! [`BUCKETS`] counts.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use tokio::time::Instant;

/// Counts of sources, shared by those that fall on the same one. Which do is
/// random anew in each process, so nobody can choose whose share to take.
const BUCKETS: usize = 4096;
/// Answers that may come at once: a browser that opens a page, times a second's
/// share.
const BURST_SECONDS: f64 = 2.0;
/// Of the answers above the limit, each so many-th says "ask over TCP": a client
/// that is where it says it is gets through, and a forged one gets nothing of size.
const SLIP: u32 = 2;

/// What to do with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Answer,
    /// Not from a network that may ask.
    Refuse,
    /// Too many: say only that TCP would be answered.
    Cut,
    /// Too many: say nothing.
    Drop,
}

/// The guard of one listener.
#[derive(Debug)]
pub(crate) struct Guard {
    allowed: Vec<IpNet>,
    /// Answers a second to one source; 0 is no limit.
    rate: u32,
    buckets: Mutex<Vec<Bucket>>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
    over: u32,
}

impl Guard {
    pub(crate) fn new(allowed: Vec<IpNet>, rate: u32, now: Instant) -> Guard {
        let full = Bucket { tokens: f64::from(rate) * BURST_SECONDS, filled: now, over: 0 };
        let buckets = if rate == 0 { vec![] } else { vec![full; BUCKETS] };
        Guard { allowed, rate, buckets: Mutex::new(buckets), hasher: RandomState::new() }
    }

    /// Whether a question from `addr` is answered; `proven`: it cannot be forged.
    pub(crate) fn judge(&self, addr: IpAddr, proven: bool, now: Instant) -> Verdict {
        let addr = addr.to_canonical();
        let answered = match (proven || self.rate == 0, self.allowed.iter().any(|net| net.contains(&addr))) {
            (_, false) => Verdict::Refuse,
            (true, true) => return Verdict::Answer,
            (false, true) => Verdict::Answer,
        };
        if self.rate == 0 {
            return answered;
        }
        let place = usize::try_from(self.hasher.hash_one(source(addr)) % BUCKETS as u64).unwrap_or_default();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get_mut(place) else { return answered };
        let rate = f64::from(self.rate);
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * rate).min(rate * BURST_SECONDS);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return answered;
        }
        bucket.over = bucket.over.wrapping_add(1);
        let slips = bucket.over.is_multiple_of(SLIP) && answered == Verdict::Answer;
        if slips { Verdict::Cut } else { Verdict::Drop }
    }
}

/// Who counts as one source: an IPv6 host has a whole network of addresses.
fn source(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_networks_named_may_ask() {
        let guard = Guard::new(vec!["192.168.1.0/24".parse().unwrap()], 0, Instant::now());
        assert_eq!(guard.judge(ip("192.168.1.9"), false, Instant::now()), Verdict::Answer);
        assert_eq!(guard.judge(ip("::ffff:192.168.1.9"), false, Instant::now()), Verdict::Answer);
        for stranger in ["192.168.2.9", "203.0.113.9", "::1"] {
            assert_eq!(guard.judge(ip(stranger), true, Instant::now()), Verdict::Refuse);
        }
    }

    #[test]
    fn a_source_above_the_limit_is_cut_or_dropped_until_time_passes() {
        let start = Instant::now();
        let guard = Guard::new(vec!["0.0.0.0/0".parse().unwrap()], 10, start);
        let judge = |addr: &str, at| guard.judge(ip(addr), false, at);
        let answered = (0..100).filter(|_| judge("10.0.0.1", start) == Verdict::Answer).count();
        assert_eq!(answered, 20, "two seconds' share at once");
        let rest: Vec<_> = (0..2).map(|_| judge("10.0.0.1", start)).collect();
        assert!(rest.contains(&Verdict::Cut) && rest.contains(&Verdict::Drop));
        assert_eq!(guard.judge(ip("10.0.0.1"), true, start), Verdict::Answer, "who proves its address is no forger");
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| judge("10.0.0.1", later) == Verdict::Answer).count(), 10);
    }

    #[test]
    fn a_flood_from_forged_addresses_takes_no_memory() {
        let start = Instant::now();
        let guard = Guard::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], 1, start);
        for n in 0..100_000_u32 {
            guard.judge(std::net::Ipv4Addr::from(n).into(), false, start);
        }
        assert_eq!(guard.buckets.lock().unwrap().len(), BUCKETS);
        // All addresses of one IPv6 network are one source.
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff")));
    }
}
