//! The pages of ConfigMaps and Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::page::{Page, members, text_at};

pub(super) fn config_map(page: &mut Page, object: &Value) {
    page.head(object);
    page.line(0, "\nData\n====");
    for (key, value) in members(object.get("data")) {
        page.line(0, &format!("{key}:\n----\n{value}\n"));
    }
    page.line(0, "\nBinaryData\n====");
    for (key, value) in members(object.get("binaryData")) {
        page.line(0, &format!("{key}: {} bytes", size(value)));
    }
    page.line(0, "");
}

/// Sizes, never values; only a service account's token is shown, as kubectl does.
pub(super) fn secret(page: &mut Page, object: &Value) {
    page.head(object);
    let kind = text_at(object, "/type");
    page.line(0, &format!("\nType:\t{kind}"));
    page.line(0, "\nData\n====");
    for (key, value) in members(object.get("data")) {
        if key == "token" && kind == "kubernetes.io/service-account-token" {
            let token = STANDARD.decode(value).unwrap_or_default();
            page.row(0, key, &String::from_utf8_lossy(&token));
        } else {
            page.row(0, key, &format!("{} bytes", size(value)));
        }
    }
}

fn size(encoded: &str) -> usize {
    STANDARD.decode(encoded).map_or(0, |bytes| bytes.len())
}
