//! The TLS door: the certificates it shows, renewed in place, and who comes in.
//!
//! Renewal needs no timer: whoever knocks when the certificates are due has them
//! renewed first. So an idle box does nothing, and a clock that jumps years, as on
//! devices that learn the time late, is met by the next connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, watch as latest};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::ServeError;
use super::identity::{Presented, User};
use super::pki::{self, Pki, Subject};

/// How long after a renewal the next may come: one that fails (a full disk) or does
/// not help must not be tried at every connection.
const RENEW_PAUSE: Duration = Duration::from_secs(60);

/// What the door shows now.
pub(super) struct Front {
    acceptor: TlsAcceptor,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Where it answers.
    pub(super) address: SocketAddr,
    /// The CA as PEM.
    pub(super) ca_pem: String,
    /// What its certificate calls this box.
    pub(super) names: Vec<String>,
    good: (OffsetDateTime, OffsetDateTime),
    /// When the last renewal was tried.
    tried: Option<Instant>,
}

/// The certificates on disk and in use.
pub(super) struct Door {
    subject: Subject,
    front: latest::Sender<Arc<Front>>,
    /// One renewal at a time.
    renewing: Semaphore,
}

impl Door {
    /// Finds or makes the certificates.
    pub(super) async fn open(subject: Subject, now: OffsetDateTime) -> Result<Door, ServeError> {
        let front = Arc::new(prepared(&subject, now, None).await?);
        Ok(Door { subject, front: latest::Sender::new(front), renewing: Semaphore::new(1) })
    }

    /// What to show at this moment, renewed if it is due.
    pub(super) async fn front(&self, now: OffsetDateTime) -> Arc<Front> {
        let front = Arc::clone(&self.front.borrow());
        if !front.is_due(now) {
            return front;
        }
        // Whoever comes meanwhile is shown the old ones, which mostly have weeks left.
        let Ok(_alone) = self.renewing.try_acquire() else { return front };
        let tried = Some(Instant::now());
        let renewed = match prepared(&self.subject, now, tried).await {
            Ok(renewed) => {
                tracing::info!(until = %crate::clock::rfc3339(renewed.good.1), "certificates renewed");
                renewed
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew the certificates; going on with the old ones");
                Front { tried, ..front.again() }
            }
        };
        let renewed = Arc::new(renewed);
        self.front.send_replace(Arc::clone(&renewed));
        renewed
    }
}

impl Front {
    fn is_due(&self, now: OffsetDateTime) -> bool {
        (now < self.good.0 || self.good.1 <= now) && self.tried.is_none_or(|tried| tried.elapsed() >= RENEW_PAUSE)
    }

    fn again(&self) -> Front {
        Front {
            acceptor: self.acceptor.clone(),
            verifier: Arc::clone(&self.verifier),
            address: self.address,
            ca_pem: self.ca_pem.clone(),
            names: self.names.clone(),
            good: self.good,
            tried: self.tried,
        }
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Whom the certificates of a finished handshake name.
    pub(super) fn presented(&self, chain: Option<&[CertificateDer<'_>]>, now: OffsetDateTime) -> Presented {
        let Some((leaf, intermediates)) = chain.and_then(<[_]>::split_first) else { return Presented::Nothing };
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        if let Err(error) = self.verifier.verify_client_cert(leaf, intermediates, at) {
            tracing::debug!(%error, "a client certificate that does not count");
            return Presented::BadCertificate;
        }
        match User::of_certificate(leaf) {
            Some((user, until)) => Presented::Certificate(user, until),
            None => Presented::Nothing,
        }
    }
}

async fn prepared(subject: &Subject, now: OffsetDateTime, tried: Option<Instant>) -> Result<Front, ServeError> {
    let of = subject.clone();
    let pki = tokio::task::spawn_blocking(move || pki::prepare(&of, now)).await??;
    let Pki { ca, chain, key, ca_pem, names, good } = pki;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
    // Certificates are asked for, not required: a bearer token may name a client too.
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(Later(Arc::clone(&verifier))))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Ok(Front { acceptor, verifier, address: subject.listen, ca_pem, names, good, tried })
}

/// Proves in the handshake that the client has the key of its certificate, and
/// leaves to [`Front::presented`] what the certificate is worth: a 401 that says so
/// helps a person more than a broken handshake, and is what the real server answers.
#[derive(Debug)]
struct Later(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Later {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn subject(dir: &std::path::Path) -> Subject {
        Subject {
            data_dir: dir.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 6443)),
            hostname: "box".to_owned(),
            service_ips: Vec::new(),
        }
    }

    #[tokio::test]
    async fn who_knocks_when_they_are_due_finds_them_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let now = datetime!(2026-06-01 00:00 UTC);
        let door = Door::open(subject(dir.path()), now).await.unwrap();
        let first = door.front(now).await;
        let read = || std::fs::read(dir.path().join("pki/server.crt")).unwrap();
        let before = read();
        assert!(Arc::ptr_eq(&first, &door.front(now + time::Duration::days(365)).await));
        let late = first.good.1;
        let renewed = door.front(late).await;
        assert!(renewed.good.1 > late && read() != before);
        assert!(Arc::ptr_eq(&renewed, &door.front(late).await));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_renewed_is_shown_on_and_tried_again_later() {
        let dir = tempfile::tempdir().unwrap();
        let now = datetime!(2026-06-01 00:00 UTC);
        let door = Door::open(subject(&dir.path().join("data")), now).await.unwrap();
        let first = door.front(now).await;
        let late = first.good.1;
        std::fs::rename(dir.path().join("data"), dir.path().join("away")).unwrap();
        std::fs::write(dir.path().join("data"), "in the way").unwrap();
        let kept = door.front(late).await;
        assert_eq!(kept.good, first.good);
        assert!(Arc::ptr_eq(&kept, &door.front(late).await), "not tried at once again");
        std::fs::remove_file(dir.path().join("data")).unwrap();
        tokio::time::advance(RENEW_PAUSE).await;
        assert!(door.front(late).await.good.1 > late);
    }
}
