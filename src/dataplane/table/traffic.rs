//! The chains that count every packet of Services, where that is asked for. Pure.

use super::expr::{Expr, Verdict};
use super::layout::{Chain, Words, base, chain, goto, is, joined, l4proto, original_dport, translated};
use super::set::SetName;
use crate::model::{IpFamily, Protocol};

/// How long a count outlives its last packet.
const TRAFFIC_SECONDS: u64 = 3_600;

/// Every packet of a translated connection, once: on its way out, or in where it
/// is for the box. Links of the box to itself see it on both, and are counted out.
pub(super) fn counting(w: Words) -> [Chain; 3] {
    let n = w.words();
    let (source, v6) = (Expr::CtReply { key: 19, word: n + 2 }, Expr::CtReply { key: 21, word: n + 2 });
    let answerer = if w.0 == IpFamily::V4 { source } else { v6 };
    let rule = |protocol: Protocol| {
        vec![
            l4proto(0),
            is(0, &[protocol.number()]),
            w.original_daddr(0),
            l4proto(n),
            original_dport(n + 1),
            answerer.clone(),
            Expr::CtReply { key: 11, word: 2 * n + 2 },
            Expr::Count { set: SetName::Traffic.as_str(), key: 0, timeout_ms: TRAFFIC_SECONDS * 1000 },
        ]
    };
    let count = joined([translated(false), vec![goto("traffic-count")]]);
    let from_lo = vec![Expr::Meta { key: 4, word: 0 }, is(0, &1u32.to_ne_bytes()), Expr::Verdict(Verdict::Return)];
    [
        chain("traffic-count", [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(rule).to_vec()),
        base("traffic-out", "filter", 4, 95, vec![count.clone()]),
        base("traffic-in", "filter", 1, 5, vec![from_lo, count]),
    ]
}
