//! By what others tell our tokens without asking us each time: OpenID Connect's
//! description of the issuer, and its public keys.

use hyper::header::CACHE_CONTROL;
use serde_json::json;

use super::super::super::status::ApiError;
use super::super::answer::{Answer, Outcome, line};
use super::super::handle::Call;
use super::key::ALGORITHM;
use super::{Accounts, SigningKey};

/// How long it may be kept: as long as Kubernetes says.
const MAX_AGE: &str = "public, max-age=3600";

/// `/.well-known/openid-configuration`
pub(in super::super) fn configuration(call: &Call) -> Outcome {
    let accounts = &call.api.accounts;
    accounts.key()?;
    let document = json!({
        "issuer": accounts.issuer, "jwks_uri": accounts.keys_url, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [ALGORITHM],
    });
    Ok(Answer::new(200, "application/json", line(&document)).header(CACHE_CONTROL, MAX_AGE))
}

/// `/openid/v1/jwks`
pub(in super::super) fn keys(call: &Call) -> Outcome {
    let document = json!({"keys": [call.api.accounts.key()?.jwk()]});
    Ok(Answer::new(200, "application/jwk-set+json", line(&document)).header(CACHE_CONTROL, MAX_AGE))
}

impl Accounts {
    /// The key, or why there is none.
    pub(super) fn key(&self) -> Result<&SigningKey, ApiError> {
        self.key.as_ref().map_err(|why| ApiError::internal(format!("mend or remove this file and start again: {why}")))
    }
}
