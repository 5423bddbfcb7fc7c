//! The volumes of a Pod.

use serde_json::Value;

use super::page::{Page, list_at, or_unset, text_at};

pub(super) fn all(page: &mut Page, volumes: &[Value]) {
    if volumes.is_empty() {
        return page.row(0, "Volumes", "<none>");
    }
    page.line(0, "Volumes:");
    for volume in volumes {
        page.line(1, &format!("{}:", text_at(volume, "/name")));
        one(page, volume);
    }
}

fn one(page: &mut Page, volume: &Value) {
    let flag =
        |source: &Value, member: &str| source.get(member).and_then(Value::as_bool).unwrap_or_default().to_string();
    let mut rows = |title: &str, rows: &[(&str, &str)]| {
        page.row(2, "Type", title);
        rows.iter().for_each(|(label, value)| page.row(2, label, value));
    };
    if let Some(source) = volume.get("hostPath") {
        // The server fills in an empty type; "<none>" is for one that is absent.
        let kind = source.get("type").and_then(Value::as_str).unwrap_or("<none>");
        let path = text_at(source, "/path");
        rows("HostPath (bare host directory volume)", &[("Path", path), ("HostPathType", kind)]);
    } else if let Some(source) = volume.get("emptyDir") {
        let (medium, limit) = (text_at(source, "/medium"), or_unset(text_at(source, "/sizeLimit")));
        let title = "EmptyDir (a temporary directory that shares a pod's lifetime)";
        rows(title, &[("Medium", medium), ("SizeLimit", limit)]);
    } else if let Some(source) = volume.get("secret") {
        let name = text_at(source, "/secretName");
        rows(
            "Secret (a volume populated by a Secret)",
            &[("SecretName", name), ("Optional", &flag(source, "optional"))],
        );
    } else if let Some(source) = volume.get("configMap") {
        let name = text_at(source, "/name");
        rows(
            "ConfigMap (a volume populated by a ConfigMap)",
            &[("Name", name), ("Optional", &flag(source, "optional"))],
        );
    } else if let Some(source) = volume.get("persistentVolumeClaim") {
        let title = "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)";
        rows(title, &[("ClaimName", text_at(source, "/claimName")), ("ReadOnly", &flag(source, "readOnly"))]);
    } else if let Some(source) = volume.get("nfs") {
        let (server, path) = (text_at(source, "/server"), text_at(source, "/path"));
        let title = "NFS (an NFS mount that lasts the lifetime of a pod)";
        rows(title, &[("Server", server), ("Path", path), ("ReadOnly", &flag(source, "readOnly"))]);
    } else if let Some(source) = volume.get("downwardAPI") {
        rows("DownwardAPI (a volume populated by information about the pod)", &[]);
        page.line(2, "Items:");
        for item in list_at(source, "/items") {
            page.line(3, &format!("{} -> {}", text_at(item, "/fieldRef/fieldPath"), text_at(item, "/path")));
        }
    } else if let Some(source) = volume.get("projected") {
        rows("Projected (a volume that contains injected data from multiple sources)", &[]);
        list_at(source, "/sources").iter().for_each(|source| projected(page, source));
    } else {
        page.line(1, "<unknown>");
    }
}

fn projected(page: &mut Page, source: &Value) {
    let optional = |from: &Value| from.get("optional").and_then(Value::as_bool).unwrap_or_default().to_string();
    if let Some(secret) = source.get("secret") {
        page.row(2, "SecretName", text_at(secret, "/name"));
        page.row(2, "Optional", &optional(secret));
    } else if let Some(map) = source.get("configMap") {
        page.row(2, "ConfigMapName", text_at(map, "/name"));
        page.row(2, "Optional", &optional(map));
    } else if source.get("downwardAPI").is_some() {
        page.row(2, "DownwardAPI", "true");
    } else if let Some(token) = source.get("serviceAccountToken") {
        let seconds = super::page::number_at(token, "/expirationSeconds");
        page.row(2, "TokenExpirationSeconds", &seconds.to_string());
    }
}
