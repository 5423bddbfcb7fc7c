//! Nodes upon values. A field that is not there finds nothing and is no error,
//! as kubectl has it everywhere.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::{Found, Node, Operator, Slice};

/// What each path of a template finds.
pub(super) fn template<'a>(nodes: &[Node], value: &Cow<'a, Value>) -> Result<Vec<Found<'a>>, String> {
    let mut results = Vec::new();
    for node in nodes {
        match node {
            Node::Range { path, body } => {
                for item in steps(path, vec![value.clone()])? {
                    results.extend(template(body, &item)?);
                }
            }
            other => results.push(step(other, vec![value.clone()])?),
        }
    }
    Ok(results)
}

fn steps<'a>(nodes: &[Node], from: Found<'a>) -> Result<Found<'a>, String> {
    nodes.iter().try_fold(from, |found, node| step(node, found))
}

fn step<'a>(node: &Node, from: Found<'a>) -> Result<Found<'a>, String> {
    match node {
        Node::Text(text) => Ok(vec![Cow::Owned(Value::String(text.clone()))]),
        Node::Literal(value) => Ok(vec![Cow::Owned(value.clone())]),
        Node::Path(nodes) => steps(nodes, from),
        Node::Range { path, .. } => steps(path, from),
        Node::Field(name) if name.is_empty() => Ok(from),
        Node::Field(name) => Ok(from.iter().filter_map(|value| member(value, name)).collect()),
        Node::Wildcard => Ok(from.iter().flat_map(children).collect()),
        Node::Recursive => Ok(from.iter().flat_map(descendants).collect()),
        Node::Slice(slice) => {
            let lists = from.iter().map(|value| sliced(value, *slice)).collect::<Result<Vec<_>, _>>()?;
            Ok(lists.into_iter().flatten().collect())
        }
        Node::Union(choices) => {
            let lists = choices.iter().map(|nodes| steps(nodes, from.clone())).collect::<Result<Vec<_>, _>>()?;
            Ok(lists.into_iter().flatten().collect())
        }
        Node::Filter { left, comparison } => filtered(&from, left, comparison.as_ref()),
    }
}

fn member<'a>(value: &Cow<'a, Value>, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Cow::Borrowed(value) => value.get(name).map(Cow::Borrowed),
        Cow::Owned(value) => value.get(name).cloned().map(Cow::Owned),
    }
}

fn children<'a>(value: &Cow<'a, Value>) -> Found<'a> {
    match value {
        Cow::Borrowed(Value::Object(members)) => members.values().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Object(members)) => members.values().cloned().map(Cow::Owned).collect(),
        Cow::Owned(Value::Array(items)) => items.iter().cloned().map(Cow::Owned).collect(),
        _ => Vec::new(),
    }
}

/// The value and everything below it that has members or items.
fn descendants<'a>(value: &Cow<'a, Value>) -> Found<'a> {
    let children = children(value);
    if children.is_empty() {
        return Vec::new();
    }
    let below = children.iter().flat_map(descendants).collect::<Vec<_>>();
    std::iter::once(value.clone()).chain(below).collect()
}

fn sliced<'a>(value: &Cow<'a, Value>, slice: Slice) -> Result<Found<'a>, String> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    if !value.is_array() {
        return Err(format!("{} is not array or slice", super::go_text(value)));
    }
    let items = children(value);
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { index + length } else { index };
    let outside = |index: i64| format!("array index out of bounds: index {index}, length {length}");
    let (start, end, stride) = match slice {
        Slice::One(index) => (from_end(index), from_end(index) + 1, 1),
        Slice::Range { start, end, step } => {
            (from_end(start.unwrap_or(0)), end.map_or(length, from_end), step.unwrap_or(1))
        }
    };
    if stride <= 0 {
        return Err("step must be > 0".to_owned());
    }
    if start == end {
        return Ok(Vec::new());
    }
    if start < 0 || start >= length {
        return Err(outside(start));
    }
    if end < 0 || end > length {
        return Err(outside(end - 1));
    }
    if start > end {
        return Err(format!("starting index {start} is greater than ending index {end}"));
    }
    let size = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(items.into_iter().take(size(end)).skip(size(start)).step_by(size(stride)).collect())
}

fn filtered<'a>(
    from: &Found<'a>,
    left: &[Node],
    comparison: Option<&(Operator, Vec<Node>)>,
) -> Result<Found<'a>, String> {
    let mut found = Vec::new();
    for value in from.iter().filter(|value| !value.is_null()) {
        if !value.is_array() {
            return Err(format!("{} is not array or slice and cannot be filtered", super::go_text(value)));
        }
        for item in children(value) {
            let lefts = steps(left, vec![item.clone()])?;
            let keep = match comparison {
                None => !lefts.is_empty(),
                Some((operator, right)) => {
                    let rights = steps(right, vec![item.clone()])?;
                    match (lefts.as_slice(), rights.as_slice()) {
                        ([], _) | (_, []) => false,
                        ([left], [right]) => holds(*operator, left, right)?,
                        _ => return Err("can only compare one element at a time".to_owned()),
                    }
                }
            };
            if keep {
                found.push(item);
            }
        }
    }
    Ok(found)
}

fn holds(operator: Operator, left: &Value, right: &Value) -> Result<bool, String> {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right)),
        },
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let ordering = ordering.ok_or("incompatible types for comparison")?;
    Ok(match operator {
        Operator::Equal => ordering == Ordering::Equal,
        Operator::NotEqual => ordering != Ordering::Equal,
        Operator::Less => ordering == Ordering::Less,
        Operator::LessOrEqual => ordering != Ordering::Greater,
        Operator::Greater => ordering == Ordering::Greater,
        Operator::GreaterOrEqual => ordering != Ordering::Less,
    })
}
