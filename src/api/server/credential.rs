//! Bearer tokens of both makes: opaque ones of people, signed ones of
//! ServiceAccounts. Whom one names, and until when what it opened may go on.

use std::sync::Arc;

use time::OffsetDateTime;

use super::Api;
use super::accounts::{Account, Accounts, Grants, Refusal};
use super::identity::User;
use super::tokens::{Token, Tokens};
use crate::store::Snapshot;

/// Everything a token is judged by, at one moment.
pub(super) struct Known<'a> {
    accounts: &'a Accounts,
    tokens: Arc<Tokens>,
    grants: Arc<Grants>,
    snapshot: Arc<Snapshot>,
}

/// What a request came with.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    Token(Arc<Token>),
    Account(Arc<Account>),
}

/// Whom a token names.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) user: User,
    pub(super) credential: Credential,
    /// Those of the audiences asked for that the token is for.
    pub(super) audiences: Vec<String>,
}

impl<'a> Known<'a> {
    #[cfg(test)]
    pub(super) fn of(accounts: &'a Accounts, tokens: Tokens) -> Known<'a> {
        let (grants, snapshot) = (Arc::default(), Arc::default());
        Known { accounts, tokens: Arc::new(tokens), grants, snapshot }
    }

    /// What is known now.
    pub(super) fn now(api: &'a Api) -> Known<'a> {
        Known {
            accounts: &api.accounts,
            tokens: api.tokens.newest(),
            grants: api.accounts.grants.newest(),
            snapshot: api.store.snapshot(),
        }
    }

    /// Whom a token names that should be for one of these audiences, or for this API.
    pub(super) fn find(&self, secret: &str, audiences: &[String], now: OffsetDateTime) -> Result<Found, Refusal> {
        let own = self.accounts.audiences();
        let wanted = if audiences.is_empty() { own } else { audiences };
        // An opaque token has no dot, a signed one has two.
        if secret.contains('.') {
            let (account, audiences) = self.accounts.find(secret, wanted, (&self.grants, &self.snapshot), now)?;
            return Ok(Found { user: account.user(), credential: Credential::Account(Arc::new(account)), audiences });
        }
        let token = self.tokens.find(secret, now).ok_or(Refusal::Unknown)?;
        let audiences: Vec<String> = own.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if audiences.is_empty() {
            return Err(Refusal::Unknown);
        }
        Ok(Found { user: token.user(), credential: Credential::Token(Arc::clone(token)), audiences })
    }

    /// Whether a token is still good for what it was good for.
    pub(super) fn holds(&self, credential: &Credential, now: OffsetDateTime) -> bool {
        match credential {
            Credential::Token(token) => self.tokens.holds(token),
            Credential::Account(account) => account.is_good(&self.grants, &self.snapshot, now),
        }
    }
}

impl Credential {
    /// Whether both are the same token.
    pub(super) fn is(&self, other: &Credential) -> bool {
        match (self, other) {
            (Credential::Token(one), Credential::Token(other)) => Arc::ptr_eq(one, other),
            (Credential::Account(one), Credential::Account(other)) => one.is(other),
            _ => false,
        }
    }

    /// From when on it is worth nothing; never without one.
    pub(super) fn expires(&self) -> Option<OffsetDateTime> {
        match self {
            Credential::Token(token) => token.expires,
            Credential::Account(account) => account.expires(),
        }
    }
}
