//! The kernel's tables as libnftables JSON, for audit or `nft -j -f`.

mod rule;
mod value;

use nftables::schema::{Chain, MetainfoObject, NfListObject, Rule, Table};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use serde_json::{Value, json};

use super::kernel;
use super::netlink::batch::{body, kind, message};
use super::netlink::{Attrs, Link, attrs};
use super::table::{ANCHOR, SetName, TABLE, nfproto, read_rule};
use super::{DataplaneError, link_name};
use crate::model::IpFamily;

/// The tables as the kernel holds them now, as libnftables JSON: tables, chains,
/// sets and maps with their elements, then rules. An empty list when there are
/// none. Needs no daemon and no `nft`; needs the privilege to read nf_tables.
///
/// What the JSON says and what `nft -j list ruleset` would say are the same, but
/// for this:
///
/// * Table flags (`owner`, `persist`) are left out: a table loaded by `nft` would
///   vanish with it. Handles and what was counted are left out.
/// * Three constructs are written as later versions of nft read them; nft 1.1.3
///   loads the whole and lists what it was made from. The value of a map that is a
///   concatenation is `["ipv4_addr", "inet_service"]` (1.0.6 prints one string and
///   then refuses it). The rule that fills an affinity map is a `map` statement
///   (1.0.6 prints the rule's text). The maps of endpoints and of shared affinity
///   have their types by example (`typeof`): their last fields are generated numbers,
///   which nft prints as marks and then refuses to take for ones. So nft 1.0.6 loads everything but the
///   maps of endpoints and of affinity, the set `traffic` and the rules that use them.
/// * `same-link` holds links by name; they must exist where it is loaded.
///
/// # Errors
/// The kernel refuses, or the tables hold a rule that is not ours.
pub fn export() -> Result<String, DataplaneError> {
    let mut link = Link::open(netlink_sys::protocols::NETLINK_NETFILTER).map_err(DataplaneError::Socket)?;
    let meta = MetainfoObject { json_schema_version: Some(1), ..MetainfoObject::default() };
    let mut objects = vec![to_value(NfListObject::MetainfoObject(meta))?];
    for family in IpFamily::BOTH {
        let held = kernel::read_held(&mut link, family).map_err(DataplaneError::Socket)?;
        for (table, there) in [(ANCHOR, held.anchored), (TABLE, held.present)] {
            if there {
                export_table(&mut link, table, family, &mut objects)?;
            }
        }
    }
    serde_json::to_string(&json!({ "nftables": objects })).map_err(DataplaneError::Export)
}

fn to_value(object: NfListObject<'static>) -> Result<Value, DataplaneError> {
    serde_json::to_value(object).map_err(DataplaneError::Export)
}

/// Chains come before the maps whose verdicts name them: nft loads in order.
fn export_table(
    link: &mut Link,
    table: &str,
    family: IpFamily,
    objects: &mut Vec<Value>,
) -> Result<(), DataplaneError> {
    let nf = value::nf_family(family);
    objects.push(to_value(NfListObject::Table(Table { family: nf, name: table.to_owned().into(), handle: None }))?);
    objects.extend(read_chains(link, table, family)?);
    if table == TABLE {
        for name in SetName::ALL {
            let found = match kernel::read_elements(link, family, name) {
                // A table of another version may not have it.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => continue,
                found => found.map_err(DataplaneError::Socket)?,
            };
            objects.push(value::set(table, family, name, &found, &link_name).map_err(DataplaneError::Export)?);
        }
    }
    objects.extend(read_rules(link, table, family)?);
    Ok(())
}

fn read_chains(link: &mut Link, table: &str, family: IpFamily) -> Result<Vec<Value>, DataplaneError> {
    let request = body(nfproto(family), &Attrs::new());
    let mut chains = Vec::new();
    for answer in link.dump(kind(message::GETCHAIN), &request).map_err(DataplaneError::Socket)? {
        let content = answer.body.get(4..).unwrap_or_default();
        if attrs::text(content, 1) == Some(table)
            && let Some(chain) = chain(table, family, content)
        {
            chains.push(to_value(NfListObject::Chain(chain))?);
        }
    }
    Ok(chains)
}

fn chain(table: &str, family: IpFamily, content: &[u8]) -> Option<Chain<'static>> {
    let name = attrs::text(content, 3)?.to_owned().into();
    let nf = value::nf_family(family);
    let mut chain = Chain { family: nf, table: table.to_owned().into(), name, ..Chain::default() };
    if let Some(place) = attrs::find(content, 4) {
        chain.hook = match attrs::be32(place, 1)? {
            0 => Some(NfHook::Prerouting),
            1 => Some(NfHook::Input),
            2 => Some(NfHook::Forward),
            3 => Some(NfHook::Output),
            _ => Some(NfHook::Postrouting),
        };
        chain.prio = Some(i32::from_be_bytes(attrs::find(place, 2)?.try_into().ok()?));
        chain.policy = match attrs::be32(content, 5) {
            Some(0) => Some(NfChainPolicy::Drop),
            Some(_) | None => Some(NfChainPolicy::Accept),
        };
        chain._type = match attrs::text(content, 7)? {
            "nat" => Some(NfChainType::NAT),
            "route" => Some(NfChainType::Route),
            _ => Some(NfChainType::Filter),
        };
    }
    Some(chain)
}

fn read_rules(link: &mut Link, table: &str, family: IpFamily) -> Result<Vec<Value>, DataplaneError> {
    let mut request = Attrs::new();
    request.text(1, table);
    let request = body(nfproto(family), &request);
    let mut rules = Vec::new();
    for answer in link.dump(kind(message::GETRULE), &request).map_err(DataplaneError::Socket)? {
        let content = answer.body.get(4..).unwrap_or_default();
        let Some(chain) = attrs::text(content, 2) else { continue };
        if attrs::text(content, 1) == Some(table) {
            let list = attrs::find(content, 4).unwrap_or_default();
            rules.push(rule(table, family, chain, list)?);
        }
    }
    Ok(rules)
}

fn rule(table: &str, family: IpFamily, chain: &str, list: &[u8]) -> Result<Value, DataplaneError> {
    let foreign = || DataplaneError::Foreign(format!("{} {table} {chain}", kernel::word(family)));
    let exprs = read_rule(list).ok_or_else(foreign)?;
    let said = rule::statements(family, &exprs, &link_name).map_err(DataplaneError::Export)?;
    let (nf, table, chain) = (value::nf_family(family), table.to_owned().into(), chain.to_owned().into());
    let mut object = to_value(NfListObject::Rule(Rule { family: nf, table, chain, ..Rule::default() }))?;
    if let Some(content) = object.get_mut("rule").and_then(Value::as_object_mut) {
        content.insert("expr".to_owned(), Value::Array(said.ok_or_else(foreign)?));
    }
    Ok(object)
}
