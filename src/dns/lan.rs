//! Where the LAN is answered: listeners that follow the box's addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::listen::ListenError;
use super::server::{Gate, Listener, Shared};
use super::upstream::Own;
use crate::model::{BoxAddress, BoxAddresses, ListenPlace};

/// Addresses listened on: far above what the links of a box have, and a bound for
/// descriptors where one is given addresses without end.
const ADDRESSES_MAX: usize = 64;

/// The listeners of the LAN.
#[derive(Debug)]
pub(super) struct Lan {
    places: Vec<ListenPlace>,
    addresses: watch::Receiver<BoxAddresses>,
    /// Where the box itself is answered; not to be opened again.
    local: Vec<SocketAddr>,
    /// Those, and where the LAN is answered now.
    own: watch::Sender<Vec<SocketAddr>>,
    /// Opened at the start, not yet serving.
    opened: BTreeMap<SocketAddr, Listener>,
    /// Places that were said to be without an address.
    vacant: BTreeSet<ListenPlace>,
}

impl Lan {
    /// Opens what the box has now; `local` is listened on already. Answers our own
    /// addresses too, as they change.
    pub(super) fn open(gate: &Gate, local: &[SocketAddr]) -> Result<(Lan, Own), ListenError> {
        let addresses = gate.addresses.borrow().clone();
        let opened = wanted(&gate.listen, &addresses, local);
        let (own, owned) = watch::channel(own(local, &opened));
        let open = |addr: SocketAddr| Ok((addr, Listener::open(addr)?));
        let mut lan = Lan {
            places: gate.listen.clone(),
            addresses: gate.addresses.clone(),
            local: local.to_vec(),
            own,
            opened: opened.into_iter().map(open).collect::<Result<_, ListenError>>()?,
            vacant: BTreeSet::new(),
        };
        lan.tell(&addresses);
        Ok((lan, owned))
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.opened.values()
    }

    /// Serves for ever, wherever the box has an address of ours.
    pub(super) async fn serve(mut self, shared: Shared) {
        let serve = |listener: Listener| {
            let mut task = JoinSet::new();
            task.spawn(listener.serve(shared.clone()));
            task
        };
        let opened = std::mem::take(&mut self.opened);
        // Dropping its set ends a listener and all it started.
        let mut serving: BTreeMap<SocketAddr, JoinSet<()>> =
            opened.into_iter().map(|(addr, listener)| (addr, serve(listener))).collect();
        while self.addresses.changed().await.is_ok() {
            let addresses = self.addresses.borrow_and_update().clone();
            let wanted = wanted(&self.places, &addresses, &self.local);
            serving.retain(|addr, _| wanted.contains(addr));
            for addr in &wanted {
                serving.entry(*addr).or_insert_with(|| {
                    tracing::info!(%addr, "DNS answers the LAN at another address");
                    serve(Listener::closed(*addr))
                });
            }
            self.own.send_replace(own(&self.local, &wanted));
            self.tell(&addresses);
        }
        std::future::pending::<()>().await;
    }

    /// Says once of a place that the box has no address there, and once that it has.
    fn tell(&mut self, addresses: &[BoxAddress]) {
        for place in &self.places {
            let is_vacant = !addresses.iter().any(|one| place.admits(one.addr, &one.link));
            if is_vacant && self.vacant.insert(place.clone()) {
                tracing::warn!(%place, "the box has no address there: DNS answers the LAN as soon as one comes");
            } else if !is_vacant && self.vacant.remove(place) {
                tracing::info!(%place, "the box has an address there: DNS answers the LAN");
            }
        }
    }
}

/// Where to listen. Pure.
fn wanted(places: &[ListenPlace], addresses: &[BoxAddress], local: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let of = |place: &ListenPlace| match place {
        // Opened while the box does not have it (IP_FREEBIND): the kernel hands us the
        // first packet, before any notice could.
        ListenPlace::Address(at) => vec![*at],
        ListenPlace::Link { .. } => {
            let there = addresses.iter().filter(|one| place.admits(one.addr, &one.link));
            there.map(|one| place.on(one)).filter(|at| !local.contains(at)).collect()
        }
    };
    places.iter().flat_map(of).take(ADDRESSES_MAX).collect()
}

fn own(local: &[SocketAddr], lan: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
    local.iter().chain(lan).copied().collect()
}
