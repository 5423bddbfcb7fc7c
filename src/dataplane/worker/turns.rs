//! Turns of frontends whose connections go by how many are open, as they are ordered.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use super::super::kernel;
use super::super::live::{Order, Write};
use super::super::netlink::batch::{Op, commit};
use super::super::table::{Data, Edit, live_chains, live_slot};
use super::Worker;

impl Worker {
    /// Where orders come from; there is one.
    pub(in crate::dataplane) fn orders(&mut self) -> Option<mpsc::Receiver<Order>> {
        self.live.orders()
    }

    /// Makes the kernel begin at the first turn of every frontend that moves: which is
    /// known then, and with it all that its connections take.
    pub(super) fn restarts(&self, edit: &Edit) -> Vec<Op> {
        let made: BTreeSet<_> = edit.chains_added().collect();
        let moved = edit.moved().filter_map(|(_, after)| after);
        let chains = moved.flat_map(|frontend| {
            let family = frontend.addr.family();
            live_chains(frontend).into_iter().map(move |name| (family, name))
        });
        let kept = chains.filter(|chain| !made.contains(chain));
        kept.flat_map(|(family, name)| kernel::restart_chain(family, name, &self.options)).collect()
    }

    /// Writes turns in one transaction. What was ordered for a frontend that has moved
    /// since is left out: its move wrote others.
    pub(in crate::dataplane) fn write_turns(&mut self, order: Order) {
        let mut ops = Vec::new();
        for write in order.writes.iter().filter(|write| self.live.admits(write)) {
            let Some(frontend) = self.book.frontends().get(write.frontend) else { continue };
            let family = frontend.addr.family();
            let restarted = live_chains(frontend).into_iter().filter(|_| write.restart);
            ops.extend(restarted.flat_map(|name| kernel::restart_chain(family, name, &self.options)));
            ops.extend(kernel::edit_ops(&edit(write), &self.options));
        }
        // What the kernel holds is not known, and will be made right.
        let sent = if self.unsettled { Ok(false) } else { self.commit(|nft| commit(nft, &ops)).map(|()| true) };
        if let Err(error) = &sent {
            tracing::debug!(%error, "the kernel refused turns; they are written again");
        }
        order.answer(sent.unwrap_or(false));
    }
}

/// Whatever the slots hold is replaced.
fn edit(write: &Write) -> Edit {
    let mut edit = Edit::default();
    for (number, endpoint) in &write.slots {
        let (slot, data) = live_slot(write.frontend, *number, *endpoint);
        edit.element(slot, Some(Data::Nothing), Some(data));
    }
    edit
}
