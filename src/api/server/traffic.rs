//! The answers of one connection: whether they are taken, and whether there are any.
//!
//! Over HTTP/2 a client can leave an answer unread while its connection looks well,
//! by granting that stream no window: nothing is then written, so nothing stalls at
//! the socket. Each answer therefore says when it gave out bytes and when it was
//! asked for more; one that is not asked in time ends the connection. A connection
//! without any answer in the making ends after a while too, because each costs
//! memory and one of the places others wait for.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::credential::{Credential, Known};
use super::share::Held;
use super::stream::AnswerBody;

/// Tokens one connection may use: more than one client renews while it has it. Each
/// is looked up anew at every change; whoever speaks for many gets a new connection.
const CREDENTIALS_MAX: usize = 64;

/// How a connection ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its client leaves an answer unread.
    Unread,
    /// It asks nothing.
    Idle,
    /// The token it used is worth nothing any more.
    Revoked,
    /// It used as many tokens as it may.
    Crowded,
}

/// What happens on one connection.
#[derive(Debug)]
pub(super) struct Traffic {
    state: Mutex<State>,
    /// A deadline came that may be earlier than the one waited for.
    earlier: Notify,
    /// A token came: what it rests on is to be watched from now on.
    used: Notify,
    unread_max: Duration,
    idle_max: Duration,
}

#[derive(Debug)]
struct State {
    next: u64,
    live: usize,
    /// Answers whose last bytes were not asked to be followed yet, since when.
    unread: BTreeMap<u64, Instant>,
    idle_since: Instant,
    /// The tokens requests came with, and when each stops being good.
    credentials: Vec<(Credential, Option<Instant>)>,
    /// Since when there are too many of them.
    crowded: Option<Instant>,
}

impl Traffic {
    pub(super) fn new(unread_max: Duration, idle_max: Duration) -> Arc<Traffic> {
        let (unread, idle_since) = (BTreeMap::new(), Instant::now());
        let state = State { next: 0, live: 0, unread, idle_since, credentials: Vec::new(), crowded: None };
        let (earlier, used) = (Notify::new(), Notify::new());
        Arc::new(Traffic { state: Mutex::new(state), earlier, used, unread_max, idle_max })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request came.
    pub(super) fn begin(self: &Arc<Traffic>) -> Exchange {
        let id = self.with(|state| {
            state.live += 1;
            state.next += 1;
            state.next
        });
        Exchange { traffic: Arc::clone(self), id }
    }

    /// A request came with a token: whether it may be used here.
    pub(super) fn uses(&self, credential: &Credential, now: OffsetDateTime) -> bool {
        let left = credential.expires().map(|expires| Duration::try_from(expires - now).unwrap_or_default());
        let until = left.and_then(|left| Instant::now().checked_add(left));
        let (fits, new) = self.with(|state| {
            if state.credentials.iter().any(|(used, _)| used.is(credential)) {
                return (true, false);
            }
            if state.credentials.len() >= CREDENTIALS_MAX {
                state.crowded.get_or_insert_with(Instant::now);
                return (false, true);
            }
            state.credentials.push((credential.clone(), until));
            (true, true)
        });
        if new {
            self.used.notify_one();
        }
        if new && (until.is_some() || !fits) {
            self.earlier.notify_one();
        }
        fits
    }

    /// Waits for a request with a token that was not used here before.
    pub(super) async fn used(&self) {
        self.used.notified().await;
    }

    /// Whether a token of a ServiceAccount was used here: those rest on objects.
    pub(super) fn rests_on_objects(&self) -> bool {
        self.with(|state| state.credentials.iter().any(|(used, _)| matches!(used, Credential::Account(_))))
    }

    /// Whether every token used here is still good.
    pub(super) fn is_good(&self, known: &Known<'_>, now: OffsetDateTime) -> bool {
        self.with(|state| state.credentials.iter().all(|(credential, _)| known.holds(credential, now)))
    }

    /// Waits until the connection should end. Wakes for deadlines only.
    pub(super) async fn ended(&self) -> End {
        loop {
            let Some((at, why)) = self.with(|state| state.deadline(self.unread_max, self.idle_max)) else {
                self.earlier.notified().await;
                continue;
            };
            if at <= Instant::now() {
                return why;
            }
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}

impl State {
    /// The first of the deadlines.
    fn deadline(&self, unread_max: Duration, idle_max: Duration) -> Option<(Instant, End)> {
        let unread = self.unread.values().min().map(|since| (*since + unread_max, End::Unread));
        let idle = (self.live == 0).then(|| (self.idle_since + idle_max, End::Idle));
        let revoked = self.credentials.iter().filter_map(|(_, until)| *until).min().map(|at| (at, End::Revoked));
        let crowded = self.crowded.map(|at| (at, End::Crowded));
        [unread, idle, revoked, crowded].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// One request and its answer, until the answer is out.
#[derive(Debug)]
pub(super) struct Exchange {
    traffic: Arc<Traffic>,
    id: u64,
}

impl Exchange {
    /// Bytes were given out.
    fn gave(&self) {
        let first = self.traffic.with(|state| {
            state.unread.insert(self.id, Instant::now());
            state.unread.len() == 1
        });
        if first {
            self.traffic.earlier.notify_one();
        }
    }

    /// More is asked for: what was given out is taken.
    fn asked(&self) {
        self.traffic.with(|state| state.unread.remove(&self.id));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let idle = self.traffic.with(|state| {
            state.unread.remove(&self.id);
            state.live = state.live.saturating_sub(1);
            if state.live == 0 {
                state.idle_since = Instant::now();
            }
            state.live == 0
        });
        if idle {
            self.traffic.earlier.notify_one();
        }
    }
}

/// An answer's body with what its request holds, all of it until the last byte is
/// out: a client that reads slowly uses up its own share.
pub(super) struct Tracked {
    body: AnswerBody,
    exchange: Exchange,
    _held: Vec<Held>,
}

impl Tracked {
    pub(super) fn new(body: AnswerBody, exchange: Exchange, held: Vec<Held>) -> Tracked {
        Tracked { body, exchange, _held: held }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.exchange.asked();
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(Some(_))) {
            self.exchange.gave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREAD: Duration = Duration::from_secs(60);
    const IDLE: Duration = Duration::from_secs(90);

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_ends_and_a_waiting_answer_does_not() {
        let traffic = Traffic::new(UNREAD, IDLE);
        let begun = Instant::now();
        assert_eq!(traffic.ended().await, End::Idle);
        assert_eq!(begun.elapsed(), IDLE);
        let traffic = Traffic::new(UNREAD, IDLE);
        let watch = traffic.begin();
        watch.gave();
        watch.asked();
        assert!(tokio::time::timeout(100 * IDLE, traffic.ended()).await.is_err());
        drop(watch);
        assert_eq!(traffic.ended().await, End::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn one_unread_answer_among_many_ends_the_connection() {
        let traffic = Traffic::new(UNREAD, IDLE);
        let (read, unread) = (traffic.begin(), traffic.begin());
        let begun = Instant::now();
        let reader = async {
            tokio::time::sleep(UNREAD / 2).await;
            unread.gave();
            loop {
                read.gave();
                tokio::time::sleep(UNREAD / 2).await;
                read.asked();
            }
        };
        let end = tokio::select! {
            end = traffic.ended() => end,
            () = reader => End::Idle,
        };
        assert_eq!(end, End::Unread);
        assert_eq!(begun.elapsed(), UNREAD / 2 + UNREAD);
    }
}
