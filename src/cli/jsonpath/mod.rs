//! kubectl's dialect of JSONPath: templates with `{…}` in plain text, fields,
//! wildcards, slices, filters, unions, recursive descent, `range` and `end`,
//! quoted literals. The crates for JSONPath speak RFC 9535, which has neither
//! templates nor ranges nor kubectl's way of writing filters. Pure.

mod evaluate;
mod parse;

use std::borrow::Cow;

use serde_json::Value;

/// A template, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// Text outside of braces, or a quoted literal within.
    Text(String),
    /// What stands in one pair of braces: steps, each upon the results before.
    Path(Vec<Node>),
    /// `{range PATH}BODY{end}`
    Range { path: Vec<Node>, body: Vec<Node> },
    /// `.name`, `['name']`
    Field(String),
    /// `.*`
    Wildcard,
    /// `..`
    Recursive,
    /// `[0]`, `[1:3]`, `[*]`
    Slice(Slice),
    /// `[0,2]`, `['a','b']`
    Union(Vec<Vec<Node>>),
    /// `[?(@.a=="b")]`; without an operator, whether the path finds anything.
    Filter { left: Vec<Node>, comparison: Option<(Operator, Vec<Node>)> },
    /// A number or a truth value.
    Literal(Value),
}

/// Which items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    One(i64),
    Range { start: Option<i64>, end: Option<i64>, step: Option<i64> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What the steps of one path found.
pub(super) type Found<'a> = Vec<Cow<'a, Value>>;

impl Template {
    /// Understands a template.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        parse::template(text).map(|nodes| Template { nodes })
    }

    /// Understands a path without its braces too: `.metadata.name`, `metadata.name`.
    pub(super) fn relaxed(text: &str) -> Result<Template, String> {
        let wrong = || {
            format!(
                "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}', got {text:?}"
            )
        };
        let bare = text.trim();
        let inner = match (bare.strip_prefix('{'), bare.strip_suffix('}')) {
            (Some(_), Some(_)) => bare.get(1..bare.len() - 1).unwrap_or_default(),
            (None, None) => bare,
            _ => return Err(wrong()),
        };
        if inner.is_empty() || inner.contains(['{', '}']) {
            return Err(wrong());
        }
        let path = inner.strip_prefix('$').unwrap_or(inner);
        let dot = if path.starts_with(['.', '[']) { "" } else { "." };
        Template::parse(&format!("{{{dot}{path}}}"))
    }

    /// The text the template makes of a value.
    pub(super) fn text(&self, value: &Value) -> Result<String, String> {
        let results = self.results(value)?;
        Ok(results.iter().map(|found| found.iter().map(|v| shown(v)).collect::<Vec<_>>().join(" ")).collect())
    }

    /// Everything found, path by path.
    pub(super) fn results<'a>(&self, value: &'a Value) -> Result<Vec<Found<'a>>, String> {
        evaluate::template(&self.nodes, &Cow::Borrowed(value))
    }

    /// Everything found, in one list.
    pub(super) fn values<'a>(&self, value: &'a Value) -> Result<Found<'a>, String> {
        Ok(self.results(value)?.into_iter().flatten().collect())
    }
}

/// A value as a template prints it: texts bare, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => escaped(&value.to_string()),
        other => other.to_string(),
    }
}

/// JSON as Go writes it, safe to stand in HTML.
fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A value as Go's `%v` prints it, which is what custom columns show.
pub(super) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list() -> Value {
        json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "spec": {"ports": [{"name": "http", "port": 80}, {"name": "m", "port": 9100}], "type": "ClusterIP"}},
            {"metadata": {"name": "b", "annotations": {"n": "<1>"}}, "spec": {"ports": [{"name": "http", "port": 8080}], "type": "NodePort"}}
        ]})
    }

    #[test]
    #[rustfmt::skip]
    fn templates_print_what_kubectl_prints() {
        for (template, text) in [
            ("{.items[*].metadata.name}", "a b"),
            ("{$.items[0].metadata.name}", "a"),
            ("{.items[-1:].metadata.name}", "b"),
            ("{.items[-1].metadata.name}", "b"),
            ("{.items[0:1].metadata.name}", "a"),
            ("{.items[::2].metadata.name}", "a"),
            ("{.items[0,1].metadata.name}", "a b"),
            ("{.items[*]['metadata.name','spec.type']}", "a b ClusterIP NodePort"),
            ("{range .items[*]}{.metadata.name}{'\\n'}{end}", "a\nb\n"),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{range .spec.ports[*]}{.port},{end}{\"\\n\"}{end}done", "a\t80,9100,\nb\t8080,\ndone"),
            ("{.items[?(@.spec.type==\"NodePort\")].metadata.name}", "b"),
            ("{.items[?(@.spec.type!='NodePort')].metadata.name}", "a"),
            ("{.items[*].spec.ports[?(@.port>80)].port}", "9100 8080"),
            ("{.items[*].spec.ports[?(@.port<=80)].name}", "http"),
            ("{.items[?(@.metadata.annotations)].metadata.name}", "b"),
            ("{..port}", "80 9100 8080"),
            ("{.items[*].spec.*}", "[{\"name\":\"http\",\"port\":80},{\"name\":\"m\",\"port\":9100}] ClusterIP [{\"name\":\"http\",\"port\":8080}] NodePort"),
            (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
            (r"{.items[0].metadata.labels['app\.kubernetes\.io/name']}", "x"),
            ("{.items[1].metadata.annotations}", "{\"n\":\"\\u003c1\\u003e\"}"),
            ("{.nothing.here}", ""),
            ("x {.kind} y", "x List y"),
            ("{'a'}{1}{true}", "a1true"),
        ] {
            let parsed = Template::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(parsed.text(&list()).unwrap(), text, "{template}");
        }
    }

    #[test]
    fn slips_are_told() {
        for template in ["{.a", "{.a[}", "{.a[x]}", "{foo}", "{'a}", "{end}", "{.a[?(@.b}", "{.a}}{"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        let past = Template::parse("{.items[7]}").unwrap().text(&list()).unwrap_err();
        assert_eq!(past, "array index out of bounds: index 7, length 2");
        assert!(Template::parse("{.kind[0]}").unwrap().text(&list()).unwrap_err().contains("is not array or slice"));
    }

    #[test]
    fn paths_need_no_braces_where_only_a_path_can_stand() {
        for path in ["metadata.name", ".metadata.name", "{.metadata.name}", "{metadata.name}", "$.metadata.name"] {
            let template = Template::relaxed(path).unwrap();
            assert_eq!(template.text(&list()["items"][0]).unwrap(), "a", "{path}");
        }
        assert!(Template::relaxed("{.a").is_err() && Template::relaxed("").is_err());
    }

    #[test]
    fn custom_columns_show_values_as_go_does() {
        assert_eq!(go_text(&json!({"a": [1, "b"], "c": {}})), "map[a:[1 b] c:map[]]");
    }
}
