//! `edgesvc dataplane diff`, and what `apply --show-dataplane` prints.

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::args::Server;
use super::client::{Answer, Ask, Client, JSON};
use super::exit::{Code, Failure};
use super::output;

/// Prints how the kernel differs from the store; fails with 1 when it does. The
/// daemon is asked: what Services ask for is derived by it and kept nowhere.
pub(super) async fn diff(server: &Server) -> Result<(), Failure> {
    let mut client = super::connect(server).await?;
    let answer = client.ask(Ask::get("/edgesvc/v1/dataplane/differences")).await;
    let lines = lines(&answer.map_err(Failure::from).map_err(not_compared)?);
    output::print(&lines)?;
    if lines.is_empty() { Ok(()) } else { Err(Failure::different()) }
}

/// 1 means that there are differences.
fn not_compared(failure: Failure) -> Failure {
    let code = if failure.code == Code::Refused { Code::NotCompared } else { failure.code };
    Failure { code, ..failure }
}

/// Prints what storing these objects would change in the kernel.
pub(super) async fn preview(client: &mut Client, objects: Vec<Value>) -> Result<(), Failure> {
    let body = Bytes::from(output::list(objects).to_string());
    let answer = client.ask(Ask::with(Method::POST, "/edgesvc/v1/dataplane/preview", JSON, body)).await?;
    let lines = lines(&answer);
    output::print(if lines.is_empty() { "# the kernel stays as it is\n" } else { &lines })
}

fn lines(answer: &Answer) -> String {
    let lines = answer.value.get("lines").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.iter().filter_map(Value::as_str).map(|line| format!("{line}\n")).collect()
}
