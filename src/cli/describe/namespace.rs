//! The page of a Namespace.

use serde_json::Value;

use super::moment;
use super::page::{Page, list_at, text_at};

pub(super) fn page(page: &mut Page, object: &Value) {
    page.row(0, "Name", text_at(object, "/metadata/name"));
    page.labels_and_annotations(object);
    page.row(0, "Status", text_at(object, "/status/phase"));
    conditions(page, list_at(object, "/status/conditions"));
}

pub(super) fn conditions(page: &mut Page, conditions: &[Value]) {
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
    page.line(1, "----\t------\t------------------\t------\t-------");
    for condition in conditions {
        let text = |path: &str| text_at(condition, path);
        let since = moment::long(text("/lastTransitionTime"));
        page.line(
            1,
            &format!("{}\t{}\t{since}\t{}\t{}", text("/type"), text("/status"), text("/reason"), text("/message")),
        );
    }
}
