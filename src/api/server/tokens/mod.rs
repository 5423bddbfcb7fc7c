//! Bearer tokens given to people and programs: what is kept of them, and whom a
//! token names. Pure; `kept` keeps them on flash, `serve` gives and takes them.
//!
//! Kept is the SHA-256 of a token, never the token: whoever reads the file or a
//! copy of it can let nobody in. A token is 32 random bytes, so that its hash needs
//! neither salt nor work.

mod serve;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::serde::rfc3339;

pub(super) use serve::{one, several};

use super::identity::User;
use super::kept::Document;
use crate::model::role;

/// Tokens at once: a box has a handful of users. Every request compares with all.
const TOKENS_MAX: usize = 1_024;
/// What a token begins with, so that scanners of leaked secrets can tell it.
const PREFIX: &str = "edgesvc_";
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// The form of the file; another one is of a newer edgesvc.
const FORMAT: u32 = 1;

/// What is kept of one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// The user it names.
    pub(super) name: String,
    /// `admin`, `edit` or `view`.
    pub(super) role: String,
    /// Where the role holds; everywhere without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    /// SHA-256 of the token, as base64url.
    sha256: String,
    #[serde(with = "rfc3339")]
    pub(super) created: OffsetDateTime,
    /// From when on it is worth nothing; never without one.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<OffsetDateTime>,
}

/// Every token, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    list: Vec<Arc<Token>>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    tokens: Vec<Token>,
}

/// Why a token cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Its name is taken.
    Taken,
    /// There are [`TOKENS_MAX`].
    TooMany,
}

/// A fresh token of these random bytes, in clear.
pub(super) fn secret(random: &[u8; SECRET_BYTES]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()))
}

impl Token {
    /// Whom it names.
    pub(super) fn user(&self) -> User {
        let groups = role::group_of(&self.role, self.namespace.as_deref()).into_iter().collect();
        User::named(self.name.clone(), groups)
    }

    fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Document for Tokens {
    const NAME: &'static str = "tokens.json";
    /// More than [`TOKENS_MAX`] tokens take.
    const BYTES_MAX: u64 = 2 * 1024 * 1024;

    fn parse(text: &[u8]) -> Result<Tokens, String> {
        let stored: Stored = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!("format {} is not known to this version", stored.format));
        }
        Ok(Tokens { list: stored.tokens.into_iter().map(Arc::new).collect() })
    }

    fn to_text(&self) -> Vec<u8> {
        let tokens = self.list.iter().map(|token| Token::clone(token)).collect();
        // A document of strings and dates of four-digit years always encodes.
        let mut text = serde_json::to_vec_pretty(&Stored { format: FORMAT, tokens }).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

impl Tokens {
    /// The token somebody shows. Every one is compared, each in constant time, so
    /// that the time of a refusal tells nothing about how near it came.
    pub(super) fn find(&self, secret: &str, now: OffsetDateTime) -> Option<&Arc<Token>> {
        let shown = hash(secret);
        let mut found = None;
        for token in &self.list {
            if equal(token.sha256.as_bytes(), shown.as_bytes()) {
                found = Some(token);
            }
        }
        found.filter(|token| !token.is_expired(now))
    }

    /// Whether this very token is still one of them.
    pub(super) fn holds(&self, token: &Arc<Token>) -> bool {
        self.list.iter().any(|held| held.sha256 == token.sha256)
    }

    /// With one more. An expired one of the same name makes room.
    pub(super) fn with(&self, mut token: Token, secret: &str, now: OffsetDateTime) -> Result<Tokens, Full> {
        let mut list: Vec<Arc<Token>> =
            self.list.iter().filter(|old| old.name != token.name || !old.is_expired(now)).cloned().collect();
        let Err(place) = list.binary_search_by(|old| old.name.cmp(&token.name)) else { return Err(Full::Taken) };
        if list.len() >= TOKENS_MAX {
            return Err(Full::TooMany);
        }
        token.sha256 = hash(secret);
        list.insert(place, Arc::new(token));
        Ok(Tokens { list })
    }

    /// With one less; `None` when there is none of the name.
    pub(super) fn without(&self, name: &str) -> Option<Tokens> {
        let list: Vec<Arc<Token>> = self.list.iter().filter(|token| token.name != name).cloned().collect();
        (list.len() < self.list.len()).then_some(Tokens { list })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Token> {
        self.list.iter().map(|token| &**token)
    }
}

/// Compares all bytes, whatever the first ones say.
fn equal(left: &[u8], right: &[u8]) -> bool {
    let differing = left.iter().zip(right).fold(0_u8, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    left.len() == right.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 00:00 UTC);

    fn token(name: &str, expires: Option<OffsetDateTime>) -> Token {
        Token {
            name: name.to_owned(),
            role: "view".to_owned(),
            namespace: None,
            sha256: String::new(),
            created: NOW,
            expires,
        }
    }

    #[test]
    fn a_token_names_its_user_until_it_expires_or_is_taken_away() {
        let tokens = Tokens::default().with(token("bob", None), "b", NOW).unwrap();
        let tokens = tokens.with(token("ann", Some(NOW + Duration::DAY)), "a", NOW).unwrap();
        let user = tokens.find("a", NOW).unwrap().user();
        assert_eq!(user.name, "ann");
        assert_eq!(user.groups, ["edgesvc:view", "system:authenticated"]);
        assert!(tokens.find("a", NOW + Duration::DAY).is_none());
        assert!(tokens.find("b", NOW + Duration::days(9_999)).is_some());
        for wrong in ["", "ab", "B", &hash("b")] {
            assert!(tokens.find(wrong, NOW).is_none(), "{wrong}");
        }
        let less = tokens.without("bob").unwrap();
        assert!(less.find("b", NOW).is_none() && less.find("a", NOW).is_some());
        assert_eq!(less.without("bob"), None);
    }

    #[test]
    fn a_name_is_given_once_until_its_token_expired() {
        let tokens = Tokens::default().with(token("ann", Some(NOW + Duration::DAY)), "1", NOW).unwrap();
        assert_eq!(tokens.with(token("ann", None), "2", NOW), Err(Full::Taken));
        let later = tokens.with(token("ann", None), "2", NOW + Duration::DAY).unwrap();
        assert!(later.find("1", NOW).is_none() && later.find("2", NOW).is_some());
    }

    #[test]
    fn the_file_holds_no_token_and_reads_back() {
        let secret = secret(&[7; SECRET_BYTES]);
        assert_eq!(secret.len(), PREFIX.len() + 43);
        let tokens = Tokens::default().with(token("ann", Some(NOW)), &secret, NOW).unwrap();
        let text = String::from_utf8(tokens.to_text()).unwrap();
        assert!(!text.contains(&secret) && !text.contains(&secret[PREFIX.len()..]), "{text}");
        assert_eq!(Tokens::parse(text.as_bytes()).unwrap(), tokens);
        assert!(Tokens::parse(text.replace("\"format\": 1", "\"format\": 2").as_bytes()).is_err());
        assert!(Tokens::parse(b"{").is_err());
    }
}
