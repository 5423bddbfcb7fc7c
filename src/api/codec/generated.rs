//! Objects of every kind as the schema table allows them, for laws.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::model::Kind;
use crate::model::schema::{Field, Shape, Type, Zero, find, type_of};

/// An object in which each member may stand, or not.
pub(crate) fn any_object(ty: &'static Type, depth: u32) -> BoxedStrategy<Value> {
    let members: Vec<BoxedStrategy<Option<(String, Value)>>> =
        ty.members().map(|field| any_member(field, depth).boxed()).collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn any_member(field: &'static Field, depth: u32) -> BoxedStrategy<Option<(String, Value)>> {
    let leaf = !matches!(field.shape, Shape::Object(_) | Shape::List(Shape::Object(_)));
    if depth == 0 && !leaf {
        return Just(None).boxed();
    }
    let value = any_value(field.shape, depth);
    let (name, zero) = (field.name.to_owned(), field.zero);
    let empty = move |value: &Value| {
        // Empty lists and maps have no form on the wire.
        let hollow = matches!(value, Value::Array(items) if items.is_empty())
            || matches!((value, field.shape), (Value::Object(members), Shape::Map(_)) if members.is_empty());
        hollow || (zero == Zero::Dropped && super::fit::is_zero(value))
    };
    let unset = move |value: &Value| field.shape == Shape::IntOrString && super::fit::is_zero(value);
    prop::option::weighted(0.4, value)
        .prop_map(move |value| value.filter(|v| !empty(v) && !unset(v)).map(|value| (name.clone(), value)))
        .boxed()
}

fn any_value(shape: Shape, depth: u32) -> BoxedStrategy<Value> {
    match shape {
        Shape::String => "[a-zé]{0,4}".prop_map(Value::from).boxed(),
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Int32 => any::<i32>().prop_map(Value::from).boxed(),
        Shape::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        Shape::Double => any::<i16>().prop_map(|n| Value::from(f64::from(n))).boxed(),
        Shape::Bytes => Just(Value::from("AAEC")).boxed(),
        Shape::Quantity => prop::sample::select(vec!["1", "512Mi", "100m"]).prop_map(Value::from).boxed(),
        Shape::IntOrString => prop_oneof![any::<i32>().prop_map(Value::from), Just(Value::from("http"))].boxed(),
        Shape::Time => Just(Value::from("2024-03-01T00:30:00Z")).boxed(),
        Shape::MicroTime => Just(Value::from("1950-03-01T00:30:00.000001Z")).boxed(),
        Shape::FieldsV1 | Shape::Any => Just(json!({"f:a": {}})).boxed(),
        Shape::Object(name) => any_object(find(name).unwrap(), depth.saturating_sub(1)),
        Shape::List(item) => {
            prop::collection::vec(any_value(*item, depth.saturating_sub(1)), 0..3).prop_map(Value::from).boxed()
        }
        Shape::Map(item) => prop::collection::btree_map("[a-z]{1,3}", any_value(*item, depth), 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
            .boxed(),
    }
}

/// Any kind with an object of it.
pub(crate) fn any_kind() -> impl Strategy<Value = (Kind, Value)> {
    prop::sample::select(Kind::ALL.to_vec()).prop_flat_map(|kind| (Just(kind), any_object(type_of(kind), 4)))
}
