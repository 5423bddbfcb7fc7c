//! A collection of Services kept equal to the server's, through lost connections
//! and restarts of the server.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::watch::Sender;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::args::Server;
use super::super::client::{Ask, AskError, Refusal, whole};
use super::super::connect;
use super::super::exit::{Code, Failure};
use super::super::output;
use super::services::{Collection, Event, Services, list};

/// The first pause after a fault; each next one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause: a server that is back is noticed within it.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The server ends a watch after this, and we list again.
const WATCH_SECONDS: u64 = 300;
/// A watch that outlives its end by this is a connection nobody tells us is dead.
const OVERDUE_SECONDS_MAX: u64 = 30;
/// Bytes of one watch event: an object is at most 3 MiB, and escapes may double it.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Keeps the collection's part of `state` equal to the server's; never ends by itself.
pub(super) async fn follow(server: Server, collection: Collection, state: Sender<Services>) {
    let mut pauses = Pauses::default();
    let mut told = false;
    loop {
        let began = Instant::now();
        match round(&server, &collection, &state, &mut told).await {
            Ok(()) => {}
            Err(failure) if told => drop(failure),
            Err(failure) => {
                told = true;
                output::note(&format!("edgesvc env: {failure}; the file stays as it is, trying again"));
            }
        }
        sleep(pauses.next(began.elapsed())).await;
    }
}

/// How long to wait before the next try.
#[derive(Debug, Default)]
struct Pauses {
    last: Duration,
}

impl Pauses {
    /// `lived`: how long the last try went well. One that lived long starts over.
    fn next(&mut self, lived: Duration) -> Duration {
        self.last = if lived > PAUSE_MAX { PAUSE_MIN } else { (self.last * 2).clamp(PAUSE_MIN, PAUSE_MAX) };
        self.last
    }
}

/// Lists and follows the changes, until the watch ends in one way or another.
async fn round(
    server: &Server,
    collection: &Collection,
    state: &Sender<Services>,
    told: &mut bool,
) -> Result<(), Failure> {
    let mut client = connect(server).await?;
    let (services, revision) = list(&mut client, collection).await?;
    state.send_if_modified(|known| collection.replace(known, services));
    let query = format!("watch=true&resourceVersion={revision}&timeoutSeconds={WATCH_SECONDS}");
    let response = client.send(Ask::get(&collection.path(&query))).await?;
    let status = response.status();
    if !status.is_success() {
        let bytes = whole(response.into_body()).await?;
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        return Err(AskError::Refused(Refusal::of(status, value, &bytes)).into());
    }
    if std::mem::take(told) {
        output::note("edgesvc env: connected again");
    }
    let mut lines = Lines { body: response.into_body(), rest: Vec::new() };
    let deadline = Instant::now() + Duration::from_secs(WATCH_SECONDS + OVERDUE_SECONDS_MAX);
    loop {
        let line = timeout_at(deadline, lines.next()).await;
        let line = line.map_err(|_| Failure::new(Code::Unreachable, "the watch does not end"))??;
        let Some(line) = line else { return Ok(()) };
        match Event::read(&line)? {
            Event::There(key, service) => state.send_modify(|known| drop(known.insert(key, *service))),
            Event::Gone(key) => state.send_modify(|known| drop(known.remove(&key))),
            Event::Bookmark => {}
            // Mostly 410: the list that follows is the remedy.
            Event::Ended(_) => return Ok(()),
        }
    }
}

/// The lines of a stream.
struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; none when the stream has ended.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.rest.drain(..=end).collect()));
            }
            if self.rest.len() > EVENT_BYTES_MAX {
                return Err(Failure::new(Code::Io, format!("a watch event is larger than {EVENT_BYTES_MAX} bytes")));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| Failure::from_error(Code::Unreachable, "the watch broke off", &error))?;
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_over_after_a_good_while() {
        let mut pauses = Pauses::default();
        let short = Duration::ZERO;
        let grown: Vec<u128> = (0..8).map(|_| pauses.next(short).as_millis()).collect();
        assert_eq!(grown, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pauses.next(Duration::from_secs(60)), PAUSE_MIN);
    }
}
