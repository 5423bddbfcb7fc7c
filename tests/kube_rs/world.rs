//! A test outside starts a world and the daemon, and itself again inside.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};

use crate::support::{Edgesvc, NODE, Output, World};

/// The administrator's kubeconfig; set for the test inside.
const KUBECONFIG: &str = "EDGESVC_TEST_KUBECONFIG";

/// Longer than anything a test waits for takes.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Runs `body` with a client in a world where edgesvc runs; `name` is the test's own.
#[track_caller]
pub(crate) fn in_world<F: Future<Output = ()>>(name: &str, body: impl FnOnce(Client) -> F) {
    let Some(path) = std::env::var_os(KUBECONFIG) else {
        let world = World::new();
        let edgesvc = Edgesvc::start(&world);
        let exe = std::env::current_exe().unwrap();
        let mut inside = world.command(NODE, exe.to_str().unwrap());
        inside.args([name, "--exact", "--nocapture"]).env(KUBECONFIG, edgesvc.home.path("data/admin.kubeconfig"));
        // A client goes through no proxy to the loopback.
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            inside.env_remove(proxy);
        }
        let said = Output::of(inside, "");
        assert!(said.code == 0 && said.stdout.contains("1 passed"), "{}{}", said.stdout, said.stderr);
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        assert_eq!(config.cluster_url.scheme_str(), Some("https"));
        let client = Client::try_from(config).unwrap();
        tokio::time::timeout(2 * SOON, body(client)).await.expect("the test ends");
    });
}

/// The Status of a request that must be refused.
#[track_caller]
pub(crate) fn refused<T: Debug>(answer: kube::Result<T>) -> Status {
    match answer {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("not refused with a Status: {other:?}"),
    }
}

/// What `future` gives, or the end of the test when it takes too long.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move { tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("not within {SOON:?}: {caller}")) }
}

pub(crate) fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("a".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    }
}
