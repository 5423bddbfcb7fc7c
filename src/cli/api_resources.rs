//! `edgesvc api-resources`: what the server serves, from its discovery documents.

use serde_json::Value;

use super::client::{Ask, Client};
use super::exit::{Code, Failure};
use super::output;
use super::tabs;

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) format: Shape,
    pub(super) namespaced: Option<bool>,
    pub(super) group: Option<String>,
    pub(super) verbs: Vec<String>,
    pub(super) categories: Vec<String>,
    pub(super) no_headers: bool,
    pub(super) sort_by: Order,
}

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Columns.
    #[default]
    #[value(skip)]
    Table,
    /// Verbs and categories too.
    Wide,
    /// The names alone.
    Name,
}

/// `--sort-by`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// By group, and by name within it.
    #[default]
    #[value(skip)]
    Group,
    /// By name.
    Name,
    /// By kind.
    Kind,
}

struct Row {
    group: String,
    version: String,
    name: String,
    kind: String,
    namespaced: bool,
    short_names: Vec<String>,
    verbs: Vec<String>,
    categories: Vec<String>,
}

/// Prints the resources of every group.
pub(super) async fn print(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let mut rows = rows(&client.ask(Ask::get("/api/v1")).await?.value);
    let groups = client.ask(Ask::get("/apis")).await?.value;
    for group in groups.get("groups").and_then(Value::as_array).into_iter().flatten() {
        let version = group.pointer("/preferredVersion/groupVersion").and_then(Value::as_str).unwrap_or_default();
        rows.extend(self::rows(&client.ask(Ask::get(&format!("/apis/{version}"))).await?.value));
    }
    rows.retain(|row| wanted(row, options));
    rows.sort_by(|a, b| match options.sort_by {
        Order::Group => (&a.group, &a.name).cmp(&(&b.group, &b.name)),
        Order::Name => a.name.cmp(&b.name),
        Order::Kind => a.kind.cmp(&b.kind),
    });
    output::print(&text(&rows, options))?;
    if rows.is_empty() && options.group.as_deref().is_some_and(|group| !group.is_empty()) {
        let group = options.group.as_deref().unwrap_or_default();
        return Err(Failure::new(
            Code::Refused,
            format!("error: the server serves nothing of the group {group:?} that was asked for"),
        ));
    }
    Ok(())
}

/// The resources of one APIResourceList, subresources left out.
fn rows(list: &Value) -> Vec<Row> {
    let group_version = list.get("groupVersion").and_then(Value::as_str).unwrap_or_default();
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let resources = list.get("resources").and_then(Value::as_array).into_iter().flatten();
    let rows = resources.filter_map(|resource| {
        let text = |member: &str| resource.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let words = |member: &str| {
            let words = resource.get(member).and_then(Value::as_array).into_iter().flatten();
            words.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        (!text("name").contains('/')).then(|| Row {
            group: group.to_owned(),
            version: version.to_owned(),
            name: text("name"),
            kind: text("kind"),
            namespaced: resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default(),
            short_names: words("shortNames"),
            verbs: words("verbs"),
            categories: words("categories"),
        })
    });
    rows.collect()
}

fn wanted(row: &Row, options: &Options) -> bool {
    options.namespaced.is_none_or(|namespaced| namespaced == row.namespaced)
        && options.group.as_ref().is_none_or(|group| *group == row.group)
        && options.verbs.iter().all(|verb| row.verbs.contains(verb))
        && options.categories.iter().all(|category| row.categories.contains(category))
}

fn text(rows: &[Row], options: &Options) -> String {
    let mut out = String::new();
    if options.format == Shape::Name {
        for row in rows {
            let group = if row.group.is_empty() { String::new() } else { format!(".{}", row.group) };
            out.push_str(&format!("{}{group}\n", row.name));
        }
        return out;
    }
    let wide = options.format == Shape::Wide;
    if !options.no_headers {
        let more = if wide { "\tVERBS\tCATEGORIES" } else { "" };
        out.push_str(&format!("NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND{more}\n"));
    }
    for row in rows {
        let slash = if row.group.is_empty() { "" } else { "/" };
        let (group, version) = (&row.group, &row.version);
        let short = row.short_names.join(",");
        out.push_str(&format!("{}\t{short}\t{group}{slash}{version}\t{}\t{}", row.name, row.namespaced, row.kind));
        if wide {
            out.push_str(&format!("\t{}\t{}", row.verbs.join(","), row.categories.join(",")));
        }
        out.push('\n');
    }
    tabs::align(&out, 6, 3)
}
