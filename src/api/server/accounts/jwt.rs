//! Tokens of ServiceAccounts as text: claims, signed, in the form of a JWT
//! (RFC 7519). What is read here was signed by our own key, or is refused. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::super::pki::BUILD_DATE;
use super::key::{ALGORITHM, SigningKey};

/// Bytes of a token: a quarter of a request's head, in which it must fit.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How far clocks may be apart, as in Kubernetes.
pub(super) const LEEWAY: Duration = Duration::MINUTE;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Who may take it for good.
    pub(super) aud: Vec<String>,
    /// The groups that held the account's roles when the token was made: roles that
    /// are granted later need a new one. Otherwise somebody could make a token while
    /// the account may nothing, and wait.
    #[serde(rename = "edgesvc.io/groups", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
    /// When it ends; like all times here, seconds since 1970.
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) iss: String,
    /// Its own name, in logs and reviews.
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) bound: Bound,
    pub(super) nbf: i64,
    pub(super) sub: String,
}

/// The objects it is good with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Reference>,
    #[serde(rename = "serviceaccount")]
    pub(super) account: Reference,
}

/// One very object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    /// Unknown of a node that a Pod names and that is not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) uid: String,
}

/// Why a token names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Refusal {
    /// Nothing we ever gave out.
    #[error("invalid bearer token")]
    Unknown,
    /// Whatever else is wrong with one of ours.
    #[error("[invalid bearer token, {0}]")]
    Worthless(String),
}

impl Refusal {
    pub(super) fn because(why: impl Into<String>) -> Refusal {
        Refusal::Worthless(why.into())
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions a reader must understand: we know none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<Vec<String>>,
}

/// Of claims nobody signed for.
#[derive(Deserialize)]
struct Unproven {
    #[serde(default)]
    iss: String,
}

/// Writes a token.
pub(super) fn seal(claims: &Claims, key: &SigningKey) -> Result<String, String> {
    let header = Header { alg: ALGORITHM.to_owned(), kid: key.id.clone(), crit: None };
    let mut token = format!("{}.{}", encoded(&header)?, encoded(claims)?);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Reads a token: what it says is what we signed.
pub(super) fn open(token: &str, key: &SigningKey, issuer: &str) -> Result<Claims, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Unknown);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Unknown)?;
    let (header, claims) =
        signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(Refusal::Unknown)?;
    // Others' tokens are told apart before their signature costs anything.
    if decoded::<Unproven>(claims).is_none_or(|claims| claims.iss != issuer) {
        return Err(Refusal::Unknown);
    }
    let header: Header = decoded(header).ok_or(Refusal::Unknown)?;
    if !header.kid.is_empty() && header.kid != key.id {
        return Err(Refusal::because("invalid signature, no keys found"));
    }
    // The one algorithm there is: a token must not choose how it is proven.
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Unknown)?;
    if header.alg != ALGORITHM || header.crit.is_some() || !key.signed(signed.as_bytes(), &signature) {
        return Err(Refusal::because("invalid signature"));
    }
    decoded(claims).ok_or_else(|| Refusal::because("the claims are not ours"))
}

impl Claims {
    /// Whether this is the time of the token.
    ///
    /// A token from the future is refused although only we make tokens: a clock that
    /// ran ahead and was put right would otherwise leave tokens that live for years.
    /// Not while the clock is plainly wrong, before this program was built: on a
    /// device that forgets the time every token is from the future until it is told,
    /// and its programs would be locked out at each start.
    pub(super) fn in_time(&self, now: OffsetDateTime) -> Result<(), Refusal> {
        let begins = self.nbf.max(self.iat);
        let (earliest, latest) =
            (now.unix_timestamp() - LEEWAY.whole_seconds(), now.unix_timestamp() + LEEWAY.whole_seconds());
        if begins > latest && now >= BUILD_DATE {
            return Err(Refusal::because("service account token is not valid yet"));
        }
        if self.exp < earliest {
            return Err(Refusal::because("service account token has expired"));
        }
        Ok(())
    }

    /// Those of the audiences asked for that it is for.
    pub(super) fn common(&self, wanted: &[String]) -> Result<Vec<String>, Refusal> {
        let common: Vec<String> = wanted.iter().filter(|audience| self.aud.contains(audience)).cloned().collect();
        if common.is_empty() {
            let list = |words: &[String]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ");
            let (own, target) = (list(&self.aud), list(wanted));
            let why = format!("token audiences [{own}] is invalid for the target audiences [{target}]");
            return Err(Refusal::because(why));
        }
        Ok(common)
    }
}

fn encoded(part: &impl Serialize) -> Result<String, String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).map_err(|error| error.to_string())?))
}

fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 00:00 UTC);
    const ISSUER: &str = "https://issuer";

    fn key() -> SigningKey {
        SigningKey::parse(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
    }

    fn claims() -> Claims {
        let at = NOW.unix_timestamp();
        let account = Reference { name: "a".to_owned(), uid: "u".to_owned() };
        Claims {
            aud: vec![ISSUER.to_owned(), "b".to_owned()],
            groups: Vec::new(),
            exp: at + 3_600,
            iat: at,
            iss: ISSUER.to_owned(),
            jti: "j".to_owned(),
            bound: Bound { namespace: "n".to_owned(), node: None, pod: None, secret: None, account },
            nbf: at,
            sub: "system:serviceaccount:n:a".to_owned(),
        }
    }

    fn part(value: &serde_json::Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let (own, other) = (key(), key());
        let token = seal(&claims(), &own).unwrap();
        assert_eq!(open(&token, &own, ISSUER), Ok(claims()));
        assert!(open(&token, &other, ISSUER).unwrap_err().to_string().contains("no keys found"));
        assert_eq!(open(&token, &own, "https://other"), Err(Refusal::Unknown));
    }

    #[test]
    fn a_token_cannot_choose_how_it_is_proven() {
        let key = key();
        let token = seal(&claims(), &key).unwrap();
        let [_, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        let forged = |header: serde_json::Value, signature: &str| {
            open(&format!("{}.{body}.{signature}", part(&header)), &key, ISSUER).unwrap_err().to_string()
        };
        for (header, signature) in [
            (json!({"alg": "none"}), ""),
            (json!({"alg": "None", "kid": key.id}), ""),
            (json!({"alg": "HS256", "kid": key.id}), signature),
            (json!({"alg": "ES256"}), signature),
            (json!({"alg": "ES256", "kid": key.id, "crit": []}), signature),
            (json!({"alg": "ES256", "kid": key.id}), ""),
        ] {
            assert!(forged(header.clone(), signature).contains("invalid signature"), "{header}");
        }
        // An extension of the header that we signed and do not know.
        let header = part(&json!({"alg": "ES256", "kid": key.id, "crit": ["x"]}));
        let text = format!("{header}.{body}");
        let proof = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).unwrap());
        assert!(open(&format!("{text}.{proof}"), &key, ISSUER).is_err());
        let mut more = claims();
        more.groups = vec!["system:masters".to_owned()];
        let more = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&more).unwrap());
        let forged = format!("{}.{more}.{signature}", token.split('.').next().unwrap());
        assert!(open(&forged, &key, ISSUER).unwrap_err().to_string().contains("invalid signature"));
    }

    #[test]
    fn what_is_no_token_is_refused_whatever_it_is() {
        let key = key();
        let token = seal(&claims(), &key).unwrap();
        let long = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
        for wrong in
            ["", ".", "..", "...", "a.b.c", &format!("{token}."), &format!("{token}="), &long, "\u{f6}.\u{f6}.x"]
        {
            assert!(open(wrong, &key, ISSUER).is_err(), "{wrong:.80}");
        }
        for end in 0..token.len() {
            assert!(open(&token[..end], &key, ISSUER).is_err(), "{end}");
        }
    }

    #[test]
    fn a_token_has_its_time() {
        let claims = claims();
        let at = |after: Duration| claims.in_time(NOW + after).map_err(|refusal| refusal.to_string());
        let hour = Duration::HOUR;
        for good in [-LEEWAY, Duration::ZERO, hour, hour + LEEWAY] {
            assert_eq!(at(good), Ok(()), "{good}");
        }
        assert!(at(hour + LEEWAY + Duration::SECOND).unwrap_err().contains("expired"));
        assert!(at(-LEEWAY - Duration::SECOND).unwrap_err().contains("not valid yet"));
        // A device that forgot the time.
        assert_eq!(claims.in_time(datetime!(1970-01-01 00:05 UTC)), Ok(()));
        let mut early = claims.clone();
        (early.iat, early.nbf, early.exp) = (300, 300, 3_900);
        assert!(early.in_time(datetime!(1970-01-01 02:00 UTC)).is_err());
        assert!(early.in_time(NOW).is_err());
    }

    #[test]
    fn a_token_is_for_whom_it_says() {
        let wanted = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(claims().common(&wanted(&["c", "b"])), Ok(wanted(&["b"])));
        assert_eq!(
            claims().common(&wanted(&["c"])).unwrap_err().to_string(),
            "[invalid bearer token, token audiences [\"https://issuer\" \"b\"] is invalid for the target audiences [\"c\"]]"
        );
    }
}
