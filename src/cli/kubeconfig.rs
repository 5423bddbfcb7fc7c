//! A kubeconfig's context as an address and a TLS client: server,
//! authority, client certificate or token. Other ways to authenticate (exec,
//! auth-provider) are refused by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

use super::exit::{Code, Failure};
use crate::manifest::yaml;

/// Bytes of a kubeconfig: certificates of a few clusters fit many times.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where to connect and who to be.
pub(super) struct Target {
    /// `host:port`.
    pub(super) authority: String,
    /// The name the server's certificate must have.
    pub(super) server_name: ServerName<'static>,
    /// Trust and client certificate.
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// A bearer token.
    pub(super) token: Option<String>,
    /// The context's namespace.
    pub(super) namespace: Option<String>,
}

/// Reads a context, the current one unless another is named. Of several files the
/// first that knows a name says what it means, as kubectl merges them.
pub(super) fn read(paths: &[PathBuf], context: Option<&str>) -> Result<Target, Failure> {
    let files: Vec<File> = paths.iter().map(|path| File::open(path)).collect::<Result<_, _>>()?;
    let Some(first) = files.first() else { return Err(Failure::new(Code::Usage, "no kubeconfig is named")) };
    let current = files.iter().find_map(|file| file.value.get("current-context").and_then(Value::as_str));
    let name = context.or_else(|| current.filter(|name| !name.is_empty()));
    let name = name.ok_or_else(|| first.refuse("current-context is missing: say --context"))?;
    let (file, context) = named(&files, "contexts", "context", name)?;
    let (cluster_file, cluster) = named(&files, "clusters", "cluster", file.text(context, "cluster")?)?;
    let (user_file, user) = named(&files, "users", "user", file.text(context, "user")?)?;
    let namespace = context.get("namespace").and_then(Value::as_str).filter(|name| !name.is_empty());
    let mut target = cluster_file.target(cluster, user_file, user)?;
    target.namespace = namespace.map(str::to_owned);
    Ok(target)
}

/// The entry of a name in a list, and the file it stands in.
fn named<'f>(files: &'f [File], list: &str, member: &str, name: &str) -> Result<(&'f File, &'f Value), Failure> {
    let found = files.iter().find_map(|file| Some((file, file.entry(list, member, name)?)));
    found.ok_or_else(|| {
        let paths: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
        Failure::new(Code::Usage, format!("{}: {list}: no {name:?}", paths.join(":")))
    })
}

struct File {
    path: PathBuf,
    value: Value,
}

impl File {
    fn open(path: &Path) -> Result<File, Failure> {
        let fault = |error: &dyn std::error::Error| Failure::from_error(Code::Io, &path.display().to_string(), error);
        let size = std::fs::metadata(path).map_err(|error| fault(&error))?.len();
        if size > FILE_BYTES_MAX {
            return Err(Failure::new(Code::Usage, format!("{}: larger than {FILE_BYTES_MAX} bytes", path.display())));
        }
        let bytes = std::fs::read(path).map_err(|error| fault(&error))?;
        let parsed = yaml::from_slice(&bytes).map_err(|error| {
            Failure::new(Code::Usage, format!("{}:{}: {}", path.display(), error.place.line, error.message))
        })?;
        Ok(File { path: path.to_path_buf(), value: parsed.value })
    }

    fn refuse(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(Code::Usage, format!("{}: {what}", self.path.display()))
    }

    fn target(&self, cluster: &Value, user_file: &File, user: &Value) -> Result<Target, Failure> {
        if let Some(way) = ["exec", "auth-provider", "username"].into_iter().find(|way| user.get(way).is_some()) {
            return Err(
                user_file.refuse(format!("user.{way} is not supported here: use a client certificate or a token"))
            );
        }
        let server = self.text(cluster, "server")?;
        let rest =
            server.strip_prefix("https://").ok_or_else(|| self.refuse("cluster.server must begin with https://"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        let authority = if has_port(authority) { authority.to_owned() } else { format!("{authority}:443") };
        let host = cluster.get("tls-server-name").and_then(Value::as_str).unwrap_or_else(|| host_of(&authority));
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| self.refuse(format!("cluster.server: {host:?} is no host name")))?;
        let token = user.get("token").and_then(Value::as_str).map(str::to_owned);
        Ok(Target {
            authority,
            server_name,
            tls: Arc::new(self.tls(cluster, user_file, user)?),
            token,
            namespace: None,
        })
    }

    fn tls(&self, cluster: &Value, user_file: &File, user: &Value) -> Result<rustls::ClientConfig, Failure> {
        if cluster.get("insecure-skip-tls-verify").and_then(Value::as_bool) == Some(true) {
            return Err(self.refuse("cluster.insecure-skip-tls-verify is not supported: give certificate-authority"));
        }
        let mut roots = rustls::RootCertStore::empty();
        let authority = self.bytes(cluster, "certificate-authority")?;
        let authority = authority.ok_or_else(|| self.refuse("cluster.certificate-authority-data is missing"))?;
        for certificate in CertificateDer::pem_slice_iter(&authority) {
            let certificate = certificate.map_err(|error| self.refuse(format!("certificate-authority: {error}")))?;
            roots.add(certificate).map_err(|error| self.refuse(format!("certificate-authority: {error}")))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::from_error(Code::Bug, "TLS", &error))?
            .with_root_certificates(roots);
        let (certificate, key) = (user_file.bytes(user, "client-certificate")?, user_file.bytes(user, "client-key")?);
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(builder.with_no_client_auth()) };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| self.refuse(format!("client-certificate: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| self.refuse(format!("client-key: {error}")))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| self.refuse(format!("client-certificate: {error}")))
    }

    /// `<member>-data`, or the file `<member>` names, relative to the kubeconfig.
    fn bytes(&self, parent: &Value, member: &str) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(data) = parent.get(format!("{member}-data")).and_then(Value::as_str) {
            return STANDARD.decode(data).map(Some).map_err(|error| self.refuse(format!("{member}-data: {error}")));
        }
        let Some(name) = parent.get(member).and_then(Value::as_str) else { return Ok(None) };
        let path = self.path.parent().unwrap_or_else(|| Path::new(".")).join(name);
        std::fs::read(&path)
            .map(Some)
            .map_err(|error| Failure::from_error(Code::Io, &path.display().to_string(), &error))
    }

    fn text<'a>(&self, parent: &'a Value, member: &str) -> Result<&'a str, Failure> {
        parent.get(member).and_then(Value::as_str).ok_or_else(|| self.refuse(format!("{member} is missing")))
    }

    fn entry(&self, list: &str, member: &str, name: &str) -> Option<&Value> {
        let entries = self.value.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
        entry.and_then(|entry| entry.get(member))
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !authority.ends_with(']')
}

/// The host of a URL's part behind `https://`.
pub(super) fn host(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    if has_port(authority) { host_of(authority) } else { authority.trim_start_matches('[').trim_end_matches(']') }
}

fn host_of(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
