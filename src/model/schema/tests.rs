//! The table holds together.

use std::collections::BTreeSet;

use super::{Shape, TABLES, all, find, list_of, type_of};
use crate::model::Kind;

fn named(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Object(name) => Some(name),
        Shape::List(item) | Shape::Map(item) => named(*item),
        _ => None,
    }
}

#[test]
fn every_kind_and_its_list_stand_in_the_table() {
    for kind in Kind::ALL {
        let name = kind.resource().kind;
        let list = list_of(kind).unwrap();
        assert!(type_of(kind).top && type_of(kind).kind() == name, "{name}");
        assert!(list.top && list.member("items").is_some(), "{name}List");
    }
}

#[test]
fn every_type_named_exists_and_no_name_stands_twice() {
    let count: usize = TABLES.iter().map(|table| table.len()).sum();
    assert_eq!(count, all().count(), "a name stands twice");
    for ty in all() {
        for field in ty.fields {
            if let Some(name) = named(field.shape) {
                assert!(find(name).is_some(), "{}.{}: {name}", ty.name, field.name);
            }
        }
    }
}

#[test]
fn members_and_numbers_are_unique_and_described() {
    for ty in all() {
        let names: BTreeSet<&str> = ty.members().map(|field| field.name).collect();
        let numbers: BTreeSet<u32> = ty.fields.iter().map(|field| field.number).collect();
        assert_eq!(names.len(), ty.members().count(), "{}", ty.name);
        assert_eq!(numbers.len(), ty.fields.len(), "{}", ty.name);
        assert!(!ty.description.is_empty(), "{}", ty.name);
        assert!(ty.members().all(|field| !field.description.is_empty()), "{}", ty.name);
    }
}

#[test]
fn merge_keys_are_fields_of_the_items() {
    for (ty, field) in all().flat_map(|ty| ty.members().map(move |field| (ty, field))) {
        let item = named(field.shape).and_then(find);
        let keys = match (field.patch, field.list) {
            (super::Patch::Merge(key) | super::Patch::MergeRetainKeys(key), super::ListType::Map(keys)) => {
                [&[key], keys].concat()
            }
            (super::Patch::Merge(key) | super::Patch::MergeRetainKeys(key), _) => vec![key],
            (_, super::ListType::Map(keys)) => keys.to_vec(),
            _ => continue,
        };
        for key in keys {
            assert!(item.is_some_and(|item| item.member(key).is_some()), "{}.{}: {key}", ty.name, field.name);
        }
    }
}
