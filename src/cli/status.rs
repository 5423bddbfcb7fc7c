//! `edgesvc status`: is it there, is it well, what does it hold.

use serde_json::Value;

use super::args::{Status, Version};
use super::client::{Ask, whole};
use super::exit::{Code, Failure};
use super::format::Format;
use super::output;
use super::resource;
use crate::model::Kind;

/// Prints the state; fails when the server is not ready.
pub(super) async fn status(args: Status) -> Result<(), Failure> {
    if args.scope.namespace.is_some() || args.all_namespaces || args.output.is_some() || args.no_headers {
        let message = "error: -n, -A, -o and --no-headers go with `edgesvc status services`";
        return Err(Failure::new(Code::Usage, message));
    }
    let client = &mut super::connect(&args.server).await?;
    let version = client.ask(Ask::get("/version")).await?.value;
    let words = |member: &str| version.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    output::line(&format!("edgesvc {} (Kubernetes {})", env!("CARGO_PKG_VERSION"), words("gitVersion")))?;
    let response = client.send(Ask { accept: "*/*", ..Ask::get("/readyz?verbose") }).await?;
    let ready = response.status().is_success();
    output::line(if ready { "ready: yes" } else { "ready: no" })?;
    let checks = whole(response.into_body()).await?;
    for check in String::from_utf8_lossy(&checks).lines().filter(|line| line.starts_with('[')) {
        output::line(&format!("  {check}"))?;
    }
    for kind in [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod] {
        let list = client.ask(Ask::get(&format!("{}?limit=1", resource::collection(kind, None)))).await?.value;
        let first = list.get("items").and_then(Value::as_array).map_or(0, Vec::len);
        let rest = list.pointer("/metadata/remainingItemCount").and_then(Value::as_u64).unwrap_or_default();
        output::line(&format!("{}: {}", kind.resource().plural, first as u64 + rest))?;
    }
    if ready { Ok(()) } else { Err(Failure::new(Code::Refused, "error: the server is not ready")) }
}

/// `edgesvc version`: this program's version and the server's.
pub(super) async fn versions(args: Version) -> Result<(), Failure> {
    let client = serde_json::json!({
        "gitVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    let format = match args.output.as_deref() {
        Some("json") => Some(Format::Json),
        Some(_) => Some(Format::Yaml),
        None => None,
    };
    if format.is_none() {
        output::line(concat!("Client Version: v", env!("CARGO_PKG_VERSION")))?;
    }
    let mut versions = serde_json::json!({ "clientVersion": client });
    if !args.client {
        let server = super::connect(&args.server).await?.ask(Ask::get("/version")).await?.value;
        if format.is_none() {
            let words = server.get("gitVersion").and_then(Value::as_str).unwrap_or_default();
            return output::line(&format!("Server Version: {words}"));
        }
        if let Some(members) = versions.as_object_mut() {
            members.insert("serverVersion".to_owned(), server);
        }
    }
    match format {
        Some(format) => output::print(&output::document(&versions, &format)?),
        None => Ok(()),
    }
}
