//! Waiting for a condition with a deadline; nothing sleeps for a fixed time.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `condition` holds; false when it did not within `limit`.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Looks until `look` gives `Ok`; panics with the last refusal after `limit`.
#[track_caller]
pub(crate) fn eventually<T>(limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(value) => return value,
            Err(why) if Instant::now() >= deadline => panic!("not within {limit:?}: {why}"),
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}
