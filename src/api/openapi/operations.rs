//! The operations on each kind's paths. kubectl looks here whether PATCH knows
//! `fieldValidation`: if not, it validates by itself.

use serde_json::{Map, Value, json};

use super::{Served, Version, group_path, schemas};
use crate::model::kind::Resource;
use crate::model::review::TOKEN_REQUEST;
use crate::model::schema::{Type, find};

/// Bodies and answers of objects.
const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Forms of a PATCH.
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// One query parameter: name, JSON type, description.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "true indents the answer.");
const DRY_RUN: Parameter = ("dryRun", "string", "All processes the request and stores nothing.");
const MANAGER: Parameter = ("fieldManager", "string", "Who makes the change; required for apply.");
const VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What happens to unknown and duplicate fields: Strict refuses, Warn (default) warns, Ignore drops.",
);
const FORCE: Parameter = ("force", "boolean", "Take over conflicting fields; only for apply.");
const LIST: [Parameter; 8] = [
    ("labelSelector", "string", "Only objects with matching labels."),
    ("fieldSelector", "string", "Only objects with matching fields."),
    ("limit", "integer", "Most objects of one page."),
    ("continue", "string", "Token of the next page."),
    ("resourceVersion", "string", "Version to read at or to watch from."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: NotOlderThan or Exact."),
    ("timeoutSeconds", "integer", "Seconds after which a watch is closed."),
    ("sendInitialEvents", "boolean", "Begin a watch with the objects there are."),
];
const WATCH: [Parameter; 2] = [
    ("watch", "boolean", "Stream changes instead of listing."),
    ("allowWatchBookmarks", "boolean", "Let a watch tell its position now and then."),
];
const DELETE: [Parameter; 4] = [
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds the object gets to end."),
    ("propagationPolicy", "string", "Orphan, Background or Foreground."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
];

/// Adds the paths of a kind or review.
pub(super) fn write(served: Served, version: Version, paths: &mut Map<String, Value>) {
    let row = served.row;
    let root = format!("/{}", group_path(row));
    let scope = if row.namespaced { "/namespaces/{namespace}" } else { "" };
    let writer = Writer { served, version };
    let collection = format!("{root}{scope}/{}", row.plural);
    let item = format!("{collection}/{{name}}");
    let namespace: &[&str] = if row.namespaced { &["namespace"] } else { &[] };
    if served.list.is_none() {
        // Only POST is answered. kubectl asks PATCH alone whether fields are validated
        // here, and would otherwise refuse to send a review at all.
        paths.insert(collection, writer.path([("post", writer.post()), ("patch", writer.patch(""))], namespace));
        return;
    }
    if row.namespaced {
        let everywhere = writer.path([("get", writer.list("ForAllNamespaces"))], &[]);
        paths.insert(format!("{root}/{}", row.plural), everywhere);
    }
    let mut methods = vec![("get", writer.list("")), ("post", writer.post())];
    if row.delete_collection {
        methods.push(("delete", writer.delete("deletecollection")));
    }
    paths.insert(collection, writer.path(methods, namespace));
    let named = [namespace, &["name"]].concat();
    let methods = [
        ("get", writer.get("")),
        ("put", writer.put("")),
        ("patch", writer.patch("")),
        ("delete", writer.delete("delete")),
    ];
    paths.insert(item.clone(), writer.path(methods, &named));
    for sub in row.subresources {
        let mut methods = vec![("put", writer.put(sub))];
        if *sub != "finalize" {
            methods.extend([("get", writer.get(sub)), ("patch", writer.patch(sub))]);
        }
        paths.insert(format!("{item}/{sub}"), writer.path(methods, &named));
    }
    if let Some(ty) = tokens(row) {
        paths.insert(format!("{item}/token"), writer.path([("post", writer.token(ty))], &named));
    }
}

/// The type of the wish for a token, of the kind that has tokens.
pub(super) fn tokens(row: &Resource) -> Option<&'static Type> {
    let (plural, _) = TOKEN_REQUEST.plural.split_once('/')?;
    (row.plural == plural).then(|| find(TOKEN_REQUEST.kind)).flatten()
}

struct Writer {
    served: Served,
    version: Version,
}

/// What differs between operations.
struct Operation<'a> {
    action: &'a str,
    verb: &'a str,
    suffix: &'a str,
    parameters: Vec<Parameter>,
    /// Schema and media types of the body.
    body: Option<(&'a str, &'a [&'a str])>,
    answer: &'a str,
    creates: bool,
}

impl Writer {
    fn object(&self) -> &'static str {
        self.served.ty.openapi
    }

    fn list(&self, suffix: &str) -> Value {
        let answer = self.served.list.map_or_else(|| self.object(), |list| list.openapi);
        let parameters = LIST.into_iter().chain(WATCH).collect();
        self.operation(Operation {
            action: "list",
            verb: "list",
            suffix,
            parameters,
            body: None,
            answer,
            creates: false,
        })
    }

    fn get(&self, suffix: &str) -> Value {
        let answer = self.object();
        self.operation(Operation {
            action: "get",
            verb: "read",
            suffix,
            parameters: Vec::new(),
            body: None,
            answer,
            creates: false,
        })
    }

    fn post(&self) -> Value {
        self.writing("post", "create", "", (self.object(), &MEDIA_TYPES), &[])
    }

    /// A token of the object: of another group, below this one.
    fn token(&self, ty: &Type) -> Value {
        let mut operation = self.operation(Operation {
            action: "post",
            verb: "create",
            suffix: "Token",
            parameters: vec![DRY_RUN, MANAGER, VALIDATION],
            body: Some((ty.openapi, &MEDIA_TYPES)),
            answer: ty.openapi,
            creates: true,
        });
        let Resource { group, version, kind, .. } = TOKEN_REQUEST;
        if let Value::Object(members) = &mut operation {
            let of = json!({ "group": group, "version": version, "kind": kind });
            members.insert("x-kubernetes-group-version-kind".to_owned(), of);
        }
        operation
    }

    fn put(&self, suffix: &str) -> Value {
        self.writing("put", "replace", suffix, (self.object(), &MEDIA_TYPES), &[])
    }

    fn patch(&self, suffix: &str) -> Value {
        self.writing("patch", "patch", suffix, (schemas::PATCH, &PATCH_TYPES), &[FORCE])
    }

    fn writing(&self, action: &str, verb: &str, suffix: &str, body: (&str, &[&str]), more: &[Parameter]) -> Value {
        let parameters = [&[DRY_RUN, MANAGER, VALIDATION], more].concat();
        let answer = self.object();
        self.operation(Operation { action, verb, suffix, parameters, body: Some(body), answer, creates: true })
    }

    fn delete(&self, action: &str) -> Value {
        let collection = action == "deletecollection";
        let options = find("DeleteOptions").map(|options| (options.openapi, &MEDIA_TYPES[..]));
        let status = find("Status").map_or_else(|| self.object(), |status| status.openapi);
        let own = self.served.row.delete_returns_object && !collection;
        let mut parameters = DELETE.to_vec();
        if collection {
            parameters.extend(LIST);
        }
        self.operation(Operation {
            action,
            verb: "delete",
            suffix: "",
            parameters,
            body: options,
            answer: if own { self.object() } else { status },
            creates: false,
        })
    }

    fn operation(&self, operation: Operation<'_>) -> Value {
        let row = self.served.row;
        let Operation { action, verb, suffix, parameters, body, answer, creates } = operation;
        let group = capital(&group_word(row.group));
        let scope = if row.namespaced && suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
        let collection = if action == "deletecollection" { "Collection" } else { "" };
        let id = format!("{verb}{group}{}{collection}{scope}{}{}", capital(row.version), row.kind, capital(suffix));
        let mut value = json!({
            "operationId": id,
            "description": format!("{verb} {} {suffix}", row.kind).trim(),
            "tags": [format!("{}_{}", group_word(row.group), row.version)],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": { "group": row.group, "version": row.version, "kind": row.kind },
            "responses": self.responses(answer, creates),
        });
        let mut parameters: Vec<Value> = parameters.into_iter().map(|p| self.parameter(p, "query")).collect();
        if let Value::Object(members) = &mut value {
            if let Some((schema, media_types)) = body {
                let schema = schemas::reference(schema, self.version);
                if self.version == Version::V3 {
                    let content = content(&schema, media_types);
                    members.insert("requestBody".to_owned(), json!({ "content": content, "required": creates }));
                } else {
                    parameters.push(json!({ "name": "body", "in": "body", "required": creates, "schema": schema }));
                    members.insert("consumes".to_owned(), json!(media_types));
                }
            }
            if self.version == Version::V2 {
                members.insert("produces".to_owned(), json!(MEDIA_TYPES));
            }
            members.insert("parameters".to_owned(), Value::Array(parameters));
        }
        value
    }

    fn responses(&self, answer: &str, creates: bool) -> Value {
        let schema = schemas::reference(answer, self.version);
        let one = |description: &str| match self.version {
            Version::V3 => json!({ "description": description, "content": content(&schema, &MEDIA_TYPES) }),
            Version::V2 => json!({ "description": description, "schema": schema }),
        };
        let mut responses = Map::new();
        responses.insert("200".to_owned(), one("OK"));
        if creates {
            responses.insert("201".to_owned(), one("Created"));
        }
        responses.insert("401".to_owned(), json!({ "description": "Unauthorized" }));
        Value::Object(responses)
    }

    fn path<'a>(&self, methods: impl IntoIterator<Item = (&'a str, Value)>, named: &[&'static str]) -> Value {
        let mut path: Map<String, Value> = methods.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut parameters = vec![self.parameter(PRETTY, "query")];
        parameters
            .extend(named.iter().map(|name| self.parameter((name, "string", "From the object's metadata."), "path")));
        path.insert("parameters".to_owned(), Value::Array(parameters));
        Value::Object(path)
    }

    fn parameter(&self, (name, kind, description): Parameter, place: &str) -> Value {
        let mut parameter = json!({ "name": name, "in": place, "description": description });
        if let Value::Object(members) = &mut parameter {
            if self.version == Version::V3 {
                members.insert("schema".to_owned(), json!({ "type": kind, "uniqueItems": true }));
            } else {
                members.insert("type".to_owned(), kind.into());
                members.insert("uniqueItems".to_owned(), true.into());
            }
            if place == "path" {
                members.insert("required".to_owned(), true.into());
            }
        }
        parameter
    }
}

fn content(schema: &Value, media_types: &[&str]) -> Map<String, Value> {
    media_types.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect()
}

/// `rbacAuthorization` of `rbac.authorization.k8s.io`; the core group's word is `core`.
fn group_word(group: &str) -> String {
    let mut words = group.trim_end_matches(".k8s.io").split('.');
    match words.next() {
        None | Some("") => "core".to_owned(),
        Some(first) => first.to_owned() + &words.map(capital).collect::<String>(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
