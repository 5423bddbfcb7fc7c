//! `edgesvc grant create`, `list` and `delete`: what ServiceAccounts may do. The
//! daemon keeps it (`/edgesvc/v1/grants`).

use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::args::Server;
use super::client::{Ask, Client, JSON};
use super::exit::Failure;
use super::resource::escaped;
use super::{connect, output, token};

/// `edgesvc grant …`.
#[derive(Clone, Debug, Subcommand)]
#[allow(missing_docs, reason = "the help texts say it")]
pub enum GrantVerb {
    /// Give a role to an account, for tokens made from then on (kubectl create token)
    Create(GrantCreate),
    /// List what accounts were given
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Take all roles of an account away, from tokens it has too
    Delete {
        /// The account, as NAMESPACE/NAME
        #[arg(value_parser = account, value_name = "NAMESPACE/NAME")]
        account: Account,
        #[command(flatten)]
        server: Server,
    },
}

/// `edgesvc grant create`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs, reason = "the help texts say it")]
pub struct GrantCreate {
    /// The account, as NAMESPACE/NAME
    #[arg(value_parser = account, value_name = "NAMESPACE/NAME")]
    pub account: Account,
    /// admin: everything; edit: what lies in namespaces; view: reads all but Secrets;
    /// auth-delegator: asks who others are and what they may
    #[arg(long, value_name = "ROLE", value_parser = ["admin", "edit", "view", "auth-delegator"])]
    pub role: String,
    /// The role holds in this namespace only [default: everywhere]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// A ServiceAccount by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    namespace: String,
    name: String,
}

const PATH: &str = "/edgesvc/v1/grants";
/// Columns of the list.
const TITLES: [&str; 4] = ["ACCOUNT", "ROLE", "NAMESPACE", "CREATED"];

/// Does what was typed.
pub(super) async fn run(verb: GrantVerb) -> Result<(), Failure> {
    match verb {
        GrantVerb::Create(args) => create(&mut connect(&args.server).await?, &args).await,
        GrantVerb::List { server } => list(&mut connect(&server).await?).await,
        GrantVerb::Delete { account, server } => delete(&mut connect(&server).await?, &account).await,
    }
}

async fn create(client: &mut Client, args: &GrantCreate) -> Result<(), Failure> {
    let Account { namespace, name } = &args.account;
    let body = json!({"namespace": namespace, "name": name, "role": args.role, "roleNamespace": args.namespace});
    let body = Bytes::from(body.to_string());
    client.ask(Ask { method: Method::POST, path: PATH, accept: JSON, content_type: JSON, body }).await?;
    output::line(&format!("role {} granted to serviceaccount \"{namespace}/{name}\"", args.role))
}

async fn list(client: &mut Client) -> Result<(), Failure> {
    let list = client.ask(Ask::get(PATH)).await?.value;
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        output::note("No grants found");
        return Ok(());
    }
    let rows = items.iter().map(|item| {
        let text = |member: &str| item.get(member).and_then(Value::as_str);
        let word = |member: &str, none: &str| text(member).unwrap_or(none).to_owned();
        let account = format!("{}/{}", word("namespace", ""), word("name", ""));
        [account, word("role", ""), word("roleNamespace", "<all>"), word("created", "")]
    });
    output::print(&token::aligned(TITLES, rows))
}

async fn delete(client: &mut Client, account: &Account) -> Result<(), Failure> {
    let Account { namespace, name } = account;
    let path = format!("{PATH}/{}/{}", escaped(namespace), escaped(name));
    client.ask(Ask { method: Method::DELETE, ..Ask::get(&path) }).await?;
    output::line(&format!("grants of serviceaccount \"{namespace}/{name}\" deleted"))
}

fn account(text: &str) -> Result<Account, String> {
    let parts = text.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
    let (namespace, name) = parts.ok_or_else(|| format!("{text:?} is no account: write NAMESPACE/NAME"))?;
    Ok(Account { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_with_its_namespace() {
        assert_eq!(account("shop/robot").unwrap().name, "robot");
        for wrong in ["robot", "/robot", "shop/", ""] {
            assert!(account(wrong).is_err(), "{wrong}");
        }
    }
}
