//! The thread's loop: requests, turns, foreign changes of our tables, and the box's
//! links and routes.

use std::future::pending;
use std::io;
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::live::Order;
use super::netlink::batch::{kind, message};
use super::netlink::{Link, Message, attrs};
use super::table::{ANCHOR, TABLE, is_ours};
use super::worker::Worker;
use super::{Answer, DataplaneError, Report, Request};

/// `NFNLGRP_NFTABLES`
const TABLE_GROUP: u32 = 7;
/// `RTNLGRP_LINK`, and the routes of both families.
const LINK_GROUPS: [u32; 3] = [1, 7, 11];
/// Links and routes change in bursts: this long after the first notice we look.
const LINKS_SETTLE: Duration = Duration::from_millis(20);
/// Firewalls are rewritten in many steps: this long after the first notice we look.
const FIREWALLS_SETTLE: Duration = Duration::from_millis(20);

/// A socket that is told of changes; none where it cannot be had.
pub(super) struct Notices(Option<AsyncFd<Link>>);

impl Notices {
    /// Not asked for yet.
    fn none() -> Notices {
        Notices(None)
    }

    pub(super) fn open(protocol: isize, groups: &[u32]) -> Notices {
        let open = || -> io::Result<AsyncFd<Link>> {
            let link = Link::open(protocol)?;
            groups.iter().try_for_each(|group| link.join(*group))?;
            #[allow(deprecated, reason = "its successor is unsafe; a Link keeps one descriptor for its life")]
            AsyncFd::with_interest(link, tokio::io::Interest::READABLE)
        };
        Notices(open().inspect_err(|error| tracing::warn!(%error, "kernel changes are not watched")).ok())
    }

    /// With room for so many bytes that are not read yet.
    fn below(self, bytes: usize) -> Notices {
        let asked = self.0.as_ref().map_or(Ok(()), |socket| socket.get_ref().ask_for_receive_buffer(bytes));
        if let Err(error) = asked {
            tracing::debug!(%error, "the kernel gives notices another buffer");
        }
        self
    }

    /// What has been told since; an overrun counts as a message of unknown cause.
    pub(super) async fn next(&self) -> Option<Vec<Message>> {
        let Some(socket) = &self.0 else { return pending().await };
        let mut ready = socket.readable().await.ok()?;
        let (mut told, mut lost) = (Vec::new(), false);
        loop {
            match socket.get_ref().receive(MsgFlags::MSG_DONTWAIT) {
                Ok(Some(_)) if lost => {}
                Ok(Some(messages)) => told.extend(messages),
                Ok(None) => break,
                // Until all that waits is taken away the kernel drops more without a word.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => lost = true,
                Err(error) => {
                    tracing::debug!(%error, "kernel notices cannot be read");
                    return None;
                }
            }
        }
        ready.clear_ready();
        (!lost).then_some(told)
    }
}

/// Serves until every handle is gone.
pub(super) async fn serve(mut worker: Worker, mut inbox: mpsc::Receiver<Request>) {
    let mut tables = Notices::none();
    let routes = Notices::open(netlink_sys::protocols::NETLINK_ROUTE, &LINK_GROUPS);
    let mut addresses = worker.addresses();
    let mut turns = worker.orders();
    let mut converged = false;
    let mut firewalls_due = None;
    loop {
        tokio::select! {
            request = inbox.recv() => match request {
                Some(Request::Converge(contributions, answer)) => {
                    let report = worker.converge(&contributions).await;
                    let first = !converged && report.is_ok();
                    converged |= first;
                    reply(answer, report);
                    if first {
                        tables = watch_tables(&mut worker);
                        firewalls_due.get_or_insert_with(Instant::now);
                    }
                }
                Some(Request::Apply(changes, answer)) => reply(answer, worker.apply(&changes).await),
                Some(Request::Ranges(ranges, answer)) => reply(answer, worker.follow_ranges(ranges, converged).await),
                None => return,
            },
            order = ordered(&mut turns) => worker.write_turns(order),
            _ = addresses.changed() => {
                if converged && let Err(error) = worker.follow_addresses() {
                    tracing::warn!(%error, "a change of the box's addresses could not be followed");
                }
            }
            told = tables.next() => {
                let foreign = told.as_ref().is_none_or(|told| told.iter().any(|notice| is_foreign(notice, worker.port())));
                if converged && foreign {
                    repair(&mut worker);
                }
                if told.is_none_or(|told| told.iter().any(|notice| is_of_others(notice, worker.port()))) {
                    firewalls_due.get_or_insert_with(|| Instant::now() + FIREWALLS_SETTLE);
                }
            }
            () = until(worker.next_removal()) => {
                if let Err(error) = worker.remove_retired() {
                    tracing::warn!(%error, "chains that are not needed any more could not be removed");
                }
            }
            () = until(firewalls_due) => {
                firewalls_due = None;
                if converged {
                    worker.follow_firewalls();
                }
            }
            () = until(worker.next_retry()) => {
                if let Err(error) = worker.retry().await {
                    tracing::warn!(%error, "Services that the kernel refused could not be tried again");
                }
            }
            _ = routes.next() => {
                tokio::time::sleep(LINKS_SETTLE).await;
                if converged && let Err(error) = worker.follow_links().await {
                    tracing::warn!(%error, "a change of links or routes could not be followed");
                }
            }
        }
    }
}

async fn ordered(turns: &mut Option<mpsc::Receiver<Order>>) -> Order {
    match turns {
        // The other end is the worker's own as well.
        Some(turns) => match turns.recv().await {
            Some(order) => order,
            None => pending().await,
        },
        None => pending().await,
    }
}

/// Only once they are made: the kernel writes a message of some kilobytes for every element,
/// to us too, and the first install of 10,000 Services would take several times as long.
fn watch_tables(worker: &mut Worker) -> Notices {
    let notices = Notices::open(netlink_sys::protocols::NETLINK_NETFILTER, &[TABLE_GROUP]);
    let notices = notices.below(worker.hear_buffer_bytes());
    // Whoever may change them can have done so before we listened.
    if !worker.is_guarded() {
        repair(worker);
    }
    notices
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}

fn reply(answer: Answer, report: Result<Report, DataplaneError>) {
    if answer.send(report).is_err() {
        tracing::debug!("nobody waits for the dataplane's answer");
    }
}

fn is_foreign(notice: &Message, own_port: u32) -> bool {
    // Every nf_tables object but the generation names its table first.
    let table = attrs::text(notice.body.get(4..).unwrap_or_default(), 1);
    notice.port != own_port && matches!(table, Some(TABLE | ANCHOR))
}

/// Whether chains or rules of somebody else changed.
fn is_of_others(notice: &Message, own_port: u32) -> bool {
    let table = attrs::text(notice.body.get(4..).unwrap_or_default(), 1);
    let changed = [message::NEWCHAIN, message::DELCHAIN, message::NEWRULE, message::DELRULE];
    notice.port != own_port
        && table.is_some_and(|table| !is_ours(table))
        && changed.iter().any(|message| notice.kind == kind(*message))
}

fn repair(worker: &mut Worker) {
    match worker.restore() {
        Ok(Report { operations: 0, .. }) => {}
        Ok(Report { operations, .. }) => tracing::warn!(operations, "somebody changed our tables, they are repaired"),
        Err(error) => tracing::error!(%error, "somebody changed our tables, and they could not be repaired"),
    }
    if !worker.is_guarded() {
        tracing::debug!("tables of this kernel have no owner");
    }
}
