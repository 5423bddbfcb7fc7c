//! What a ServiceAccount is called as a user, and the groups every one is in.

use super::name;

/// What the names of accounts as users begin with.
const PREFIX: &str = "system:serviceaccount:";
/// The group of every account of the box.
pub const EVERY: &str = "system:serviceaccounts";

/// The user name of an account.
pub fn username(namespace: &str, name: &str) -> String {
    format!("{PREFIX}{namespace}:{name}")
}

/// Namespace and name of an account, if that is what a user is.
pub fn of_username(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(PREFIX)?.split_once(':')?;
    let well = name::dns1123_label(namespace).is_empty() && name::dns1123_subdomain(name).is_empty();
    well.then_some((namespace, name))
}

/// The groups of an account, besides those that hold its roles.
pub fn groups(namespace: &str) -> Vec<String> {
    vec![EVERY.to_owned(), format!("{EVERY}:{namespace}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_an_account_by_the_form_of_its_name() {
        assert_eq!(of_username(&username("shop", "a.b")), Some(("shop", "a.b")));
        for other in ["shop:a", "system:serviceaccount:shop", "system:serviceaccount:a:b:c", "system:serviceaccount::a"]
        {
            assert_eq!(of_username(other), None, "{other}");
        }
    }
}
