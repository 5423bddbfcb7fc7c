//! Applying over several connections at once: the store gathers waiting writes
//! into one commit, so that a thousand manifests need not wait for a thousand.
//! Results come back in the order of the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::apply::{self, Options};
use super::args::Server;
use super::client::{Answer, AskError, Client};
use super::exit::{Code, Failure};
use super::manifests::Manifest;
use crate::model::Kind;

/// Connections of one command: enough to fill a commit, few enough for a small box.
const CONNECTIONS_MAX: usize = 8;
/// Manifests that make a further connection worth its while.
const MANIFESTS_PER_CONNECTION: usize = 4;

/// What everybody at work knows.
pub(super) struct Plan {
    pub(super) manifests: Vec<Manifest>,
    pub(super) options: Options,
}

/// What became of one manifest: kubectl's word for it and the object.
pub(super) type Outcome = Result<(&'static str, Answer), AskError>;

/// Connects as often as so many manifests are worth.
pub(super) async fn launch(server: &Server, manifests: usize) -> Result<Vec<Client>, Failure> {
    let wanted = manifests.div_ceil(MANIFESTS_PER_CONNECTION).clamp(1, CONNECTIONS_MAX);
    let mut clients = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        clients.push(super::connect(server).await?);
    }
    Ok(clients)
}

/// Manifests that may be under way together. Whatever stands in a namespace waits
/// for the namespace, and an object that is named twice is as it is named last.
pub(super) fn waves(manifests: &[Manifest]) -> Vec<Range<usize>> {
    let mut waves = Vec::new();
    let mut start = 0;
    let mut seen = BTreeSet::new();
    for (index, manifest) in manifests.iter().enumerate() {
        let again = !seen.insert((manifest.kind, &manifest.namespace, &manifest.name));
        if (again || manifest.kind == Kind::Namespace) && start < index {
            waves.push(start..index);
            start = index;
            seen = BTreeSet::from([(manifest.kind, &manifest.namespace, &manifest.name)]);
        }
        if manifest.kind == Kind::Namespace {
            waves.push(index..index + 1);
            start = index + 1;
            seen.clear();
        }
    }
    if start < manifests.len() {
        waves.push(start..manifests.len());
    }
    waves
}

/// Applies one wave and tells each outcome in its order. The first failure, of a
/// connection or of the telling, ends it: what is under way is finished, nothing
/// more is begun.
pub(super) async fn wave(
    clients: &mut Vec<Client>,
    plan: &Arc<Plan>,
    range: Range<usize>,
    mut tell: impl FnMut(usize, Outcome) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(range.start));
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    let mut crew = JoinSet::new();
    let hands = clients.len().min(range.len());
    for client in clients.drain(..hands) {
        crew.spawn(work(client, Arc::clone(plan), Arc::clone(&next), range.end, sender.clone()));
    }
    drop(sender);
    let mut early = BTreeMap::new();
    let mut expected = range.start;
    let mut result = Ok(());
    while let Some((index, outcome)) = outcomes.recv().await {
        early.insert(index, outcome);
        while let Some(outcome) = early.remove(&expected) {
            result = result.and_then(|()| tell(expected, outcome));
            expected += 1;
        }
        if result.is_err() {
            next.store(range.end, Ordering::Relaxed);
        }
    }
    while let Some(joined) = crew.join_next().await {
        clients.push(joined.map_err(|error| Failure::from_error(Code::Bug, "apply", &error))?);
    }
    result
}

/// Takes one manifest after another until none is left or the connection fails.
async fn work(
    mut client: Client,
    plan: Arc<Plan>,
    next: Arc<AtomicUsize>,
    end: usize,
    outcomes: mpsc::UnboundedSender<(usize, Outcome)>,
) -> Client {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(manifest) = plan.manifests.get(index).filter(|_| index < end) else { return client };
        let outcome = apply::one(&mut client, manifest, &plan.options).await;
        let failed = matches!(outcome, Err(AskError::Failed(_)));
        if outcomes.send((index, outcome)).is_err() || failed {
            return client;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn manifests(kinds: &[(Kind, &str)]) -> Vec<Manifest> {
        let document = manifest::read("f", b"a: 1").unwrap().remove(0);
        let of = |(kind, name): &(Kind, &str)| Manifest {
            document: document.clone(),
            kind: *kind,
            namespace: None,
            name: (*name).to_owned(),
        };
        kinds.iter().map(of).collect()
    }

    #[test]
    fn a_namespace_is_there_before_what_stands_in_it() {
        use Kind::{Namespace, Pod, Service};
        let waves = |kinds: &[(Kind, &str)]| super::waves(&manifests(kinds));
        assert_eq!(waves(&[(Service, "a"), (Service, "b"), (Pod, "a"), (Namespace, "n")]), [0..3, 3..4]);
        assert_eq!(waves(&[(Namespace, "n"), (Service, "a"), (Namespace, "m"), (Pod, "a")]), [0..1, 1..2, 2..3, 3..4]);
        assert_eq!(waves(&[(Service, "a"), (Service, "a"), (Service, "b")]), [0..1, 1..3]);
        assert_eq!(waves(&[(Namespace, "n"), (Namespace, "n")]), [0..1, 1..2]);
        assert!(waves(&[]).is_empty());
    }
}
