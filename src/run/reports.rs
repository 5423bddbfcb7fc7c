//! Events about Services whose sockets cannot be had, as the rooms that miss them tell.

use tokio::sync::mpsc;

use crate::controller::{self, Facts, Report};
use crate::dataplane::health_check;
use crate::mdns;
use crate::model::{Kind, ObjectKey};
use crate::relay::Notice;
use crate::store::Store;

/// Notices that may wait to be written down; more are only in the log.
pub(super) const WAITING_MAX: usize = 64;

/// Writes them down, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub(super) store: Store,
    pub(super) facts: Facts,
}

impl Reporter {
    /// Those of health-check ports, in kube-proxy's words.
    pub(super) async fn checks(self, mut inbox: health_check::Reports) {
        while let Some(refused) = inbox.recv().await {
            let note = format!("node {} {}", self.facts.node_name, refused.note);
            self.warn(&refused.service, "kube-proxy", "FailedToStartServiceHealthcheck", note).await;
        }
    }

    /// Those of the relay.
    pub(super) async fn relay(self, mut inbox: mpsc::Receiver<Notice>) {
        while let Some(Notice { service, reason, note }) = inbox.recv().await {
            self.warn(&service, "edgesvc-relay", reason, note).await;
        }
    }

    /// Those of names on the LAN.
    pub(super) async fn lan(self, mut inbox: mpsc::Receiver<mdns::Notice>) {
        while let Some(mdns::Notice { service, reason, note }) = inbox.recv().await {
            self.warn(&service, "edgesvc-mdns", reason, note).await;
        }
    }

    async fn warn(&self, service: &ObjectKey, controller: &str, reason: &str, note: String) {
        let report = Report { controller, action: "Listen", reason, note };
        controller::warn(&self.store, &self.facts, Kind::Service, service, &report).await;
    }
}
