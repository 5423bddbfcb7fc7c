//! What systemd's watchdog is fed on: that the store's writer lives, that the
//! kernel's thread is not stuck, and that DNS answers.
//!
//! What a restart does not mend is no reason to be restarted: a full disk or a
//! kernel that refuses a change shows in `/readyz`, and the rest goes on.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::dns;
use crate::store::Store;

/// How long one transaction may take; ten thousand Services take a fraction of a second.
const KERNEL_BUSY_MAX: Duration = Duration::from_secs(20);
/// How long DNS may take to answer a question about itself.
const DNS_ANSWER_MAX: Duration = Duration::from_secs(3);

/// Looks at the rooms.
pub(super) struct Watchdog {
    pub(super) store: Store,
    /// Since when the kernel works on a change.
    pub(super) kernel: watch::Receiver<Option<Instant>>,
    /// Where DNS answers and for which domain.
    pub(super) dns: Option<(SocketAddr, String)>,
}

impl Watchdog {
    /// Why we should be restarted, if we should.
    pub(super) async fn failure(&self) -> Option<String> {
        if !self.store.is_running() {
            return Some("the store's writer has ended".to_owned());
        }
        let busy = self.kernel.borrow().map(|since| since.elapsed());
        if let Some(busy) = busy.filter(|busy| *busy > KERNEL_BUSY_MAX) {
            return Some(format!("the kernel has not answered for {} s", busy.as_secs()));
        }
        let (at, domain) = self.dns.as_ref()?;
        match timeout(DNS_ANSWER_MAX, dns::probe(*at, domain)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("DNS on {at}: {error}")),
            Err(_) => Some(format!("DNS on {at} does not answer")),
        }
    }
}
