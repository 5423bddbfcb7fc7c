//! How endpoints are laid into slices (spec/endpoints.md section 4): in place,
//! few writes, never more than [`ENDPOINTS_MAX`] in one slice.

use std::collections::BTreeMap;

use serde_json::Value;

/// Most endpoints the slice controller puts into one slice.
pub(super) const ENDPOINTS_MAX: usize = 100;

/// What becomes of the slices of one key.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// By index of the existing slice, its endpoints afterwards; an empty one goes.
    pub(super) existing: Vec<Vec<Value>>,
    /// Endpoints of the slices to create.
    pub(super) fresh: Vec<Vec<Value>>,
}

/// An endpoint is the same one as long as its address and Pod are.
fn identity(endpoint: &Value) -> String {
    let part = |pointer| endpoint.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", part("/addresses/0"), part("/targetRef/uid"))
}

/// Lays `desired` into `existing` slices and as many new ones as needed.
/// `max` is the bound of one slice.
pub(super) fn pack(existing: &[Vec<Value>], desired: Vec<Value>, max: usize) -> Packing {
    let mut wanted: BTreeMap<String, Value> = desired.into_iter().map(|e| (identity(&e), e)).collect();
    let mut slices: Vec<Vec<Value>> = Vec::with_capacity(existing.len());
    for old in existing {
        slices.push(old.iter().filter_map(|endpoint| wanted.remove(&identity(endpoint))).take(max).collect());
    }
    let mut left: Vec<Value> = wanted.into_values().collect();
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(slices.get(*i).map_or(0, Vec::len)));
    for index in order.iter().copied() {
        let (Some(slice), Some(old)) = (slices.get_mut(index), existing.get(index)) else { continue };
        if slice != old {
            let room = max.saturating_sub(slice.len()).min(left.len());
            slice.extend(left.drain(..room));
        }
    }
    let mut fresh = Vec::new();
    while left.len() >= max {
        fresh.push(left.drain(..max).collect());
    }
    if !left.is_empty() {
        let fits = |i: &usize| slices.get(*i).is_some_and(|slice| slice.len() + left.len() <= max);
        match order.iter().copied().find(fits).and_then(|i| slices.get_mut(i)) {
            Some(slice) => slice.append(&mut left),
            None => fresh.push(left),
        }
    }
    Packing { existing: slices, fresh }
}
