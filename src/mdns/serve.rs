//! The loop around the machine: sockets, time, and what is wanted.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::link::{Link, links};
use super::packet::PACKET_BYTES_MAX;
use super::presence::{Moment, Outgoing};
use super::responder::{Arrival, Responder};
use super::socket::{Socket, readable};
use super::{Notice, Numbers, Options, Wanted};
use crate::model::{BoxAddresses, IpFamily, ObjectKey};

/// Packets of one socket that are read before anything else is looked at: a flood must not
/// keep what is due from being said.
const READ_MAX: usize = 64;
/// Pause before a socket is tried again that could not be had.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// What the loop is given.
#[derive(Debug)]
pub struct Inputs {
    /// What is told once.
    pub options: Options,
    /// What is wanted, as it changes.
    pub wanted: watch::Receiver<Wanted>,
    /// The box's addresses, as they change.
    pub addresses: watch::Receiver<BoxAddresses>,
    /// Where Services are told of names that others have.
    pub notices: mpsc::Sender<Notice>,
    /// What is counted.
    pub numbers: Numbers,
}

/// Serves the LAN until `stopped`, and then takes back what was said.
pub async fn serve(mut inputs: Inputs, stopped: impl Future<Output = ()>) {
    let mut server = Server {
        start: Instant::now(),
        responder: Responder::new(fastrand::Rng::new(), inputs.numbers.clone()),
        sockets: BTreeMap::new(),
        fault: None,
        retry: None,
    };
    tokio::pin!(stopped);
    server.follow(&mut inputs);
    let mut buffer = Vec::new();
    loop {
        let due = server.responder.next().map(|at| server.start + at);
        let wake = [due, server.retry].into_iter().flatten().min();
        tokio::select! {
            () = &mut stopped => break,
            changed = inputs.wanted.changed() => match changed {
                Ok(()) => server.follow(&mut inputs),
                Err(_) => break,
            },
            Ok(()) = inputs.addresses.changed() => server.follow(&mut inputs),
            () = readable(server.sockets.values()) => server.read(&mut buffer),
            () = sleep_until(wake.unwrap_or(server.start)), if wake.is_some() => {
                if server.retry.is_some_and(|at| at <= Instant::now()) {
                    server.follow(&mut inputs);
                }
            }
        }
        server.say(&inputs.notices);
    }
    server.responder.set_wanted(server.now(), &Wanted::new());
    server.say(&inputs.notices);
}

struct Server {
    start: Instant,
    responder: Responder,
    sockets: BTreeMap<(u32, IpFamily), Socket>,
    /// Why a socket is missing, as it was told last.
    fault: Option<String>,
    /// When missing sockets are tried again.
    retry: Option<Instant>,
}

impl Server {
    fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// Makes sockets and names follow what is wanted and the box's links.
    fn follow(&mut self, inputs: &mut Inputs) {
        let now = self.now();
        let wanted = inputs.wanted.borrow_and_update();
        let links = links(&inputs.addresses.borrow_and_update(), &inputs.options);
        self.retry = None;
        if wanted.is_empty() {
            self.responder.set_wanted(now, &wanted);
            // The last goodbyes, while there are sockets.
            self.send();
            self.sockets.clear();
            self.fault = None;
            self.responder.set_links(now, Vec::new());
            return;
        }
        let fault = self.open(&links);
        if fault.is_some() {
            self.retry = Some(Instant::now() + RETRY_PAUSE);
        }
        if let Some(why) = fault.as_ref().filter(|why| self.fault.as_ref() != Some(why)) {
            tracing::warn!(why, "not everything of the LAN can be answered; trying again");
            let told =
                |service: &ObjectKey| Notice { service: service.clone(), reason: "LinkUnserved", note: why.clone() };
            for notice in wanted.keys().map(told) {
                tell(&inputs.notices, notice);
            }
        }
        self.fault = fault;
        self.responder.set_links(now, links);
        self.responder.set_wanted(now, &wanted);
    }

    /// Opens the sockets of these links and closes others; answers what is missing.
    fn open(&mut self, links: &[Link]) -> Option<String> {
        let of = |index: u32| links.iter().find(|link| link.index == index);
        self.sockets
            .retain(|(index, family), socket| of(*index).is_some_and(|link| link.has(*family) && socket.serves(link)));
        let mut faults = Vec::new();
        for link in links {
            for family in link.families() {
                if self.sockets.contains_key(&(link.index, family)) {
                    continue;
                }
                match Socket::open(link, family) {
                    Ok(socket) => drop(self.sockets.insert((link.index, family), socket)),
                    Err(error) => faults.push(format!("cannot listen for mDNS on {} ({family}): {error}", link.name)),
                }
            }
        }
        (!faults.is_empty()).then(|| faults.join("; "))
    }

    /// Hears what has come.
    fn read(&mut self, buffer: &mut Vec<u8>) {
        let now = self.now();
        buffer.resize(PACKET_BYTES_MAX, 0);
        let Server { sockets, responder, retry, .. } = self;
        sockets.retain(|(link, family), socket| {
            for _ in 0..READ_MAX {
                match socket.receive(buffer) {
                    Ok((length, source)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        responder.receive(now, &Arrival { link: *link, family: *family, source, bytes });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // One that fails for good would be read for ever.
                    Err(error) => {
                        tracing::debug!(%error, link, "cannot read multicast DNS");
                        *retry = Some(Instant::now() + RETRY_PAUSE);
                        return false;
                    }
                }
            }
            true
        });
    }

    /// Says what is due.
    fn say(&mut self, notices: &mpsc::Sender<Notice>) {
        let now = self.now();
        if self.responder.next().is_some_and(|at| at <= now) {
            self.responder.wake(now);
        }
        for notice in self.responder.take_notices() {
            tracing::warn!(service = %notice.service, note = notice.note, "a name on the LAN");
            tell(notices, notice);
        }
        self.send();
    }

    fn send(&mut self) {
        for Outgoing { link, family, to, bytes } in self.responder.take_outgoing() {
            let Some(socket) = self.sockets.get(&(link, family)) else { continue };
            // What cannot leave at once is lost, as datagrams may be.
            if let Err(error) = socket.send(&bytes, to) {
                tracing::debug!(%error, link, "cannot send multicast DNS");
            }
        }
    }
}

fn tell(notices: &mpsc::Sender<Notice>, notice: Notice) {
    if notices.try_send(notice).is_err() {
        tracing::debug!("too many names are others' to report each");
    }
}
