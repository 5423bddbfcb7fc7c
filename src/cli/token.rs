//! `edgesvc kubeconfig create`, `list` and `delete`: who else may use this box. The
//! daemon makes the token (`/edgesvc/v1/tokens`) and tells it once; here it becomes
//! a kubeconfig on standard output, which is its only copy.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::args::Server;
use super::client::{Ask, Client, JSON};
use super::exit::{Code, Failure};
use super::resource::escaped;
use super::{connect, kubeconfig, output};
use crate::manifest::emit;

/// `edgesvc kubeconfig …`.
#[derive(Clone, Debug, Subcommand)]
#[allow(missing_docs, reason = "the help texts say it")]
pub enum KubeconfigVerb {
    /// Print a kubeconfig with a fresh token; it is shown this once
    Create(KubeconfigCreate),
    /// List who has a token
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Take a token away: it is worth nothing from then on
    Delete {
        /// Whose
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

/// `edgesvc kubeconfig create`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct KubeconfigCreate {
    /// The user's name, in requests and in the log
    pub name: String,
    /// admin: everything; edit: what lies in namespaces; view: reads all but Secrets
    #[arg(long, value_name = "ROLE", value_parser = ["admin", "edit", "view"])]
    pub role: String,
    /// The role holds in this namespace only [default: everywhere]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// When the token ends, for instance 30d or 12h [default: never]
    #[arg(long, value_parser = lifetime, value_name = "TIME")]
    pub expires: Option<Duration>,
    /// How the user reaches this box [default: as --listen of the daemon says]
    #[arg(long = "server", id = "url", value_name = "URL")]
    pub server_url: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

const PATH: &str = "/edgesvc/v1/tokens";
/// A name the server's certificate always has, for servers reached by another one.
const CERTIFIED_NAME: &str = "kubernetes";
/// Columns of the list.
const TITLES: [&str; 5] = ["NAME", "ROLE", "NAMESPACE", "CREATED", "EXPIRES"];

/// Does what was typed.
pub(super) async fn run(verb: KubeconfigVerb) -> Result<(), Failure> {
    match verb {
        KubeconfigVerb::Create(args) => {
            let wish = Wish {
                name: args.name,
                role: args.role,
                namespace: args.namespace,
                expires_seconds: args.expires.map(|time| time.as_secs()),
                server: args.server_url,
            };
            create(&mut connect(&args.server).await?, &wish).await
        }
        KubeconfigVerb::List { server } => list(&mut connect(&server).await?).await,
        KubeconfigVerb::Delete { name, server } => delete(&mut connect(&server).await?, &name).await,
    }
}

/// What is asked for.
struct Wish {
    name: String,
    role: String,
    namespace: Option<String>,
    expires_seconds: Option<u64>,
    /// How the holder reaches this box, if not as the box itself does.
    server: Option<String>,
}

/// Makes a token and prints its kubeconfig.
async fn create(client: &mut Client, wish: &Wish) -> Result<(), Failure> {
    if let Some(url) = &wish.server {
        // Before the token: one that cannot be printed would be lost.
        host(url)?;
    }
    let mut body = json!({"name": wish.name, "role": wish.role});
    if let Some(members) = body.as_object_mut() {
        if let Some(namespace) = &wish.namespace {
            members.insert("namespace".to_owned(), namespace.clone().into());
        }
        if let Some(seconds) = wish.expires_seconds {
            members.insert("expirationSeconds".to_owned(), seconds.into());
        }
    }
    let body = Bytes::from(body.to_string());
    let ask = Ask { method: Method::POST, path: PATH, accept: JSON, content_type: JSON, body };
    let made = client.ask(ask).await?.value;
    output::print(&emit::to_string(&document(&made, wish)?))
}

/// Prints who has a token.
async fn list(client: &mut Client) -> Result<(), Failure> {
    let list = client.ask(Ask::get(PATH)).await?.value;
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        output::note("No kubeconfigs found");
        return Ok(());
    }
    output::print(&table(items))
}

/// Takes a token away.
async fn delete(client: &mut Client, name: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}", escaped(name));
    client.ask(Ask { method: Method::DELETE, ..Ask::get(&path) }).await?;
    output::line(&format!("kubeconfig \"{name}\" deleted"))
}

/// The kubeconfig of a token just made.
fn document(made: &Value, wish: &Wish) -> Result<Value, Failure> {
    let text = |member: &str| made.get(member).and_then(Value::as_str);
    let (Some(token), Some(authority), Some(server)) = (text("token"), text("certificateAuthority"), text("server"))
    else {
        return Err(Failure::new(Code::Bug, "the server made a token and did not tell it"));
    };
    let server = wish.server.as_deref().unwrap_or(server);
    let mut cluster = json!({"server": server, "certificate-authority-data": STANDARD.encode(authority)});
    let names = made.get("serverNames").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let host = host(server)?;
    if !names.iter().any(|name| name.as_str() == Some(host))
        && let Some(members) = cluster.as_object_mut()
    {
        // This CA certifies nobody else, so any of its names will do.
        members.insert("tls-server-name".to_owned(), CERTIFIED_NAME.into());
    }
    let mut context = json!({"cluster": "edgesvc", "user": wish.name});
    if let (Some(namespace), Some(members)) = (&wish.namespace, context.as_object_mut()) {
        members.insert("namespace".to_owned(), namespace.clone().into());
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "edgesvc",
        "clusters": [{"name": "edgesvc", "cluster": cluster}],
        "contexts": [{"name": "edgesvc", "context": context}],
        "users": [{"name": wish.name, "user": {"token": token}}],
    }))
}

/// The host of `https://host[:port]`.
fn host(url: &str) -> Result<&str, Failure> {
    let host = url.strip_prefix("https://").map(kubeconfig::host);
    host.filter(|host| !host.is_empty())
        .ok_or_else(|| Failure::new(Code::Usage, format!("error: --server {url:?}: write https://HOST[:PORT]")))
}

fn table(items: &[Value]) -> String {
    let text =
        |item: &Value, member: &str, none: &str| item.get(member).and_then(Value::as_str).unwrap_or(none).to_owned();
    let rows = items.iter().map(|item| {
        [
            text(item, "name", ""),
            text(item, "role", ""),
            text(item, "namespace", "<all>"),
            text(item, "created", ""),
            text(item, "expires", "<never>"),
        ]
    });
    aligned(TITLES, rows)
}

/// Rows under titles, each column as wide as its widest cell.
pub(super) fn aligned<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column).map(String::len)).max().unwrap_or(0);
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        out.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        out.push('\n');
    }
    out
}

/// A time that may be long: `30d`.
fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 30d, 12h or 90m");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Value {
        json!({
            "name": "bob", "role": "edit", "token": "t", "server": "https://127.0.0.1:6443",
            "certificateAuthority": "PEM", "serverNames": ["localhost", "127.0.0.1", "::1"],
        })
    }

    fn wish(server: Option<&str>) -> Wish {
        Wish {
            name: "bob".to_owned(),
            role: "edit".to_owned(),
            namespace: Some("shop".to_owned()),
            expires_seconds: None,
            server: server.map(str::to_owned),
        }
    }

    #[test]
    fn a_server_by_a_name_of_its_own_is_trusted_by_one_it_has() {
        let own = document(&made(), &wish(None)).unwrap();
        assert_eq!(own["contexts"][0]["context"]["namespace"], "shop");
        assert_eq!(own["users"][0]["user"]["token"], "t");
        for (server, by_other_name) in [
            (None, false),
            (Some("https://localhost:6443"), false),
            (Some("https://[::1]:6443"), false),
            (Some("https://192.0.2.7:6443"), true),
            (Some("https://box.example"), true),
        ] {
            let cluster = &document(&made(), &wish(server)).unwrap()["clusters"][0]["cluster"];
            assert_eq!(cluster.get("tls-server-name").is_some(), by_other_name, "{cluster}");
        }
        for wrong in ["http://x", "x:6443", "https://", "https://:1"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_lifetime_has_a_unit() {
        assert_eq!(lifetime("30d").unwrap(), Duration::from_secs(30 * 24 * 3600));
        assert!(lifetime("0d").is_err() && lifetime("30").is_err() && lifetime("d").is_err());
    }

    #[test]
    fn the_list_is_aligned() {
        let rows = [json!({"name": "bob", "role": "admin", "created": "2026-01-01T00:00:00Z"})];
        assert_eq!(
            table(&rows),
            "NAME   ROLE    NAMESPACE   CREATED                EXPIRES\nbob    admin   <all>       2026-01-01T00:00:00Z   <never>\n"
        );
    }
}
