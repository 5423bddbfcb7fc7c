//! Fits a JSON value to the schema table, as Go's decoder and encoder would:
//! unknown members dropped, null absent, JSON types checked, empty values of
//! `omitempty` fields left out, times and quantities in canonical form.

use serde_json::{Map, Value};

use super::{DecodeError, Decoded, FieldProblem, PROBLEMS_MAX, scalar};
use crate::model::schema::{Field, Shape, Type, Zero, find};

/// Fits a value to the schema.
///
/// # Errors
/// A member of the wrong type.
pub fn prune(ty: &'static Type, value: Value) -> Result<Decoded, DecodeError> {
    let mut fit = Fit { path: Vec::new(), problems: Vec::new(), root: ty.kind() };
    let value = fit.object(ty, value)?;
    Ok(Decoded { value, problems: fit.problems })
}

/// Adds what the real server writes even when the client left it out: empty
/// structs such as `status: {}`, zeros of required fields and `null` for lists such
/// as a slice's `endpoints`, which it also writes for an empty list. For objects about
/// to be stored, after defaulting; never for an apply patch, whose fields are
/// owned as sent.
pub fn fill(ty: &'static Type, value: &mut Value) {
    let Value::Object(members) = value else { return };
    for field in ty.members() {
        if field.zero == Zero::Written
            && !members.contains_key(field.name)
            && let Some(empty) = zero(field.shape)
        {
            members.insert(field.name.to_owned(), empty);
        }
        if let Some(value) = members.get_mut(field.name) {
            fill_shape(field.shape, value);
            // What the real server stores has no empty lists, only absent ones.
            if field.zero == Zero::Written && matches!(value, Value::Array(items) if items.is_empty()) {
                *value = Value::Null;
            }
        }
    }
}

fn fill_shape(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Object(name), value) => {
            if let Some(ty) = find(name) {
                fill(ty, value);
            }
        }
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| fill_shape(*item, value)),
        (Shape::Map(item), Value::Object(members)) => members.values_mut().for_each(|value| fill_shape(*item, value)),
        _ => {}
    }
}

/// What Go writes for a value nobody set.
fn zero(shape: Shape) -> Option<Value> {
    match shape {
        Shape::String | Shape::Bytes => Some(Value::String(String::new())),
        Shape::Bool => Some(Value::Bool(false)),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => Some(Value::from(0)),
        Shape::Double => Some(Value::from(0.0)),
        Shape::Quantity => Some(Value::String("0".to_owned())),
        Shape::Object(_) | Shape::Map(_) | Shape::FieldsV1 => Some(Value::Object(Map::new())),
        Shape::List(_) => Some(Value::Array(Vec::new())),
        Shape::Time | Shape::MicroTime => Some(Value::Null),
        Shape::Any => None,
    }
}

/// One step of a path.
enum Step {
    Field(&'static str),
    Key(String),
    Index(usize),
}

struct Fit {
    path: Vec<Step>,
    problems: Vec<FieldProblem>,
    root: &'static str,
}

impl Fit {
    fn object(&mut self, ty: &'static Type, value: Value) -> Result<Value, DecodeError> {
        let members = match value {
            Value::Object(members) => members,
            other => return Err(self.refuse(&other, "object")),
        };
        let mut kept = Map::new();
        for (name, value) in members {
            if value.is_null() {
                if ty.member(&name).is_none() && !is_type_meta(ty, &name) {
                    self.unknown(&name);
                }
                continue;
            }
            if is_type_meta(ty, &name) {
                self.path.push(Step::Key(name.clone()));
                let value = self.shape(Shape::String, value)?;
                self.path.pop();
                kept.insert(name, value);
                continue;
            }
            let Some(field) = ty.member(&name) else {
                self.unknown(&name);
                continue;
            };
            self.path.push(Step::Field(field.name));
            let value = self.shape(field.shape, value)?;
            self.path.pop();
            if !is_absent(field, &value) {
                kept.insert(name, value);
            }
        }
        Ok(Value::Object(kept))
    }

    fn shape(&mut self, shape: Shape, value: Value) -> Result<Value, DecodeError> {
        match (shape, value) {
            (Shape::Object(name), value) => match find(name) {
                Some(ty) => self.object(ty, value),
                None => Ok(value),
            },
            (Shape::List(item), Value::Array(items)) => {
                let mut kept = Vec::with_capacity(items.len());
                for (index, value) in items.into_iter().enumerate() {
                    self.path.push(Step::Index(index));
                    kept.push(self.element(*item, value)?);
                    self.path.pop();
                }
                Ok(Value::Array(kept))
            }
            (Shape::Map(item), Value::Object(members)) => {
                let mut kept = Map::new();
                for (key, value) in members {
                    self.path.push(Step::Key(key));
                    let value = self.element(*item, value)?;
                    if let Some(Step::Key(key)) = self.path.pop() {
                        kept.insert(key, value);
                    }
                }
                Ok(Value::Object(kept))
            }
            (shape, value) => scalar::fit(shape, value).map_err(|(value, expected)| self.refuse(&value, expected)),
        }
    }

    /// A null in a list or map is the zero value, as in Go.
    fn element(&mut self, shape: Shape, value: Value) -> Result<Value, DecodeError> {
        match value {
            Value::Null => Ok(zero(shape).unwrap_or_default()),
            value => self.shape(shape, value),
        }
    }

    fn unknown(&mut self, name: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            let path = self.path();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.problems.push(FieldProblem::Unknown { path });
        }
    }

    fn refuse(&self, value: &Value, expected: &'static str) -> DecodeError {
        let path = self.path();
        let path = if path.is_empty() { self.root.to_owned() } else { path };
        DecodeError::Shape { path, found: scalar::found(value, expected), expected }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) => dotted(&mut path, name),
                Step::Key(key) => dotted(&mut path, key),
            }
        }
        path
    }
}

fn dotted(path: &mut String, step: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(step);
}

fn is_type_meta(ty: &Type, name: &str) -> bool {
    ty.top && (name == "kind" || name == "apiVersion")
}

/// Whether Go could not tell the value from an absent one.
fn is_absent(field: &Field, value: &Value) -> bool {
    match (field.zero, field.shape) {
        (Zero::Dropped, Shape::IntOrString) => is_zero(value),
        // An IntOrString held by value: targetPort 0 is no targetPort.
        (Zero::Written, Shape::IntOrString) => !field.required && is_zero(value),
        (Zero::Dropped, _) => is_zero(value),
        (Zero::Kept | Zero::Written, _) => false,
    }
}

pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}
