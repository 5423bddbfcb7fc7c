//! The firewalls of others, as far as packets of Services have to pass them.

use std::collections::BTreeSet;

use super::super::firewalls::{self, Site};
use super::super::netlink::batch::commit;
use super::super::table::{ChainName, Edit, Hooked};
use super::Worker;
use crate::model::IpFamily;

/// The chain that marks packets of Services for firewalls of others.
const MARKS: ChainName = ChainName::Hooked(Hooked::MarkForwarded);

impl Worker {
    /// Lets packets of Services pass the firewalls there are.
    pub(in crate::dataplane) fn follow_firewalls(&mut self) {
        let bit = self.options.forward_mark;
        let (sites, marking) = self.firewalls();
        self.mark(marking);
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

    /// The firewalls there are, and in which families they may look at our mark.
    pub(super) fn firewalls(&mut self) -> (Vec<Site>, BTreeSet<IpFamily>) {
        let sites = firewalls::read(&mut self.nft);
        let sites = sites.inspect_err(|error| tracing::warn!(%error, "firewalls could not be looked at"));
        let sites = sites.unwrap_or_default();
        let marks = |family: &IpFamily| self.options.forward_mark.is_some() && firewalls::are_met(&sites, *family);
        let marking = IpFamily::BOTH.into_iter().filter(marks).collect();
        (sites, marking)
    }

    /// Marks packets of Services in these families, and in no other.
    fn mark(&mut self, now: BTreeSet<IpFamily>) {
        let mut edit = Edit::default();
        for family in IpFamily::BOTH {
            edit.chain(family, MARKS, self.marking.contains(&family), now.contains(&family));
        }
        if std::mem::replace(&mut self.marking, now.clone()) == now {
            return;
        }
        if let Err(error) = self.settle(&mut edit) {
            tracing::warn!(%error, "packets of Services may not be marked");
        }
    }

    /// The chains that mark.
    pub(super) fn marks(&self) -> impl Iterator<Item = (IpFamily, ChainName)> {
        self.marking.iter().map(|family| (*family, MARKS))
    }
}
