//! What ServiceAccounts were granted: roles, by the name of the account. Pure;
//! `kept` keeps them on flash, `give` gives and takes them.
//!
//! Beside the tokens and not in the account: whoever may write an account would
//! otherwise make it an administrator.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::serde::rfc3339;

use super::super::kept::Document;
use crate::model::{role, service_account};

/// Grants at once: a box has a handful of programs. Every request looks through them.
const GRANTS_MAX: usize = 1_024;
/// The form of the file; another one is of a newer edgesvc.
const FORMAT: u32 = 1;

/// One role of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Grant {
    /// The account's namespace.
    pub(super) namespace: String,
    /// The account's name; it need not be there yet.
    pub(super) name: String,
    /// `admin`, `edit`, `view` or `auth-delegator`.
    pub(super) role: String,
    /// Where the role holds; everywhere without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role_namespace: Option<String>,
    #[serde(with = "rfc3339")]
    pub(super) created: OffsetDateTime,
}

/// Every grant, in the order of what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Grants {
    list: Vec<Grant>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    grants: Vec<Grant>,
}

/// Why a grant cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// It is there.
    Taken,
    /// There are [`GRANTS_MAX`].
    TooMany,
}

impl Document for Grants {
    const NAME: &'static str = "grants.json";
    /// More than [`GRANTS_MAX`] grants take.
    const BYTES_MAX: u64 = 2 * 1024 * 1024;

    fn parse(text: &[u8]) -> Result<Grants, String> {
        let stored: Stored = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!("format {} is not known to this version", stored.format));
        }
        Ok(Grants { list: stored.grants })
    }

    fn to_text(&self) -> Vec<u8> {
        // A document of strings and dates of four-digit years always encodes.
        let stored = Stored { format: FORMAT, grants: self.list.clone() };
        let mut text = serde_json::to_vec_pretty(&stored).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

impl Grant {
    fn content(&self) -> [&str; 4] {
        [&self.namespace, &self.name, &self.role, self.role_namespace.as_deref().unwrap_or_default()]
    }

    fn is_of(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

impl Grants {
    /// The groups that hold an account's roles.
    pub(in super::super) fn groups(&self, namespace: &str, name: &str) -> Vec<String> {
        let own = self.list.iter().filter(|grant| grant.is_of(namespace, name));
        own.filter_map(|grant| role::group_of(&grant.role, grant.role_namespace.as_deref())).collect()
    }

    /// The groups that hold a user's roles, if it is an account.
    pub(in super::super) fn groups_of_user(&self, username: &str) -> Vec<String> {
        service_account::of_username(username).map_or_else(Vec::new, |(namespace, name)| self.groups(namespace, name))
    }

    /// With one more.
    pub(super) fn with(&self, grant: Grant) -> Result<Grants, Full> {
        let mut list = self.list.clone();
        let Err(place) = list.binary_search_by(|old| old.content().cmp(&grant.content())) else {
            return Err(Full::Taken);
        };
        if list.len() >= GRANTS_MAX {
            return Err(Full::TooMany);
        }
        list.insert(place, grant);
        Ok(Grants { list })
    }

    /// Without those of an account; `None` when it has none.
    pub(super) fn without(&self, namespace: &str, name: &str) -> Option<Grants> {
        let list: Vec<Grant> = self.list.iter().filter(|grant| !grant.is_of(namespace, name)).cloned().collect();
        (list.len() < self.list.len()).then_some(Grants { list })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, role: &str, role_namespace: Option<&str>) -> Grant {
        Grant {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            role: role.to_owned(),
            role_namespace: role_namespace.map(str::to_owned),
            created: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_account_holds_what_it_was_granted_until_that_is_taken_away() {
        let grants = Grants::default().with(grant("robot", "view", None)).unwrap();
        let grants = grants.with(grant("robot", "edit", Some("shop"))).unwrap();
        let grants = grants.with(grant("other", "admin", None)).unwrap();
        assert_eq!(grants.with(grant("robot", "view", None)), Err(Full::Taken));
        assert_eq!(grants.groups("shop", "robot"), ["edgesvc:edit:shop", "edgesvc:view"]);
        assert_eq!(grants.groups_of_user("system:serviceaccount:shop:other"), ["system:masters"]);
        assert_eq!(grants.groups("default", "robot"), Vec::<String>::new());
        assert_eq!(grants.groups_of_user("other"), Vec::<String>::new());
        assert_eq!(Grants::parse(&grants.to_text()).unwrap(), grants);
        let less = grants.without("shop", "robot").unwrap();
        assert!(less.groups("shop", "robot").is_empty() && !less.groups("shop", "other").is_empty());
        assert_eq!(less.without("shop", "robot"), None);
        assert!(Grants::parse(b"{\"format\": 2, \"grants\": []}").is_err());
    }
}
