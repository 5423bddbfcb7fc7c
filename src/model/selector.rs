//! Label selectors: the map form of a Service and the text form of queries
//! (spec/api.md section 6).

use std::collections::BTreeMap;

use super::{Labels, name};

/// A Service's selector: every pair must be among the labels. An empty selector
/// selects nothing here, because a Service without one manages no endpoints.
pub fn selects(selector: &BTreeMap<String, String>, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value.as_str()))
}

/// What labels must be: `app=web,tier in (front, back),!old`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
}

impl LabelSelector {
    /// Reads the text form; an empty text selects everything.
    ///
    /// # Errors
    /// What stands where something else was expected.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        if text.trim().is_empty() {
            return Ok(LabelSelector::default());
        }
        terms(text).into_iter().map(requirement).collect::<Result<_, _>>().map(LabelSelector)
    }

    /// Whether it selects whatever the labels.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels are as they must be.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let is_in = |values: &[String], value: Option<&str>| values.iter().any(|held| Some(held.as_str()) == value);
        let number = |key: &String| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
            Requirement::In(key, values) => is_in(values, labels.get(key)),
            Requirement::NotIn(key, values) => !is_in(values, labels.get(key)),
            Requirement::Greater(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::Less(key, bound) => number(key).is_some_and(|value| value < *bound),
        }
    }
}

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn requirement(term: &str) -> Result<Requirement, String> {
    if let Some(key) = term.strip_prefix('!') {
        return Ok(Requirement::Absent(checked_key(key)?));
    }
    // `!=` first: `a!=b` also holds an `=`.
    for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = term.split_once(operator) {
            let (key, values) = (checked_key(key)?, vec![checked_value(value)?]);
            return Ok(if negated { Requirement::NotIn(key, values) } else { Requirement::In(key, values) });
        }
    }
    if let Some((key, bound)) = term.split_once('>') {
        return Ok(Requirement::Greater(checked_key(key)?, checked_number(bound)?));
    }
    if let Some((key, bound)) = term.split_once('<') {
        return Ok(Requirement::Less(checked_key(key)?, checked_number(bound)?));
    }
    if let Some((head, set)) = term.split_once('(') {
        let set = set.trim_end().strip_suffix(')').ok_or_else(|| format!("found '{term}', expected: ')'"))?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let values: Vec<String> = set.split(',').map(checked_value).collect::<Result<_, _>>()?;
        return match (operator, words.next()) {
            ("in", None) => Ok(Requirement::In(checked_key(key)?, values)),
            ("notin", None) => Ok(Requirement::NotIn(checked_key(key)?, values)),
            _ => Err(format!("found '{operator}', expected: in, notin, =, ==, !=, gt, lt")),
        };
    }
    Ok(Requirement::Exists(checked_key(term)?))
}

fn checked_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    let faults = name::qualified_name(key);
    if faults.is_empty() {
        Ok(key.to_owned())
    } else {
        Err(format!("key: Invalid value: \"{key}\": {}", faults.join("; ")))
    }
}

fn checked_value(value: &str) -> Result<String, String> {
    let value = value.trim();
    let faults = name::label_value(value);
    if faults.is_empty() {
        Ok(value.to_owned())
    } else {
        Err(format!("values[0]: Invalid value: \"{value}\": {}", faults.join("; ")))
    }
}

fn checked_number(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().copied().collect();
        LabelSelector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn every_operator_selects_as_kubernetes_does() {
        let web = [("app", "web"), ("tier", "2")];
        for (selector, expected) in [
            ("app=web", true),
            ("app==web,tier", true),
            ("app!=web", false),
            ("none!=x", true),
            ("app in (db, web)", true),
            ("app notin (web)", false),
            ("none notin (web)", true),
            ("!app", false),
            ("!none", true),
            ("tier>1", true),
            ("tier<2", false),
            ("", true),
        ] {
            assert_eq!(holds(selector, &web), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in ["app in (a", "app like (a)", "=a", "a=b c", "a,,b", "app=-"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector}");
        }
    }
}
