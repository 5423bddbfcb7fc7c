//! Label selectors: the map form of a Service and the text form of queries
//! (spec/api.md section 6).

use std::collections::BTreeMap;

use super::Labels;

/// A Service's selector: every pair must be among the labels. An empty selector
/// selects nothing here, because a Service without one manages no endpoints.
pub fn selects(selector: &BTreeMap<String, String>, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value.as_str()))
}
