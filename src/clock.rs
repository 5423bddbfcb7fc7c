//! Wall time: the one source of it, so that tests and devices without a clock
//! meet a single place.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::{datetime, format_description};

const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const MICROS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A clock before it is wrong: this program did not exist yet.
pub const BUILD_DATE: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// The present moment, in UTC.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// `metav1.Time`: RFC 3339, UTC, whole seconds.
pub fn rfc3339(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(SECONDS).unwrap_or_default()
}

/// `metav1.MicroTime`: RFC 3339, UTC, six decimals.
pub fn rfc3339_micro(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(MICROS).unwrap_or_default()
}
