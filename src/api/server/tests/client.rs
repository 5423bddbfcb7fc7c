//! A server in a directory of its own, and a client of its socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::{Limits, Options, Server, Settings};
use crate::api::kinds::Rules;
use crate::store::Store;

/// Longer than anything a test waits for takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Default namespace's Services.
pub(super) const SERVICES: &str = "/api/v1/namespaces/default/services";
/// Default namespace's ConfigMaps.
pub(super) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A running server.
pub(super) struct Harness {
    pub(super) dir: tempfile::TempDir,
    pub(super) address: Option<SocketAddr>,
    /// The store behind it, to write as other rooms do.
    pub(super) store: Store,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: JoinHandle<()>,
    /// The faults handed over to be reported.
    pub(super) reported: Reported,
}

/// An answer, read whole.
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
        values.collect::<Vec<_>>().join(" | ")
    }

    /// Asserts the code, showing the body when it is another.
    pub(super) fn expect(self, code: u16) -> Reply {
        assert_eq!(self.code, code, "{}", self.text());
        self
    }
}

pub(super) fn rules() -> Rules {
    Rules {
        service_ranges: vec!["10.43.0.0/16".parse().unwrap()],
        node_ports: 30_000..=32_767,
        cluster_dns: vec!["10.43.0.10".parse().unwrap()],
        external_ip_cidrs: vec!["198.51.100.0/24".parse().unwrap()],
    }
}

pub(super) type Reported = Arc<std::sync::Mutex<Vec<String>>>;

fn reporter(reported: &Reported) -> super::super::ReportFaults {
    let reported = Arc::clone(reported);
    Arc::new(move |faults| {
        reported.lock().unwrap().extend(faults.iter().map(ToString::to_string));
        Box::pin(std::future::ready(()))
    })
}

impl Harness {
    pub(super) async fn start() -> Harness {
        Harness::with(Limits::default(), None).await
    }

    /// A server with a namespace `default` in it.
    pub(super) async fn with(limits: Limits, listen: Option<SocketAddr>) -> Harness {
        Harness::within(tempfile::tempdir().unwrap(), limits, listen).await
    }

    /// A server that finds a data directory as somebody left it.
    pub(super) async fn prepared(leave: impl FnOnce(&std::path::Path)) -> Harness {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path());
        Harness::within(dir, Limits::default(), None).await
    }

    async fn within(dir: tempfile::TempDir, limits: Limits, listen: Option<SocketAddr>) -> Harness {
        let store = Store::in_memory().unwrap();
        let (stop, shutdown) = watch::channel(false);
        let reported = Reported::default();
        let options = Options {
            socket: dir.path().join("edgesvc.sock"),
            socket_group: None,
            listen,
            metrics_listen: None,
            data_dir: dir.path().to_owned(),
            hostname: "box".to_owned(),
            service_ips: vec!["10.43.0.1".parse().unwrap()],
            cluster_domain: "cluster.local".to_owned(),
            rules: rules(),
            limits,
            checks: Arc::new(Vec::new),
            metrics: Arc::new(|| "# none\n".to_owned()),
            kernel: Arc::new(|question| Ok(serde_json::json!({ "lines": [format!("{question:?}")] }))),
            settings: Settings::from([("listen", "none".to_owned())]),
            report_faults: reporter(&reported),
        };
        let server = Server::bind(options, store.clone(), shutdown).await.unwrap();
        let address = server.address();
        let task = tokio::spawn(server.run());
        let harness = Harness { dir, address, store, stop, task, reported };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
        harness.post("/api/v1/namespaces", &namespace).await.expect(201);
        harness
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("edgesvc.sock")
    }

    /// Sends a request and gives the answer's head with its body still to come.
    pub(super) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response<Incoming> {
        let stream = UnixStream::connect(self.socket()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        tokio::time::timeout(DEADLINE, sender.send_request(request)).await.unwrap().unwrap()
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let response = self.open(method, path, headers, body.into()).await;
        let (head, incoming) = response.into_parts();
        let body = tokio::time::timeout(DEADLINE, incoming.collect()).await.unwrap().unwrap().to_bytes();
        Reply { code: head.status.as_u16(), headers: head.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub(super) async fn accept(&self, path: &str, accept: &str) -> Reply {
        self.send("GET", path, &[("accept", accept)], Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(super) async fn merge(&self, path: &str, patch: &Value) -> Reply {
        self.send("PATCH", path, &[("content-type", "application/merge-patch+json")], patch.to_string()).await
    }

    pub(super) async fn apply(&self, path: &str, object: &Value) -> Reply {
        self.send("PATCH", path, &[("content-type", "application/apply-patch+yaml")], object.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], Bytes::new()).await
    }

    pub(super) async fn config_map(&self, name: &str) -> Value {
        self.post(CONFIG_MAPS, &config_map(name)).await.expect(201).json()
    }

    pub(super) async fn service(&self, name: &str) -> Value {
        self.post(SERVICES, &service(name)).await.expect(201).json()
    }

    pub(super) async fn watch(&self, path: &str) -> Events {
        let response = self.open("GET", path, &[], Bytes::new()).await;
        assert_eq!(response.status().as_u16(), 200);
        Events { incoming: response.into_body(), pending: Vec::new() }
    }
}

/// The events of a watch, as they come.
pub(super) struct Events {
    incoming: Incoming,
    pending: Vec<u8>,
}

impl Events {
    /// The next event, or none when the stream ended.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(DEADLINE, self.incoming.frame()).await.expect("an event in time");
            match frame {
                Some(frame) => self.pending.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                None => return None,
            }
        }
    }

    /// Type and name of the next event.
    pub(super) async fn next_named(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event before the end");
        let text = |path| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/type"), text("/object/metadata/name"))
    }
}

pub(super) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub(super) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]},
    })
}

pub(super) fn causes(status: &Value) -> Vec<(String, String)> {
    let list = status.pointer("/details/causes").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |cause: &Value, member: &str| cause[member].as_str().unwrap_or_default().to_owned();
    list.iter().map(|cause| (text(cause, "reason"), text(cause, "field"))).collect()
}
