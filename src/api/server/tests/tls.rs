//! Case 16 and the TLS door: certificates name users, nobody is anonymous.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::Limits;
use super::client::{Harness, SERVICES};

/// GET over HTTP/2 and TLS, with the administrator's certificate or none.
async fn get(api: &Harness, path: &str, admin: bool) -> (u16, Value) {
    let pki = api.dir.path().join("pki");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = if admin {
        let chain = vec![CertificateDer::from_pem_file(pki.join("admin.crt")).unwrap()];
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(pki.join("admin.key")).unwrap()).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(api.address.unwrap()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://localhost{path}")).body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn case_16_the_anonymous_see_the_version_only() {
    let api = Harness::with(Limits::default(), Some(SocketAddr::from(([127, 0, 0, 1], 0)))).await;
    let (code, status) = get(&api, SERVICES, false).await;
    assert_eq!(code, 403);
    assert!(
        status["message"].as_str().unwrap().contains("User \"system:anonymous\" cannot list resource \"services\"")
    );
    assert_eq!(get(&api, "/version", false).await.0, 200);
    assert_eq!(get(&api, "/api", false).await.0, 403);
    let (code, list) = get(&api, SERVICES, true).await;
    assert_eq!((code, list["kind"].as_str()), (200, Some("ServiceList")));
    let kubeconfig = std::fs::read_to_string(api.dir.path().join("admin.kubeconfig")).unwrap();
    assert!(kubeconfig.contains(&format!("server: https://{}", api.address.unwrap())));
}
