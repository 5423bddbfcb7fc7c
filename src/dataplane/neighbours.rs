//! What others have put into nf_tables, as far as it concerns Services.

use std::io;

use super::netlink::Link;
use super::ruleset::{self, Ruleset};
use super::table::is_ours;

/// Foreign tables that may be in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Base chains that drop forwarded packets by policy: `ip filter FORWARD`.
    pub dropping: Vec<String>,
    /// Docker, firewalld, ufw: whoever has chains of its own there.
    pub firewalls: Vec<&'static str>,
    /// Tables or chains of another Service proxy.
    pub proxies: Vec<String>,
    /// Whether our own tables are there.
    pub ours: bool,
}

/// Reads them; needs CAP_NET_ADMIN.
///
/// # Errors
/// The kernel refuses.
pub fn neighbours() -> io::Result<Neighbours> {
    let mut link = Link::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
    Ok(of(&ruleset::read(&mut link, false)?))
}

fn of(ruleset: &Ruleset) -> Neighbours {
    let mut found = Neighbours::default();
    for table in &ruleset.tables {
        if is_ours(&table.name) {
            found.ours = true;
            continue;
        }
        if table.name.starts_with("kube-proxy") {
            found.proxies.push(format!("table {}", table.title()));
        }
        let mut kube = table.chains.iter().filter(|chain| chain.name.starts_with("KUBE-")).map(|chain| &chain.name);
        if let Some(first) = kube.next() {
            found.proxies.push(format!("{} chains of {} ({first} ...)", kube.count() + 1, table.title()));
        }
        for chain in &table.chains {
            if chain.hook.as_ref().is_some_and(|hook| hook.number == 2 && hook.drops) {
                found.dropping.push(format!("{} {}", table.title(), chain.name));
            }
            let of = [("Docker", "DOCKER"), ("ufw", "ufw-")];
            found.firewalls.extend(of.iter().filter(|(_, word)| chain.name.starts_with(word)).map(|(name, _)| *name));
        }
        if table.name == "firewalld" || table.name.starts_with("firewalld_policy") {
            found.firewalls.push("firewalld");
        }
        if table.name.starts_with("docker-") {
            found.firewalls.push("Docker");
        }
    }
    found.firewalls.sort_unstable();
    found.firewalls.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::super::ruleset::{Chain, Hook, Table};
    use super::super::table::TABLE;
    use super::*;

    #[test]
    fn firewalls_proxies_and_policies_are_told_apart() {
        let chain = |name: &str, forward: Option<bool>| {
            let hook = forward.map(|drops| Hook { number: 2, drops, ..Hook::default() });
            Chain { name: name.to_owned(), hook, rules: Vec::new() }
        };
        let table = |family, name: &str, chains| Table { family, name: name.to_owned(), chains, ..Table::default() };
        let ruleset = Ruleset {
            tables: vec![
                table(2, "filter", vec![chain("FORWARD", Some(true)), chain("DOCKER-USER", None)]),
                table(2, "nat", vec![chain("KUBE-SERVICES", None), chain("KUBE-MARK-MASQ", None)]),
                table(1, "firewalld", vec![chain("filter_FORWARD", Some(false))]),
                table(2, TABLE, vec![chain("masquerading", None)]),
            ],
        };
        let found = of(&ruleset);
        assert_eq!(found.dropping, ["ip filter FORWARD"]);
        assert_eq!(found.firewalls, ["Docker", "firewalld"]);
        assert_eq!(found.proxies, ["2 chains of ip nat (KUBE-SERVICES ...)"]);
        assert!(found.ours);
    }
}
