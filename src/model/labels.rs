//! The labels or annotations of a stored object, in the least room: a `BTreeMap`
//! takes half a kilobyte for its first pair, and there is one for every object.

use std::collections::BTreeMap;

/// Pairs of name and value, sorted by name, each name once. They do not change:
/// who wants others takes [`Labels::to_map`] and makes new ones of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(held, _)| held.as_ref().cmp(name)).ok()?;
        self.0.get(place).map(|(_, value)| &**value)
    }

    /// Whether the name is there, with whatever value.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The pairs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The same, to change.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    /// Of pairs with the same name the last one counts.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Labels {
        let sorted: BTreeMap<&str, &str> = pairs.into_iter().collect();
        Labels(sorted.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl PartialEq<BTreeMap<String, String>> for Labels {
    fn eq(&self, other: &BTreeMap<String, String>) -> bool {
        self.iter().eq(other.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_by_name_in_order_and_the_last_of_a_name_counts() {
        let labels: Labels = [("b", "2"), ("a", "1"), ("b", "3")].into_iter().collect();
        assert_eq!((labels.get("a"), labels.get("b"), labels.get("c")), (Some("1"), Some("3"), None));
        assert!(labels.contains_key("a") && !labels.contains_key(""));
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert!(labels == labels.to_map() && labels != BTreeMap::from([("a".to_owned(), "1".to_owned())]));
    }
}
