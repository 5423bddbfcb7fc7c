//! Which ranges a ServiceCIDR stands for, and for whom (spec/service.md section 4.4).

use ipnet::IpNet;
use serde_json::Value;

use super::Object;

/// Its ranges; what is no range is passed over.
pub fn ranges(object: &Object) -> Vec<IpNet> {
    let value = object.value();
    let cidrs = value.pointer("/spec/cidrs").and_then(Value::as_array).into_iter().flatten();
    cidrs.filter_map(|cidr| cidr.as_str()?.parse().ok()).collect()
}

/// Whether addresses are given from it: ready or not told of yet, and not going.
pub fn gives(object: &Object) -> bool {
    !object.meta.deleting && !is_unready(object)
}

/// Whether its addresses are Services' alone. One that is going stays so until it is
/// gone: the addresses it gave are in use till then.
pub fn holds(object: &Object) -> bool {
    object.meta.deleting || !is_unready(object)
}

fn is_unready(object: &Object) -> bool {
    let value = object.value();
    let text = |row: &Value, member: &str| row.get(member).and_then(Value::as_str).map(str::to_owned);
    let mut conditions = value.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = conditions.find(|row| text(row, "type").as_deref() == Some("Ready"));
    ready.is_some_and(|row| text(row, "status").as_deref() != Some("True"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Draft, Kind, Revision};

    fn object(ready: Option<&str>, deleting: bool) -> Object {
        let mut value = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.50.0.0/24", "fd50::/112"]}});
        if let Some(status) = ready {
            value["status"] = json!({"conditions": [{"type": "Ready", "status": status}]});
        }
        if deleting {
            value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Draft::new(Kind::ServiceCidr, &value).unwrap().commit(Revision(1))
    }

    #[test]
    fn a_range_that_is_going_gives_nothing_and_holds_what_it_gave() {
        let said = |ready, deleting| (gives(&object(ready, deleting)), holds(&object(ready, deleting)));
        assert_eq!(said(None, false), (true, true), "not told of yet");
        assert_eq!(said(Some("True"), false), (true, true));
        assert_eq!(said(Some("False"), false), (false, false));
        assert_eq!(said(Some("False"), true), (false, true), "blocked by its addresses");
        assert_eq!(said(Some("True"), true), (false, true));
        assert_eq!(ranges(&object(None, false)).len(), 2);
    }
}
