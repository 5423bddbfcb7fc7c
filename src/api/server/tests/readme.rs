//! The table of kinds in README.md says what the server says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::client::Harness;

const BEGIN: &str = "<!-- kinds: begin -->\n";
const END: &str = "<!-- kinds: end -->";
/// Set to rewrite the table instead of comparing it.
const REWRITE: &str = "EDGESVC_TEST_REWRITE";

#[tokio::test]
async fn the_table_of_kinds_in_the_readme_is_what_the_server_says() {
    let api = Harness::start().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README.md has the first mark");
    let (written, after) = rest.split_once(END).expect("README.md has the second mark");
    let said = table(&api).await;
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{said}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(written, said, "README.md is out of date; run this test with {REWRITE}=1");
}

async fn table(api: &Harness) -> String {
    let mut out =
        String::from("| kind | version | kubectl says | verbs | subresources | fields |\n|---|---|---|---|---|---|\n");
    let mut versions = vec!["api/v1".to_owned()];
    let groups = api.get("/apis").await.expect(200).json();
    for group in groups["groups"].as_array().unwrap() {
        versions.push(format!("apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
    }
    for version in versions {
        let resources = api.get(&format!("/{version}")).await.expect(200).json();
        let schemas = api.get(&format!("/openapi/v3/{version}")).await.expect(200).json();
        for resource in resources["resources"].as_array().unwrap() {
            if !resource["name"].as_str().unwrap().contains('/') {
                out += &row(&version, resource, &resources["resources"], &schemas["components"]["schemas"]);
            }
        }
    }
    out
}

fn row(version: &str, resource: &Value, all: &Value, schemas: &Value) -> String {
    let (kind, plural) = (resource["kind"].as_str().unwrap(), resource["name"].as_str().unwrap());
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let verbs = words(&resource["verbs"]).join(" ");
    let verbs = match verbs.as_str() {
        "create delete deletecollection get list patch update watch" => "all",
        "create delete get list patch update watch" => "all but deletecollection",
        other => other,
    };
    let prefix = format!("{plural}/");
    let subs = all.as_array().unwrap().iter().filter_map(|other| other["name"].as_str()?.strip_prefix(&prefix));
    let mut names = vec![plural.to_owned()];
    names.extend(words(&resource["shortNames"]));
    let group_version = version.trim_start_matches("apis/").trim_start_matches("api/");
    let mut line = String::new();
    writeln!(
        line,
        "| {kind} | {group_version} | {} | {verbs} | {} | {} |",
        names.join(", "),
        subs.collect::<Vec<_>>().join(", "),
        fields(group_version, kind, schemas)
    )
    .unwrap();
    line
}

/// The members of an object, those with members of their own counted.
fn fields(group_version: &str, kind: &str, schemas: &Value) -> String {
    let (group, version) = group_version.rsplit_once('/').unwrap_or(("", group_version));
    let is_it = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.into_iter().flatten().any(|k| k["group"] == group && k["version"] == version && k["kind"] == kind)
    };
    let schema = schemas.as_object().unwrap().values().find(is_it).expect("every kind has its schema");
    let members = schema["properties"].as_object().unwrap().iter();
    let told = members.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
    let told = told.map(|(name, member)| {
        let mut seen = BTreeSet::new();
        match count(member, schemas, &mut seen) {
            0 => name.clone(),
            below => format!("{name} ({below})"),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// How many fields stand below, each type looked into once.
fn count(schema: &Value, schemas: &Value, seen: &mut BTreeSet<String>) -> usize {
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let inside = parts.chain([&schema["items"], &schema["additionalProperties"]]);
    let below: usize = inside.filter(|inner| inner.is_object()).map(|inner| count(inner, schemas, seen)).sum();
    let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else {
        return below;
    };
    if !seen.insert(name.to_owned()) {
        return below;
    }
    let members = schemas[name]["properties"].as_object();
    below + members.into_iter().flatten().map(|(_, member)| 1 + count(member, schemas, seen)).sum::<usize>()
}
