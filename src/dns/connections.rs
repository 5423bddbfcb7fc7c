//! The TCP connections there are: bounded in all and for each client, so that ten
//! thousand of one client's neither fill the memory nor keep others out.
//!
//! Always true: a new connection always gets a place; when there is none, the one
//! that has been idle longest gives up its own, among the newcomer's if it has too
//! many, else among all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::counters::Counters;

/// Open connections, over all addresses: more than one box's programs need, and
/// with their buffers a few megabytes.
const CONNECTIONS_MAX: usize = 256;
/// Of these, of one client's address: what stands behind a NAT of containers.
const CLIENT_CONNECTIONS_MAX: usize = 64;

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Connections {
    held: Mutex<Held>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    by_id: BTreeMap<u64, Seat>,
}

#[derive(Debug)]
struct Seat {
    peer: IpAddr,
    used: Instant,
    close: Arc<Notify>,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    close: Arc<Notify>,
}

impl Connections {
    pub(crate) fn new(counters: Arc<Counters>) -> Connections {
        Connections { held: Mutex::default(), counters }
    }

    /// A place for a connection of `peer`.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Place {
        let mut held = self.held();
        let own = held.by_id.values().filter(|seat| seat.peer == peer).count();
        let crowded = own >= CLIENT_CONNECTIONS_MAX;
        if crowded || held.by_id.len() >= CONNECTIONS_MAX {
            let idle = held.by_id.iter().filter(|(_, seat)| !crowded || seat.peer == peer);
            if let Some(id) = idle.min_by_key(|(_, seat)| seat.used).map(|(id, _)| *id)
                && let Some(seat) = held.by_id.remove(&id)
            {
                seat.close.notify_one();
                self.counters.add_closed();
            }
        }
        let (id, close) = (held.next, Arc::new(Notify::new()));
        held.next += 1;
        held.by_id.insert(id, Seat { peer, used: Instant::now(), close: Arc::clone(&close) });
        Place { connections: Arc::clone(self), id, close }
    }

    /// Open connections.
    pub(crate) fn count(&self) -> usize {
        self.held().by_id.len()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection asked something.
    pub(crate) fn used(&self) {
        if let Some(seat) = self.connections.held().by_id.get_mut(&self.id) {
            seat.used = Instant::now();
        }
    }

    /// Waits until the place is needed by another.
    pub(crate) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.held().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_closed(place: &Place) -> bool {
        place.closed().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_gives_up_its_place() {
        let connections = Arc::new(Connections::new(Arc::default()));
        let peer = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        let first = connections.enter(peer(0));
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let others: Vec<_> = (1..CONNECTIONS_MAX).map(|n| connections.enter(peer(n % 200))).collect();
        first.used();
        assert_eq!(connections.count(), CONNECTIONS_MAX);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        first.used();
        let newcomer = connections.enter(peer(250));
        assert_eq!(others.iter().filter(|place| is_closed(place)).count(), 1);
        assert!(!is_closed(&first) && !is_closed(&newcomer));
        drop((first, newcomer, others));
        assert_eq!(connections.count(), 0);
    }

    #[tokio::test]
    async fn a_client_with_too_many_connections_closes_its_own() {
        let connections = Arc::new(Connections::new(Arc::default()));
        let (greedy, modest): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let other = connections.enter(modest);
        let all: Vec<_> = (0..10_000).map(|_| connections.enter(greedy)).collect();
        assert_eq!(connections.count(), CLIENT_CONNECTIONS_MAX + 1);
        assert!(!is_closed(&other));
        assert_eq!(all.iter().filter(|place| is_closed(place)).count(), 10_000 - CLIENT_CONNECTIONS_MAX);
    }
}
