//! What is asked and answered, in numbers, for /metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

/// The types counted by name; the last stands for all others.
const TYPES: [&str; 11] = ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "NS", "MX", "ANY", "other"];
/// The results counted by name; the last stands for all other codes.
const RESULTS: [&str; 9] =
    ["NOERROR", "NODATA", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "BADVERS", "other"];

/// Upper bounds of the latency histogram, in seconds: from an answer of our own to
/// the longest a question may take.
pub const LATENCY_BOUNDS: [f64; 10] = [0.000_025, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 5.0];
const BOUNDS_MICROS: [u64; LATENCY_BOUNDS.len()] =
    [25, 100, 250, 1000, 5000, 25_000, 100_000, 500_000, 2_000_000, 5_000_000];

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Zone,
    Cache,
    Upstream,
}

impl Source {
    const ALL: [Source; 3] = [Source::Zone, Source::Cache, Source::Upstream];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Source::Zone => "zone",
            Source::Cache => "cache",
            Source::Upstream => "upstream",
        }
    }
}

/// Counts of what is asked and answered. Shared by every listener.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: [[AtomicU64; RESULTS.len()]; TYPES.len()],
    times: [Times; Source::ALL.len()],
    totals: [AtomicU64; 9],
}

#[derive(Debug, Default)]
struct Times {
    /// Answers within each bound and above those before; the last above all.
    within: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// How long answers of one source took.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// `zone`, `cache` or `upstream`.
    pub source: &'static str,
    /// Answers within each of [`LATENCY_BOUNDS`] and above the one before; the last
    /// above all of them.
    pub within: Vec<u64>,
    /// Seconds, all answers together.
    pub seconds: f64,
}

/// Single counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Questions about names that are an upstream's to answer.
    pub forwarded: u64,
    /// Packets that got no answer: too short, or responses.
    pub noise: u64,
    /// Questions refused, cut or dropped by the rules of an address of the LAN.
    pub limited: u64,
    /// Answers from the cache.
    pub cache_hits: u64,
    /// Questions the cache could not answer.
    pub cache_misses: u64,
    /// Answers past their time, given because no upstream answered.
    pub stale: u64,
    /// Answers fetched anew before they were over.
    pub prefetches: u64,
    /// Questions of ours that came back to us.
    pub loops: u64,
    /// TCP connections closed to make room.
    pub connections_closed: u64,
}

/// One count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The type asked, `other` for rare ones and for packets without a question.
    pub qtype: &'static str,
    /// The response code, or `NODATA` for an empty NOERROR.
    pub result: &'static str,
    /// Questions since the start.
    pub questions: u64,
}

impl Counters {
    /// Every count that is not zero.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let mut counts = Vec::new();
        for (qtype, row) in TYPES.iter().zip(&self.counts) {
            for (result, count) in RESULTS.iter().zip(row) {
                let questions = count.load(Ordering::Relaxed);
                if questions > 0 {
                    counts.push(Count { qtype, result, questions });
                }
            }
        }
        counts
    }

    /// How long answers took, by source.
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        let read = |(source, times): (Source, &Times)| Latency {
            source: source.as_str(),
            within: times.within.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            seconds: Duration::from_micros(times.micros.load(Ordering::Relaxed)).as_secs_f64(),
        };
        Source::ALL.into_iter().zip(&self.times).map(read).collect()
    }

    /// The single counts.
    pub(crate) fn totals(&self) -> Totals {
        let [forwarded, noise, limited, hits, misses, stale, prefetches, loops, closed] =
            self.totals.each_ref().map(|count| count.load(Ordering::Relaxed));
        Totals {
            forwarded,
            noise,
            limited,
            cache_hits: hits,
            cache_misses: misses,
            stale,
            prefetches,
            loops,
            connections_closed: closed,
        }
    }

    pub(crate) fn observe(&self, source: Source, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_MICROS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_MICROS.len());
        let times = match (source, &self.times) {
            (Source::Zone, [times, ..]) | (Source::Cache, [_, times, ..]) | (Source::Upstream, [.., times]) => times,
        };
        if let Some(count) = times.within.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        times.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, qtype: Option<RecordType>, code: ResponseCode, empty: bool) {
        let (row, column) = (type_index(qtype), result_index(code, empty));
        if let Some(count) = self.counts.get(row).and_then(|row| row.get(column)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_forwarded(&self) {
        self.bump(0);
    }

    pub(crate) fn add_noise(&self) {
        self.bump(1);
    }

    pub(crate) fn add_limited(&self) {
        self.bump(2);
    }

    pub(crate) fn add_cache_hit(&self) {
        self.bump(3);
    }

    pub(crate) fn add_cache_miss(&self) {
        self.bump(4);
    }

    pub(crate) fn add_stale(&self) {
        self.bump(5);
    }

    pub(crate) fn add_prefetch(&self) {
        self.bump(6);
    }

    pub(crate) fn add_loop(&self) {
        self.bump(7);
    }

    pub(crate) fn add_closed(&self) {
        self.bump(8);
    }

    fn bump(&self, place: usize) {
        if let Some(count) = self.totals.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn type_index(qtype: Option<RecordType>) -> usize {
    match qtype {
        Some(RecordType::A) => 0,
        Some(RecordType::AAAA) => 1,
        Some(RecordType::SRV) => 2,
        Some(RecordType::PTR) => 3,
        Some(RecordType::CNAME) => 4,
        Some(RecordType::TXT) => 5,
        Some(RecordType::SOA) => 6,
        Some(RecordType::NS) => 7,
        Some(RecordType::MX) => 8,
        Some(RecordType::ANY) => 9,
        _ => 10,
    }
}

fn result_index(code: ResponseCode, empty: bool) -> usize {
    match code {
        ResponseCode::NoError if empty => 1,
        ResponseCode::NoError => 0,
        ResponseCode::NXDomain => 2,
        ResponseCode::ServFail => 3,
        ResponseCode::Refused => 4,
        ResponseCode::FormErr => 5,
        ResponseCode::NotImp => 6,
        ResponseCode::BADVERS => 7,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_names_its_own_count() {
        let counters = Counters::default();
        counters.add(Some(RecordType::ANY), ResponseCode::NoError, true);
        counters.add(Some(RecordType::ANY), ResponseCode::NoError, true);
        counters.add(None, ResponseCode::BADVERS, true);
        counters.add(Some(RecordType::SRV), ResponseCode::YXDomain, false);
        let counts: Vec<_> = counters.counts().into_iter().map(|c| (c.qtype, c.result, c.questions)).collect();
        assert_eq!(counts, [("SRV", "other", 1), ("ANY", "NODATA", 2), ("other", "BADVERS", 1)]);
    }

    #[test]
    fn an_answer_counts_in_the_bucket_of_its_time_and_source() {
        let counters = Counters::default();
        counters.observe(Source::Zone, Duration::from_micros(25));
        counters.observe(Source::Zone, Duration::from_micros(26));
        counters.observe(Source::Upstream, Duration::from_secs(60));
        let [zone, cache, upstream] = &counters.latencies()[..] else { panic!("three sources") };
        assert_eq!((zone.within[0], zone.within[1], zone.source), (1, 1, "zone"));
        assert_eq!(upstream.within.last(), Some(&1));
        assert!(cache.within.iter().all(|count| *count == 0) && (upstream.seconds - 60.0).abs() < 1e-9);
        for (bound, micros) in LATENCY_BOUNDS.iter().zip(BOUNDS_MICROS) {
            assert_eq!(Duration::from_secs_f64(*bound), Duration::from_micros(micros));
        }
        counters.add_loop();
        counters.add_closed();
        assert_eq!(counters.totals(), Totals { loops: 1, connections_closed: 1, ..Totals::default() });
    }
}
