//! The box's own certificates: a CA made at first start, the server's and the
//! administrator's certificates signed by it, and `admin.kubeconfig`. What is
//! found is used again; what is expired, from the future, of another key or
//! short of a name is issued anew in place (design section 5).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::private_file;
use crate::model::role::MASTERS;

/// Certificates count from here, so that a device whose clock starts in the past
/// of its first start but after the build still trusts them.
pub(super) use crate::clock::BUILD_DATE;
/// How long what we issue is good for. Long, because nobody renews certificates
/// on a box in a cabinet; a start re-issues them in time.
const LIFETIME: Duration = Duration::days(3650);
/// The CA outlives what it signs.
const CA_LIFETIME: Duration = Duration::days(7300);
/// Certificates with less than this left are issued anew at start.
const RENEW_BEFORE: Duration = Duration::days(90);
/// More than any certificate or key of ours has.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why there are no certificates to serve with.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or certificate could not be made.
    #[error("cannot issue the {what} certificate: {source}")]
    Issue {
        /// Whose.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// Freshly written PEM cannot be read: the file system lied.
    #[error("{}: not a PEM file", .0.display())]
    Pem(PathBuf),
}

/// What the certificates are for.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) data_dir: PathBuf,
    /// Where the API answers.
    pub(super) listen: SocketAddr,
    pub(super) hostname: String,
    /// The address of Service default/kubernetes of each family.
    pub(super) service_ips: Vec<IpAddr>,
}

/// What the TLS listener needs.
pub(super) struct Pki {
    pub(super) ca: CertificateDer<'static>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// The CA as PEM, for kubeconfigs.
    pub(super) ca_pem: String,
    /// What the server's certificate calls this box.
    pub(super) names: Vec<String>,
    /// From when to when all certificates are good, with time left to renew them.
    pub(super) good: (OffsetDateTime, OffsetDateTime),
}

/// A certificate and its key as PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// Finds or makes everything under `DATA-DIR/pki` and writes `admin.kubeconfig`. Blocking.
pub(super) fn prepare(subject: &Subject, now: OffsetDateTime) -> Result<Pki, PkiError> {
    let dir = subject.data_dir.join("pki");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|source| PkiError::File { path: dir.clone(), source })?;
    let ca = authority(&dir, now)?;
    let params = server_params(subject);
    let names = params.subject_alt_names.iter().filter_map(plain_name).collect();
    let server = leaf(&dir, "server", &ca, now, params)?;
    let admin = leaf(&dir, "admin", &ca, now, admin_params())?;
    let kubeconfig = kubeconfig(subject.listen, &ca.certificate, &admin);
    write(&subject.data_dir.join("admin.kubeconfig"), kubeconfig.as_bytes())?;
    let pem = |_| PkiError::Pem(dir.clone());
    let good = [&ca, &server, &admin].into_iter().map(|pair| good(&pair.certificate));
    let good = good.reduce(|all, one| (all.0.max(one.0), all.1.min(one.1))).unwrap_or((now, now));
    Ok(Pki {
        ca: CertificateDer::from_pem_slice(ca.certificate.as_bytes()).map_err(pem)?,
        chain: vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).map_err(pem)?],
        key: PrivateKeyDer::from_pem_slice(server.key.as_bytes()).map_err(pem)?,
        ca_pem: ca.certificate,
        names,
        good,
    })
}

/// From when to when a certificate is good, less [`RENEW_BEFORE`].
fn good(certificate: &str) -> (OffsetDateTime, OffsetDateTime) {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok();
    let parsed = der.as_ref().and_then(|der| X509Certificate::from_der(der).ok());
    // What cannot be read is good at no time.
    parsed.map_or((OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH), |(_, parsed)| {
        let validity = parsed.validity();
        (validity.not_before.to_datetime(), validity.not_after.to_datetime() - RENEW_BEFORE)
    })
}

fn plain_name(name: &SanType) -> Option<String> {
    match name {
        SanType::DnsName(name) => Some(name.as_str().to_owned()),
        SanType::IpAddress(ip) => Some(ip.to_string()),
        _ => None,
    }
}

/// The CA. Its key is kept when only its certificate ran out, and its name follows
/// from the key: whoever trusts an older certificate trusts what is issued now.
fn authority(dir: &Path, now: OffsetDateTime) -> Result<Pair, PkiError> {
    let stored = read_pair(dir, "ca")?;
    if let Some(pair) = &stored
        && usable(&pair.certificate, &pair.key, now, None, &[])
    {
        return Ok(Pair { certificate: pair.certificate.clone(), key: pair.key.clone() });
    }
    let issue = |source| PkiError::Issue { what: "CA", source };
    let key = match stored.as_ref().and_then(|pair| KeyPair::from_pem(&pair.key).ok()) {
        Some(key) => key,
        None => KeyPair::generate().map_err(issue)?,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, authority_name(&key));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    validity(&mut params, now, CA_LIFETIME, stored.as_ref());
    let certificate = params.self_signed(&key).map_err(issue)?;
    let pair = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
    write_pair(dir, "ca", &pair)?;
    Ok(pair)
}

/// A name of this key alone, so that leaves of another CA are told apart.
fn authority_name(key: &KeyPair) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, key.public_key_raw());
    hash.as_ref().iter().take(16).fold("edgesvc-ca@".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

fn leaf(
    dir: &Path,
    what: &'static str,
    ca: &Pair,
    now: OffsetDateTime,
    mut params: CertificateParams,
) -> Result<Pair, PkiError> {
    let stored = read_pair(dir, what)?;
    if let Some(pair) = &stored
        && usable(&pair.certificate, &pair.key, now, Some(&ca.certificate), &params.subject_alt_names)
    {
        return Ok(Pair { certificate: pair.certificate.clone(), key: pair.key.clone() });
    }
    let issue = |source| PkiError::Issue { what, source };
    let ca_key = KeyPair::from_pem(&ca.key).map_err(issue)?;
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate, ca_key).map_err(issue)?;
    let key = KeyPair::generate().map_err(issue)?;
    validity(&mut params, now, LIFETIME, stored.as_ref());
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(issue)?;
    let pair = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
    write_pair(dir, what, &pair)?;
    Ok(pair)
}

fn validity(params: &mut CertificateParams, now: OffsetDateTime, lifetime: Duration, stored: Option<&Pair>) {
    // A clock before the build date is wrong, but the only one there is. Not before
    // 1970: TLS knows no earlier time.
    params.not_before = if now < BUILD_DATE { OffsetDateTime::UNIX_EPOCH } else { BUILD_DATE };
    // A clock that was lost must not shorten what clients with a right one rely on.
    let before = stored.map_or(OffsetDateTime::UNIX_EPOCH, |pair| good(&pair.certificate).1 + RENEW_BEFORE);
    params.not_after = (BUILD_DATE.max(now) + lifetime).max(before);
}

fn server_params(subject: &Subject) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "edgesvc");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let names = ["localhost", &subject.hostname, "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let names = names.into_iter().chain(["kubernetes.default.svc.cluster.local"]);
    for name in names.filter(|name| !name.is_empty()) {
        if let Ok(name) = name.to_owned().try_into() {
            params.subject_alt_names.push(SanType::DnsName(name));
        }
    }
    let own = [subject.listen.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    for ip in own.iter().chain(&subject.service_ips).filter(|ip| !ip.is_unspecified()) {
        let san = SanType::IpAddress(*ip);
        if !params.subject_alt_names.contains(&san) {
            params.subject_alt_names.push(san);
        }
    }
    params
}

fn admin_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, MASTERS);
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Whether a stored certificate is still good: in force for a while, of its key,
/// issued by our CA and carrying every name needed.
fn usable(certificate: &str, key: &str, now: OffsetDateTime, ca: Option<&str>, names: &[SanType]) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(certificate.as_bytes()) else { return false };
    let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return false };
    let Ok(key) = KeyPair::from_pem(key) else { return false };
    let issuer_matches = ca.is_none_or(|ca| {
        let Ok(ca) = CertificateDer::from_pem_slice(ca.as_bytes()) else { return false };
        X509Certificate::from_der(&ca).is_ok_and(|(_, ca)| ca.subject().as_raw() == parsed.issuer().as_raw())
    });
    let validity = parsed.validity();
    validity.not_before.to_datetime() <= now
        && validity.not_after.to_datetime() - RENEW_BEFORE > now
        && *parsed.public_key().subject_public_key.data == *key.public_key_raw()
        && issuer_matches
        && names.iter().all(|name| carries(&parsed, name))
}

fn carries(certificate: &X509Certificate<'_>, wanted: &SanType) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match (name, wanted) {
        (GeneralName::DNSName(have), SanType::DnsName(want)) => *have == want.as_str(),
        (GeneralName::IPAddress(have), SanType::IpAddress(IpAddr::V4(want))) => **have == want.octets(),
        (GeneralName::IPAddress(have), SanType::IpAddress(IpAddr::V6(want))) => **have == want.octets(),
        _ => false,
    })
}

fn kubeconfig(listen: SocketAddr, ca: &str, admin: &Pair) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let server = reachable(listen);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: edgesvc\n\
         clusters:\n- name: edgesvc\n  cluster:\n    server: https://{server}\n    certificate-authority-data: {}\n\
         users:\n- name: admin\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
         contexts:\n- name: edgesvc\n  context:\n    cluster: edgesvc\n    user: admin\n",
        encode(ca),
        encode(&admin.certificate),
        encode(&admin.key)
    )
}

/// Where this box itself reaches what listens there.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn read_pair(dir: &Path, what: &str) -> Result<Option<Pair>, PkiError> {
    let certificate = read(&dir.join(format!("{what}.crt")))?;
    let key = read(&dir.join(format!("{what}.key")))?;
    Ok(key.map(|key| Pair { certificate: certificate.unwrap_or_default(), key }))
}

fn read(path: &Path) -> Result<Option<String>, PkiError> {
    // Larger is not ours, whatever it is: issue anew.
    let found = private_file::read(path, FILE_BYTES_MAX).map_err(|source| fault(path, source))?;
    Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn write_pair(dir: &Path, what: &str, pair: &Pair) -> Result<(), PkiError> {
    // The key first: a crash between the two leaves a certificate of another key, which is issued anew.
    write(&dir.join(format!("{what}.key")), pair.key.as_bytes())?;
    write(&dir.join(format!("{what}.crt")), pair.certificate.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    private_file::write(path, bytes).map_err(|source| fault(path, source))
}

fn fault(path: &Path, source: io::Error) -> PkiError {
    PkiError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::server::WebPkiClientVerifier;

    use time::macros::datetime;

    use super::*;

    fn subject(dir: &Path) -> Subject {
        Subject {
            data_dir: dir.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 6443)),
            hostname: "box".to_owned(),
            service_ips: vec![IpAddr::from([10, 43, 0, 1])],
        }
    }

    fn der(pki: &Pki) -> Vec<u8> {
        pki.chain[0].to_vec()
    }

    #[test]
    fn certificates_are_used_again_across_starts() {
        let dir = tempfile::tempdir().unwrap();
        let now = datetime!(2026-06-01 00:00 UTC);
        let first = prepare(&subject(dir.path()), now).unwrap();
        let second = prepare(&subject(dir.path()), now + Duration::days(365)).unwrap();
        assert_eq!(der(&first), der(&second));
        assert_eq!(first.ca, second.ca);
        for file in ["pki/ca.key", "pki/server.key", "pki/admin.key", "admin.kubeconfig"] {
            let mode = fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn certificates_that_do_not_serve_are_issued_anew_under_the_same_ca() {
        let dir = tempfile::tempdir().unwrap();
        let now = datetime!(2026-06-01 00:00 UTC);
        let first = prepare(&subject(dir.path()), now).unwrap();
        let mut moved = subject(dir.path());
        moved.listen = SocketAddr::from(([192, 0, 2, 7], 6443));
        let second = prepare(&moved, now).unwrap();
        assert_ne!(der(&first), der(&second));
        assert_eq!(first.ca, second.ca);
        let late = prepare(&moved, now + LIFETIME).unwrap();
        assert_ne!(der(&late), der(&second));
        assert_eq!(late.ca, second.ca);
    }

    /// Whether a client and we accept each other at this moment.
    fn trusts(
        trusted: &CertificateDer<'static>,
        pki: &Pki,
        admin: &CertificateDer<'static>,
        at: OffsetDateTime,
    ) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let seconds = u64::try_from(at.unix_timestamp()).unwrap();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let client =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pki.ca.clone()).unwrap();
        let server = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        client.verify_server_cert(&pki.chain[0], &[], &name, &[], at).is_ok()
            && server.verify_client_cert(admin, &[], at).is_ok()
    }

    fn admin(dir: &Path) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(dir.join("pki/admin.crt")).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Seconds from 1970 to 2100.
        #[test]
        fn any_clock_starts_and_starts_again(first in 0..4_102_444_800_i64, second in 0..4_102_444_800_i64) {
            let dir = tempfile::tempdir().unwrap();
            let [first, second] = [first, second].map(|at| OffsetDateTime::from_unix_timestamp(at).unwrap());
            let before = prepare(&subject(dir.path()), first).unwrap();
            prop_assert!(trusts(&before.ca, &before, &admin(dir.path()), first));
            prop_assert!(before.good.0 <= first && first < before.good.1);
            let after = prepare(&subject(dir.path()), second).unwrap();
            prop_assert!(trusts(&after.ca, &after, &admin(dir.path()), second));
            prop_assert!(after.good.0 <= second && second < after.good.1);
            // A client whose own clock is right goes on trusting the box by the CA it was given.
            if first >= BUILD_DATE {
                prop_assert!(trusts(&before.ca, &after, &admin(dir.path()), first.max(after.good.0)));
            }
        }
    }

    #[test]
    fn the_ends_of_time_start() {
        for now in [
            datetime!(1970-01-01 00:00 UTC),
            BUILD_DATE - Duration::SECOND,
            BUILD_DATE,
            datetime!(2100-01-01 00:00 UTC),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let pki = prepare(&subject(dir.path()), now).unwrap();
            assert!(trusts(&pki.ca, &pki, &admin(dir.path()), now), "{now}");
        }
    }

    #[test]
    fn a_clock_in_the_past_gets_certificates_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let now = datetime!(1970-01-02 00:00 UTC);
        let right = prepare(&subject(dir.path()), datetime!(2026-06-01 00:00 UTC)).unwrap();
        let early = prepare(&subject(dir.path()), now).unwrap();
        assert_ne!(der(&early), der(&right));
        let (_, parsed) = X509Certificate::from_der(&early.chain[0]).unwrap();
        assert!(parsed.validity().not_before.to_datetime() <= now);
        assert!(parsed.validity().not_after.to_datetime() > BUILD_DATE);
    }

    #[test]
    fn certificates_are_renewed_before_they_end_and_old_kubeconfigs_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let start = datetime!(2026-06-01 00:00 UTC);
        let first = prepare(&subject(dir.path()), start).unwrap();
        let old_admin = admin(dir.path());
        let late = first.good.1;
        let second = prepare(&subject(dir.path()), late).unwrap();
        assert_ne!(der(&first), der(&second));
        // Both are in force side by side for as long as the renewal comes early.
        assert!(trusts(&first.ca, &second, &old_admin, late + RENEW_BEFORE - Duration::DAY));
        let ca_late = start + CA_LIFETIME - RENEW_BEFORE + Duration::DAY;
        let third = prepare(&subject(dir.path()), ca_late).unwrap();
        assert_ne!(first.ca, third.ca);
        assert!(trusts(&first.ca, &third, &admin(dir.path()), ca_late), "who trusts the old CA certificate goes on");
    }
}
