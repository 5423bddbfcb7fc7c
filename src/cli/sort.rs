//! `--sort-by`: rows and objects by a field. Pure.

use std::cmp::Ordering;

use serde_json::Value;

use super::exit::{Code, Failure};
use super::jsonpath::Template;
use crate::model::Kind;

/// Sorts the rows of a Table that carries its objects.
pub(super) fn rows(rows: &mut [Value], template: &Template, text: &str) -> Result<(), Failure> {
    by(rows, template, text, |row| row.get("object").unwrap_or(&Value::Null))
}

/// Sorts objects.
pub(super) fn objects(objects: &mut [(Kind, Value)], template: &Template, text: &str) -> Result<(), Failure> {
    by(objects, template, text, |(_, object)| object)
}

fn by<T: Clone>(
    items: &mut [T],
    template: &Template,
    text: &str,
    object: impl Fn(&T) -> &Value,
) -> Result<(), Failure> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items.iter() {
        let found =
            template.values(object(item)).map_err(|error| Failure::new(Code::Refused, format!("error: {error}")))?;
        keyed.push((found.first().map(|value| value.clone().into_owned()), item.clone()));
    }
    if !keyed.is_empty() && keyed.iter().all(|(key, _)| key.is_none()) {
        let message = format!("error: couldn't find any field with path {text:?} in the list of objects");
        return Err(Failure::new(Code::Refused, message));
    }
    keyed.sort_by(|(left, _), (right, _)| compare(left.as_ref(), right.as_ref()));
    for (slot, (_, item)) in items.iter_mut().zip(keyed) {
        *slot = item;
    }
    Ok(())
}

/// What is missing comes first, as with kubectl.
fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(Value::String(left)), Some(Value::String(right))) => texts(left, right),
        (Some(left), Some(right)) => left.to_string().cmp(&right.to_string()),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// Texts that are both quantities (`9Mi`, `1Gi`) compare by size, others by their letters.
fn texts(left: &str, right: &str) -> Ordering {
    match (quantity(left), quantity(right)) {
        (Some(left), Some(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        _ => left.cmp(right),
    }
}

fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 14] = [
        ("", 1.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("Ki", 1_024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
    ];
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, factor) = SUFFIXES.into_iter().find(|(known, _)| *known == suffix)?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sorted(path: &str, objects: Vec<Value>) -> Vec<Value> {
        let mut objects: Vec<(Kind, Value)> = objects.into_iter().map(|object| (Kind::Service, object)).collect();
        super::objects(&mut objects, &Template::relaxed(path).unwrap(), path).unwrap();
        objects.into_iter().map(|(_, object)| object["n"].clone()).collect()
    }

    #[test]
    fn numbers_and_quantities_sort_by_size_and_names_by_letters() {
        assert_eq!(sorted(".n", vec![json!({"n": 10}), json!({"n": 9})]), [json!(9), json!(10)]);
        let names = ["web-10", "web-9", "web", "db"].map(|name| json!({"n": name})).to_vec();
        assert_eq!(sorted(".n", names), ["db", "web", "web-10", "web-9"].map(|name| json!(name)));
    }

    #[test]
    fn a_quantity_is_a_size() {
        let sizes = ["1Gi", "9Mi", "500m"].map(|size| json!({"n": size})).to_vec();
        assert_eq!(sorted(".n", sizes), ["500m", "9Mi", "1Gi"].map(|size| json!(size)));
    }

    #[test]
    fn what_has_no_such_field_comes_first() {
        let objects = vec![json!({"n": 1, "x": 1}), json!({"n": 2})];
        assert_eq!(sorted(".x", objects), [json!(2), json!(1)]);
        let mut none = vec![(Kind::Service, json!({"n": 1}))];
        let failure = super::objects(&mut none, &Template::relaxed(".x").unwrap(), ".x").unwrap_err();
        assert!(failure.message.contains("couldn't find any field with path \".x\""));
    }
}
