//! DNS over TLS to upstreams (RFC 7858): whom we believe. A server is what it
//! says only if an authority of the system's, or of the file the user names,
//! certifies the name the user gave; there is no mode without that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::remote::Upstream;

/// Where distributions keep the certificates of authorities.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why DNS over TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No authorities to believe.
    #[error(
        "{server}: no certificates of authorities in {looked}: install ca-certificates, or name a file with --dns-ca-file"
    )]
    Authorities {
        /// The upstream that needs them.
        server: String,
        /// Where they were looked for.
        looked: String,
    },
    /// Not a name a certificate can carry.
    #[error("{server}: {name:?} is no name of a server")]
    Name {
        /// The upstream.
        server: String,
        /// The name.
        name: String,
    },
    /// rustls refuses its own defaults.
    #[error("TLS: {0}")]
    Provider(#[from] rustls::Error),
}

/// What connections to these upstreams need; none if none of them uses TLS.
pub(crate) fn connector<'u>(
    upstreams: impl Iterator<Item = &'u Upstream>,
    ca_file: Option<&Path>,
) -> Result<Option<TlsConnector>, TlsError> {
    let mut first = None;
    for upstream in upstreams {
        let Some(name) = &upstream.tls else { continue };
        if ServerName::try_from(name.as_str()).is_err() {
            return Err(TlsError::Name { server: upstream.to_string(), name: name.clone() });
        }
        first.get_or_insert_with(|| upstream.to_string());
    }
    let Some(server) = first else { return Ok(None) };
    let files = ca_file.map_or_else(|| BUNDLES.map(PathBuf::from).to_vec(), |path| vec![path.to_owned()]);
    let mut roots = rustls::RootCertStore::empty();
    for path in &files {
        let bytes = std::fs::read(path).unwrap_or_default();
        // Bundles hold certificates of forms that rustls does not read.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
        if !roots.is_empty() {
            break;
        }
    }
    if roots.is_empty() {
        let looked: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        return Err(TlsError::Authorities { server, looked: looked.join(", ") });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}
