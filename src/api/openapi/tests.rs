//! What kubectl looks for in the documents.

use serde_json::Value;

use super::{group_path, v2_json, v3, v3_index};
use crate::model::Kind;

fn v3_value(path: &str) -> Value {
    serde_json::from_slice(&v3(path).unwrap().json).unwrap()
}

#[test]
fn the_index_names_every_group_by_its_content() {
    let index: Value = serde_json::from_slice(&v3_index()).unwrap();
    for path in ["api/v1", "apis/discovery.k8s.io/v1"] {
        let url = index["paths"][path]["serverRelativeURL"].as_str().unwrap();
        assert_eq!(url, format!("/openapi/v3/{path}?hash={}", v3(path).unwrap().hash));
    }
    assert!(v3("api/v2").is_none());
}

#[test]
fn every_patch_validates_fields_and_every_operation_names_its_kind() {
    for kind in Kind::ALL {
        let document = v3_value(&group_path(kind.resource()));
        let row = kind.resource();
        let scope = if row.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("/{}{scope}/{}/{{name}}", group_path(kind.resource()), row.plural);
        for method in ["get", "put", "patch", "delete"] {
            let operation = &document["paths"][&path][method];
            assert_eq!(operation["x-kubernetes-group-version-kind"]["kind"], row.kind, "{method} {path}");
            assert_eq!(operation["x-kubernetes-action"], method);
        }
        let parameters = document["paths"][&path]["patch"]["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"), "{path}");
    }
}

#[test]
fn the_token_of_an_account_is_of_another_group() {
    let document = v3_value("api/v1");
    let post = &document["paths"]["/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"]["post"];
    assert_eq!(post["operationId"], "createCoreV1NamespacedServiceAccountToken");
    let schema = &document["components"]["schemas"]["io.k8s.api.authentication.v1.TokenRequest"];
    let of = serde_json::json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"});
    assert_eq!(post["x-kubernetes-group-version-kind"], of);
    assert_eq!(schema["x-kubernetes-group-version-kind"][0], of);
    assert!(v3_value("apis/authentication.k8s.io/v1")["paths"].as_object().unwrap().len() == 2);
}

#[test]
fn merge_keys_and_list_types_are_told() {
    let document = v3_value("api/v1");
    let ports = &document["components"]["schemas"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "port");
    assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(ports["x-kubernetes-list-type"], "map");
    assert_eq!(ports["x-kubernetes-list-map-keys"], serde_json::json!(["port", "protocol"]));
}

#[test]
fn values_and_defaults_are_told_as_the_real_server_tells_them() {
    let v3 = v3_value("api/v1");
    let v2: Value = serde_json::from_slice(&v2_json()).unwrap();
    let of = |document: &Value, place: &str, ty: &str, field: &str| {
        document.pointer(&format!("{place}/io.k8s.api.core.v1.{ty}/properties/{field}")).unwrap().clone()
    };
    let (three, two) = ("/components/schemas", "/definitions");
    let kinds = serde_json::json!(["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    assert_eq!(of(&v3, three, "ServiceSpec", "type")["enum"], kinds);
    assert_eq!(of(&v2, two, "ServiceSpec", "type")["enum"], kinds);
    let families = serde_json::json!(["", "IPv4", "IPv6"]);
    assert_eq!(of(&v3, three, "ServiceSpec", "ipFamilies")["items"]["enum"], families);
    assert_eq!(of(&v3, three, "ServicePort", "protocol")["default"], "TCP");
    assert_eq!(of(&v3, three, "ServicePort", "port")["default"], 0);
    assert_eq!(of(&v3, three, "Service", "metadata")["default"], serde_json::json!({}));
    assert_eq!(of(&v3, three, "AzureDiskVolumeSource", "readOnly")["default"], false);
    assert!(of(&v3, three, "ServiceSpec", "clusterIP").get("default").is_none());
    assert!(of(&v2, two, "ServicePort", "protocol").get("default").is_none(), "v2 tells none");
    let profile = &v3["components"]["schemas"]["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"][0];
    assert_eq!(profile["discriminator"], "type");
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_operation_ids_are_unique() {
    let v2: Value = serde_json::from_slice(&v2_json()).unwrap();
    for document in [v3_value("api/v1"), v3_value("apis/discovery.k8s.io/v1"), v2] {
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut ids: Vec<&str> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
