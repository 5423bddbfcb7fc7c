//! The firewalls of others, as far as packets of Services have to pass them.

use std::collections::BTreeSet;

use super::super::firewalls::{self, Site};
use super::super::netlink::batch::commit;
use super::super::table::{ChainName, Edit};
use super::Worker;
use crate::model::IpFamily;

impl Worker {
    /// Lets packets of Services pass the firewalls there are.
    pub(in crate::dataplane) fn follow_firewalls(&mut self) {
        let bit = self.options.forward_mark;
        // What cannot be looked at stays as it is.
        let Some(sites) = self.firewalls() else { return };
        self.mark(firewalls::marking(&sites, &self.options));
        let closed: BTreeSet<String> = sites.iter().filter(|site| site.is_out_of_reach()).map(Site::at).collect();
        for chain in closed.difference(&self.closed).filter(|_| bit.is_some()) {
            tracing::warn!(chain, "a firewall drops what is forwarded, and only its owner can change that");
        }
        self.closed = closed;
        for site in sites {
            let steps = site.steps(bit);
            if steps.is_empty() {
                continue;
            }
            // A chain of somebody else may be gone again: the next notice tells.
            match commit(&mut self.nft, &site.ops(&steps, bit.unwrap_or_default())) {
                Ok(()) => tracing::info!(chain = site.at(), ?steps, "our rule in a firewall of somebody else"),
                Err(error) => tracing::warn!(%error, chain = site.at(), "packets of Services may be dropped there"),
            }
        }
    }

    /// The firewalls there are; none, and a warning, where they cannot be looked at.
    fn firewalls(&mut self) -> Option<Vec<Site>> {
        let sites = firewalls::read(&mut self.nft);
        sites.inspect_err(|error| tracing::warn!(%error, "firewalls could not be looked at")).ok()
    }

    /// Which chains are to mark, before the tables are made or taken over.
    pub(super) fn foresee_marks(&mut self) {
        if let Some(sites) = self.firewalls() {
            self.marking = firewalls::marking(&sites, &self.options);
        }
    }

    /// Marks packets of Services by these chains, and by no other.
    fn mark(&mut self, now: BTreeSet<(IpFamily, ChainName)>) {
        if self.marking == now {
            return;
        }
        let before = std::mem::replace(&mut self.marking, now);
        let mut edit = Edit::default();
        for chain in before.union(&self.marking) {
            edit.chain(chain.0, chain.1, before.contains(chain), self.marking.contains(chain));
        }
        if let Err(error) = self.settle(&mut edit) {
            tracing::warn!(%error, "packets of Services may not be marked");
        }
    }
}
