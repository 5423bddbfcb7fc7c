//! `edgesvc status services`: how each Service is delivered, whether endpoints see the
//! client's address, and why.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::args::Status;
use super::client::Ask;
use super::exit::{Code, Failure};
use super::format::Format;
use super::{output, resource, tabs};
use crate::model::Kind;

/// Prints a line for each Service; for each endpoint where Services are named, or more
/// is asked for. Fails where a name means nothing.
pub(super) async fn delivered(args: Status) -> Result<(), Failure> {
    let names = names(&args.things)?;
    if !names.is_empty() && args.all_namespaces {
        let message = "error: a resource cannot be retrieved by name across all namespaces";
        return Err(Failure::new(Code::Usage, message));
    }
    let mut client = super::connect(&args.server).await?;
    let namespace = args.scope.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
    let mut query = Vec::new();
    query.extend((!args.all_namespaces).then(|| format!("namespace={}", resource::escaped(&namespace))));
    query.extend((!names.is_empty()).then(|| format!("names={}", resource::escaped(&names.join(",")))));
    let path = format!("/edgesvc/v1/dataplane/deliveries?{}", query.join("&"));
    let answer = client.ask(Ask::get(&path)).await?.value;
    let services = answer.get("services").and_then(Value::as_array).cloned().unwrap_or_default();
    let found: BTreeSet<String> = services.iter().map(|service| text(service, "name").to_owned()).collect();
    match args.output.as_deref() {
        Some("json") => output::print(&output::whole_document(&document(&answer, services), &Format::Json)?)?,
        Some("yaml") => output::print(&output::whole_document(&document(&answer, services), &Format::Yaml)?)?,
        _ if services.is_empty() => {
            if names.is_empty() {
                let place = if args.all_namespaces { String::new() } else { format!(" in {namespace} namespace") };
                output::note(&format!("No resources found{place}."));
            }
        }
        wide => {
            let each = wide.is_some() || !names.is_empty();
            let table = if each { endpoints(&services, &args) } else { lines(&services, &args) };
            output::print(&tabs::align(&table, 6, 3))?;
            foreign(&answer);
        }
    }
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !found.contains(*name))
        .map(|name| format!("Error from server (NotFound): services \"{name}\" not found"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::new(Code::Refused, missing.join("\n"))) }
}

/// The names behind `services`, or of `service/NAME`.
fn names(things: &[String]) -> Result<Vec<String>, Failure> {
    let named = resource::named(things)?;
    if let Some(other) = named.iter().find(|thing| thing.kind != Kind::Service) {
        let plural = other.kind.resource().plural;
        return Err(Failure::new(Code::Usage, format!("error: there is a status of services, not of {plural}")));
    }
    Ok(named.into_iter().filter_map(|thing| thing.name).collect())
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A cell; what is empty is told as kubectl does.
fn cell(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn document(answer: &Value, services: Vec<Value>) -> Value {
    let foreign = answer.get("foreignTranslators").cloned().unwrap_or_default();
    json!({ "items": services, "foreignTranslators": foreign })
}

fn lines(services: &[Value], args: &Status) -> String {
    let mut table = titles(args, "NAME\tDELIVERY\tENDPOINTS\tCLIENT-ADDRESS\tWHY\n");
    for service in services {
        let count = service.get("endpoints").and_then(Value::as_array).map_or(0, Vec::len);
        let [name, delivery, client, why] = ["name", "delivery", "clientAddress", "message"].map(|m| text(service, m));
        table.push_str(&place(service, args));
        table.push_str(&format!("{name}\t{delivery}\t{count}\t{}\t{}\n", cell(client), tabs::harmless(why)));
    }
    table
}

fn endpoints(services: &[Value], args: &Status) -> String {
    let mut table = titles(args, "NAME\tENDPOINT\tVIA\tDELIVERY\tCLIENT-ADDRESS\tWHY\n");
    for service in services {
        let endpoints = service.get("endpoints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        // Without endpoints the Service itself says why.
        let rows = if endpoints.is_empty() { std::slice::from_ref(service) } else { endpoints };
        for row in rows {
            let [endpoint, protocol, link, gateway] = ["endpoint", "protocol", "link", "gateway"].map(|m| text(row, m));
            let endpoint = if protocol.is_empty() { endpoint.to_owned() } else { format!("{endpoint}/{protocol}") };
            let via = if gateway.is_empty() { link.to_owned() } else { format!("{link} {gateway}") };
            let [delivery, client, why] = ["delivery", "clientAddress", "message"].map(|member| text(row, member));
            table.push_str(&place(service, args));
            table.push_str(&format!(
                "{}\t{}\t{}\t{delivery}\t{}\t{}\n",
                text(service, "name"),
                cell(&endpoint),
                cell(&via),
                cell(client),
                tabs::harmless(why)
            ));
        }
    }
    table
}

fn titles(args: &Status, columns: &str) -> String {
    match (args.no_headers, args.all_namespaces) {
        (true, _) => String::new(),
        (false, true) => format!("NAMESPACE\t{columns}"),
        (false, false) => columns.to_owned(),
    }
}

fn place(service: &Value, args: &Status) -> String {
    if args.all_namespaces { format!("{}\t", text(service, "namespace")) } else { String::new() }
}

/// Others may change what edgesvc keeps.
fn foreign(answer: &Value) {
    let chains = answer.get("foreignTranslators").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let chains: Vec<&str> = chains.iter().filter_map(Value::as_str).collect();
    if !chains.is_empty() {
        let chains = chains.join(", ");
        output::note(&format!(
            "note: {chains} of somebody else may change clients' addresses too: `edgesvc trace` follows a connection through it"
        ));
    }
}
