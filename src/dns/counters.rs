//! How many questions of which type had which result, for /metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

/// The types counted by name; the last stands for all others.
const TYPES: [&str; 11] = ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "NS", "MX", "ANY", "other"];
/// The results counted by name; the last stands for all other codes.
const RESULTS: [&str; 9] =
    ["NOERROR", "NODATA", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "BADVERS", "other"];

/// Counts of answered questions by type and result. Shared by every listener.
#[derive(Debug, Default)]
pub struct Counters {
    counts: [[AtomicU64; RESULTS.len()]; TYPES.len()],
    forwarded: AtomicU64,
    noise: AtomicU64,
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
    pub fn counts(&self) -> Vec<Count> {
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

    /// Questions that went upstream, answered from the cache or not.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Packets that got no answer: too short, or responses.
    pub fn noise(&self) -> u64 {
        self.noise.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, qtype: Option<RecordType>, code: ResponseCode, empty: bool) {
        let (row, column) = (type_index(qtype), result_index(code, empty));
        if let Some(count) = self.counts.get(row).and_then(|row| row.get(column)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_forwarded(&self) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_noise(&self) {
        self.noise.fetch_add(1, Ordering::Relaxed);
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
}
