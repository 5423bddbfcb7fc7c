//! The key that signs tokens of ServiceAccounts: ECDSA over P-256, which JWTs call
//! ES256. Made at the first start, kept in `pki/service-account.key`, readable by its
//! owner only. Whoever has it is every account of the box.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};

use super::super::private_file;

/// What JWTs call the algorithm.
pub(super) const ALGORITHM: &str = "ES256";
/// More than a key of ours has.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a coordinate of a point of P-256.
const COORDINATE_BYTES: usize = 32;

/// The private key, ready to sign.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    /// What tokens call it: the hash of its public half, as Kubernetes has it.
    pub(super) id: String,
}

impl SigningKey {
    /// Finds or makes the key below a data directory. A file that cannot be read is
    /// left for a person to mend: a new key would end every token there is. Blocking.
    pub(super) fn open(data_dir: &Path) -> Result<SigningKey, String> {
        let dir = data_dir.join("pki");
        let path = dir.join("service-account.key");
        let fault = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|error| fault(&error))?;
        match private_file::read(&path, FILE_BYTES_MAX).map_err(|error| fault(&error))? {
            Some(pem) => SigningKey::parse(&String::from_utf8_lossy(&pem)).map_err(|why| fault(&why)),
            None if path.exists() => Err(fault(&"larger than any key")),
            None => {
                let pem = KeyPair::generate().map_err(|error| fault(&error))?.serialize_pem();
                private_file::write(&path, pem.as_bytes()).map_err(|error| fault(&error))?;
                SigningKey::parse(&pem).map_err(|why| fault(&why))
            }
        }
    }

    /// Reads a key from its PEM.
    pub(super) fn parse(pem: &str) -> Result<SigningKey, String> {
        let key = KeyPair::from_pem(pem).map_err(|error| error.to_string())?;
        let der = key.serialize_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new());
        let pair = pair.map_err(|error| format!("no key of {ALGORITHM}: {error}"))?;
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, &key.subject_public_key_info()));
        Ok(SigningKey { pair, id })
    }

    /// Signs; both coordinates, as JWTs have them.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| "the kernel gives no random bytes".to_owned())
    }

    /// Whether it signed this.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        public.verify(message, signature).is_ok()
    }

    /// The public half as a JSON Web Key.
    pub(super) fn jwk(&self) -> Value {
        // An uncompressed point: a byte that says so, then both coordinates.
        let coordinates = self.pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at_checked(COORDINATE_BYTES).unwrap_or_default();
        let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": ALGORITHM, "x": text(x), "y": text(y)})
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = SigningKey::open(dir.path()).unwrap();
        let path = dir.path().join("pki/service-account.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let signature = first.sign(b"text").unwrap();
        let again = SigningKey::open(dir.path()).unwrap();
        assert_eq!(again.id, first.id);
        assert!(again.signed(b"text", &signature) && !again.signed(b"test", &signature));
        let jwk = again.jwk();
        assert_eq!([jwk["x"].as_str().unwrap().len(), jwk["y"].as_str().unwrap().len()], [43, 43]);
        fs::write(&path, "damaged").unwrap();
        assert!(SigningKey::open(dir.path()).err().unwrap().contains("service-account.key"));
        assert_eq!(fs::read(&path).unwrap(), b"damaged");
    }
}
