//! Case 16 and the TLS door: certificates and tokens name users, nobody is anonymous.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::Limits;
use super::client::{CONFIG_MAPS, DEADLINE, Harness, Reply, SERVICES};

/// An HTTP/2 connection over TLS.
pub(super) struct Remote {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    /// Ends with the connection.
    pub(super) connection: JoinHandle<()>,
}

/// A server with a TLS port.
pub(super) async fn server(limits: Limits) -> Harness {
    Harness::with(limits, Some(SocketAddr::from(([127, 0, 0, 1], 0)))).await
}

/// A TLS stream to the server, with the certificate `NAME.crt` of a directory or none.
async fn stream(api: &Harness, certificate: Option<(&Path, &str)>) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(api.dir.path().join("pki/ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match certificate {
        Some((dir, name)) => {
            let chain = vec![CertificateDer::from_pem_file(dir.join(format!("{name}.crt"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(api.address.unwrap()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

impl Remote {
    pub(super) async fn connect(api: &Harness, certificate: Option<(&Path, &str)>) -> Remote {
        Remote::with_window(api, certificate, None).await
    }

    /// The same with so many bytes of each answer taken before anybody reads it.
    pub(super) async fn with_window(api: &Harness, certificate: Option<(&Path, &str)>, window: Option<u32>) -> Remote {
        let stream = stream(api, certificate).await;
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                println!("the connection ended: {error}");
            }
        });
        Remote { sender, connection }
    }

    pub(super) async fn open(&mut self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        self.ask("GET", path, headers).await
    }

    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).unwrap();
        tokio::time::timeout(DEADLINE, self.sender.send_request(request)).await.unwrap().unwrap()
    }

    pub(super) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let (head, body) = self.open(path, headers).await.into_parts();
        let body = tokio::time::timeout(DEADLINE, body.collect()).await.unwrap().unwrap().to_bytes();
        Reply { code: head.status.as_u16(), headers: head.headers, body }
    }

    /// Waits until the connection is gone.
    pub(super) async fn ended(self) {
        tokio::time::timeout(DEADLINE, self.connection).await.expect("the connection ends").unwrap();
    }
}

fn status(code: u16, reason: &str, message: &str, details: Option<Value>) -> Value {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    if let Some(details) = details {
        status["details"] = details;
    }
    status
}

#[tokio::test]
async fn case_16_the_anonymous_see_health_and_version_only() {
    let api = server(Limits::default()).await;
    let mut nobody = Remote::connect(&api, None).await;
    let refused = nobody.get(SERVICES, &[]).await.expect(403);
    let message = "services is forbidden: User \"system:anonymous\" cannot list resource \"services\" in API group \"\" in the namespace \"default\"";
    assert_eq!(refused.json(), status(403, "Forbidden", message, Some(json!({"kind": "services"}))));
    for path in ["/version", "/healthz", "/livez", "/readyz"] {
        nobody.get(path, &[]).await.expect(200);
    }
    for path in ["/api", "/", "/metrics", "/livez/ping", "/nosuch", "/edgesvc/v1/tokens"] {
        let refused = nobody.get(path, &[]).await.expect(403);
        let message = format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"");
        assert_eq!(refused.json(), status(403, "Forbidden", &message, Some(json!({}))));
    }
    let pki = api.dir.path().join("pki");
    let list = Remote::connect(&api, Some((&pki, "admin"))).await.get(SERVICES, &[]).await.expect(200);
    assert_eq!(list.json()["kind"], "ServiceList");
    let kubeconfig = std::fs::read_to_string(api.dir.path().join("admin.kubeconfig")).unwrap();
    assert!(kubeconfig.contains(&format!("server: https://{}", api.address.unwrap())));
}

#[tokio::test]
async fn case_17_a_bad_token_is_401_even_where_nobody_needs_one() {
    let api = server(Limits::default()).await;
    let mut client = Remote::connect(&api, None).await;
    for path in ["/api", "/version", SERVICES] {
        let refused = client.get(path, &[("authorization", "Bearer nope")]).await.expect(401);
        assert_eq!(refused.json(), status(401, "Unauthorized", "Unauthorized", None));
    }
    let yaml =
        client.get("/api", &[("authorization", "Bearer nope"), ("accept", "application/yaml")]).await.expect(401);
    assert_eq!(yaml.header("content-type"), "application/yaml");
    client.get("/version", &[("authorization", "Basic YTpi")]).await.expect(200);
}

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_body() {
    let api = server(Limits::default()).await;
    let pki = api.dir.path().join("pki");
    let mut client = Remote::connect(&api, Some((&pki, "admin"))).await;
    let length = client.get("/version", &[]).await.body.len();
    let head = client.ask("HEAD", "/version", &[]).await;
    assert_eq!(head.headers()["content-length"], length.to_string());
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_not_ours_is_401() {
    let (api, other) = (server(Limits::default()).await, server(Limits::default()).await);
    let foreign = other.dir.path().join("pki");
    let mut client = Remote::connect(&api, Some((&foreign, "admin"))).await;
    for path in ["/api", "/version"] {
        client.get(path, &[]).await.expect(401);
    }
    let made = api.post("/edgesvc/v1/tokens", &json!({"name": "bob", "role": "view"})).await.expect(201).json();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    client.get("/api", &[("authorization", &bearer)]).await.expect(200);
}

#[tokio::test]
async fn a_token_has_its_role_until_it_is_deleted_and_its_watches_end() {
    let api = server(Limits { drain: Duration::from_millis(200), ..Limits::default() }).await;
    let tokens = "/edgesvc/v1/tokens";
    let made = api.post(tokens, &json!({"name": "bob", "role": "edit", "namespace": "default"})).await.expect(201);
    let made = made.json();
    assert_eq!(made["server"], format!("https://{}", api.address.unwrap()));
    assert!(made["certificateAuthority"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let bob = [("authorization", bearer.as_str())];
    api.post(tokens, &json!({"name": "bob", "role": "view"})).await.expect(409);
    let mut client = Remote::connect(&api, None).await;
    client.get(CONFIG_MAPS, &bob).await.expect(200);
    let refused = client.get("/api/v1/services", &bob).await.expect(403).json();
    assert_eq!(
        refused["message"],
        "services is forbidden: User \"bob\" cannot list resource \"services\" in API group \"\" at the cluster scope"
    );
    client.get("/api/v1/namespaces/default", &bob).await.expect(200);
    client.get(tokens, &bob).await.expect(403);
    let listed = api.get(tokens).await.expect(200);
    assert_eq!(listed.json()["items"][0]["namespace"], "default");
    assert!(!listed.text().contains("sha256") && !listed.text().contains(&bearer["Bearer ".len()..]));

    let watch = client.open(&format!("{CONFIG_MAPS}?watch=1"), &bob).await;
    assert_eq!(watch.status(), 200);
    api.delete(&format!("{tokens}/bob")).await.expect(200);
    let mut other = Remote::connect(&api, None).await;
    other.get(CONFIG_MAPS, &bob).await.expect(401);
    drop(tokio::time::timeout(DEADLINE, watch.into_body().collect()).await.expect("the watch ends"));
    client.ended().await;
    api.delete(&format!("{tokens}/bob")).await.expect(404);
}

#[tokio::test]
async fn tokens_survive_the_server_and_hashes_are_all_that_is_kept() {
    let api = Harness::start().await;
    let refused = api.post("/edgesvc/v1/tokens", &json!({"name": "bob", "role": "view"})).await.expect(400);
    assert!(refused.json()["message"].as_str().unwrap().contains("--listen"));
    let api = server(Limits::default()).await;
    let body = json!({"name": "eve", "role": "view", "expirationSeconds": 3600});
    let token = api.post("/edgesvc/v1/tokens", &body).await.expect(201).json()["token"].as_str().unwrap().to_owned();
    use std::os::unix::fs::PermissionsExt as _;
    let path = api.dir.path().join("tokens.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&path).unwrap().contains(&token));
    let again = super::super::kept::Kept::<super::super::tokens::Tokens>::open(api.dir.path());
    let now = crate::clock::now();
    assert_eq!(again.newest().find(&token, now).unwrap().name, "eve");
    assert!(again.newest().find(&token, now + Duration::from_secs(3601)).is_none());
}
