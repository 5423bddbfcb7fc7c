//! Elements, chains and edits in the words of nft. Pure.

use super::Options;
use super::kernel::word;
use super::table::{
    Affinity, ChainName, Data, Edit, Field, HASH_SEED, Hook, Hooked, How, INSIDE_SLOTS, Key, Maps, OwnerKey, Remember,
    SetName, Side, Slot, TABLE, Verdict, Way, address, dynamic_chain, shape,
};
use crate::model::{IpFamily, Protocol};

/// Answers the name of a link.
pub(super) type LinkName<'a> = &'a dyn Fn(u32) -> String;

fn field(field: Field, bytes: &[u8], link: LinkName<'_>) -> String {
    let number = || bytes.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes).unwrap_or_default();
    match field {
        Field::Ipv4 | Field::Ipv6 => address(bytes).map(|addr| addr.to_string()).unwrap_or_default(),
        Field::Protocol => match bytes.first().copied().unwrap_or_default() {
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            132 => "sctp".to_owned(),
            other => other.to_string(),
        },
        Field::Port => bytes.try_into().map(u16::from_be_bytes).unwrap_or_default().to_string(),
        Field::Mark => format!("0x{:08x}", number()),
        Field::Link => format!("\"{}\"", link(number())),
    }
}

/// `10.43.0.7 . tcp . 80`; where first and last key differ, `first-last`.
fn key(fields: &[Field], key: &Key, link: LinkName<'_>) -> String {
    let mut parts = Vec::new();
    let mut at = 0;
    for kind in fields {
        let part = |bytes: &[u8]| field(*kind, bytes.get(at..at + kind.len()).unwrap_or_default(), link);
        let first = part(&key.start);
        let last = key.end.as_ref().map(|end| part(end)).filter(|last| *last != first);
        parts.push(last.map_or_else(|| first.clone(), |last| format!("{first}-{last}")));
        at += kind.len().next_multiple_of(4);
    }
    parts.join(" . ")
}

/// `element ip edgesvc services { 10.43.0.7 . tcp . 80 : goto n-2 }`
fn element(slot: &Slot, data: Option<&Data>, link: LinkName<'_>) -> String {
    let shape = shape(slot.set, slot.family);
    let mut text = key(&shape.fields, &slot.key, link);
    match data {
        None | Some(Data::Nothing) => {}
        Some(Data::Verdict(verdict)) => {
            text += &match verdict {
                Verdict::Drop => " : drop".to_owned(),
                Verdict::Return => " : return".to_owned(),
                Verdict::Jump(chain) => format!(" : jump {chain}"),
                Verdict::Goto(chain) => format!(" : goto {chain}"),
            };
        }
        Some(Data::Bytes(start)) => {
            let value = Key { start: start.clone(), end: None };
            debug_assert_eq!(shape.maps, Maps::Endpoint);
            text += " : ";
            text += &key_of_endpoint(slot.family, &value, link);
        }
    }
    format!("element {} {TABLE} {} {{ {text} }}", word(slot.family), slot.set.as_str())
}

fn key_of_endpoint(family: IpFamily, value: &Key, link: LinkName<'_>) -> String {
    key(&[Field::addr(family), Field::Port], value, link)
}

fn chain(family: IpFamily, name: ChainName) -> String {
    format!("chain {} {TABLE} {name}", word(family))
}

/// The rules of a chain that comes and goes.
fn rules(family: IpFamily, name: ChainName, options: &Options) -> Vec<String> {
    let ip = word(family);
    let next = name.next();
    let onward = |first: String| std::iter::once(first).chain(next.iter().map(|next| format!("goto {next}"))).collect();
    match name {
        ChainName::Way(way) if way.filter => {
            onward(format!("{} . {ip} saddr != @{} drop", frontend(ip, false), SetName::Sources.as_str()))
        }
        ChainName::Way(Way { side: Side::Both { .. }, .. }) => by_side(family, &next, options),
        ChainName::Way(Way { affinity: Some(affinity), .. }) => onward(match affinity {
            Affinity::Own => {
                format!("dnat {ip} to {ip} saddr . {} map @{}", frontend(ip, false), SetName::Affinity.as_str())
            }
            Affinity::Shared(owner) => format!(
                "meta l4proto {} dnat {ip} to {ip} saddr . {} map @{}",
                protocol(owner.place.protocol),
                OwnerKey::of(owner, family).text(),
                SetName::SharedAffinity.as_str()
            ),
        }),
        ChainName::Way(way) => picks(ip, way, options),
        ChainName::Remember(Remember { both: true, .. }) => by_side(family, &next, options),
        ChainName::Remember(Remember { affinity, seconds, .. }) => remember(family, affinity, seconds),
        ChainName::Hooked(hooked) => at_hook(ip, hooked, options),
    }
}

/// Where a chain stands that packets meet by themselves.
fn place(hook: Hook) -> String {
    let name = match hook.number {
        0 => "prerouting",
        1 => "input",
        2 => "forward",
        3 => "output",
        _ => "postrouting",
    };
    format!(" {{ type {} hook {name} priority {}; policy accept; }}", hook.kind, hook.priority)
}

fn at_hook(ip: &str, hooked: Hooked, options: &Options) -> Vec<String> {
    let endpoints = SetName::EndpointIps.as_str();
    match (hooked, options.forward_mark) {
        (Hooked::RememberForwarded | Hooked::RememberLocal, _) => {
            vec!["ct state new ct status dnat goto remember".to_owned()]
        }
        (Hooked::MarkForwarded, None) => Vec::new(),
        (Hooked::MarkForwarded, Some(bit)) => ["daddr", "saddr"]
            .map(|side| format!("ct status dnat {ip} {side} @{endpoints} meta mark set meta mark | 0x{bit:08x} return"))
            .to_vec(),
    }
}

/// What of a packet names its frontend.
fn frontend(ip: &str, node_port: bool) -> String {
    let port = "meta l4proto . th dport";
    if node_port { port.to_owned() } else { format!("{ip} daddr . {port}") }
}

fn picks(ip: &str, way: Way, options: &Options) -> Vec<String> {
    let map = way.slots();
    let (count, first) = match way.side {
        Side::Inside(count) => (count, INSIDE_SLOTS),
        Side::Others(count) | Side::Both { others: count, .. } => (count, 0),
    };
    let number = |how: How, count: u32| {
        let (what, seed) = match how {
            How::SourceHash if !options.hashless => (format!("jhash {ip} saddr"), format!(" seed 0x{HASH_SEED:x}")),
            How::DestinationHash if !options.hashless => {
                (format!("jhash {ip} daddr"), format!(" seed 0x{HASH_SEED:x}"))
            }
            How::Random | How::SourceHash | How::DestinationHash => ("numgen random".to_owned(), String::new()),
            How::Turn(_) | How::Live(_) => ("numgen inc".to_owned(), String::new()),
        };
        let offset = if first == 0 { String::new() } else { format!(" offset {first}") };
        format!("{what} mod {count}{seed}{offset}")
    };
    let pick =
        |number: String| format!("dnat {ip} to {} . {number} map @{}", frontend(ip, way.node_port), map.as_str());
    vec![pick(number(way.how, count)), pick(number(How::Random, 1)), "goto refuse".to_owned()]
}

fn by_side(family: IpFamily, next: &[ChainName], options: &Options) -> Vec<String> {
    let ip = word(family);
    let [inside, others @ ..] = next else { return Vec::new() };
    let on_box = match options.address_sets {
        true => format!("{ip} saddr @{}", SetName::LocalIps.as_str()),
        false => "fib saddr type local".to_owned(),
    };
    let pods = options.cluster_cidrs.iter().filter(|net| IpFamily::of(net.addr()) == family);
    let mut rules = vec![format!("{on_box} goto {inside}")];
    rules.extend(pods.map(|net| format!("{ip} saddr {net} goto {inside}")));
    rules.push(others.first().map_or_else(|| "drop".to_owned(), |next| format!("goto {next}")));
    rules
}

fn remember(family: IpFamily, affinity: Affinity, seconds: u32) -> Vec<String> {
    let ip = word(family);
    let rule = |th: Protocol, map: SetName, key: &str| {
        let (map, th) = (map.as_str(), protocol(th));
        format!("meta l4proto {th} update @{map} {{ {ip} saddr . {key} timeout {seconds}s : {ip} daddr . {th} dport }}")
    };
    match affinity {
        Affinity::Own => {
            let key = format!("ct original {ip} daddr . meta l4proto . ct original proto-dst");
            [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|th| rule(th, SetName::Affinity, &key)).to_vec()
        }
        Affinity::Shared(owner) => {
            vec![rule(owner.place.protocol, SetName::SharedAffinity, &OwnerKey::of(owner, family).text())]
        }
    }
}

fn protocol(protocol: Protocol) -> String {
    protocol.as_str().to_ascii_lowercase()
}

/// The transaction of an edit, in its order.
pub(super) fn script(edit: &Edit, options: &Options, link: LinkName<'_>) -> String {
    let mut lines = Vec::new();
    for (family, name) in edit.chains_added() {
        let hook = dynamic_chain(family, name, options).hook.map(place).unwrap_or_default();
        lines.push(format!("add {}{hook}", chain(family, name)));
        let rule = |rule| format!("add rule {} {TABLE} {name} {rule}", word(family));
        lines.extend(rules(family, name, options).into_iter().map(rule));
    }
    lines.extend(edit.removed().map(|slot| format!("delete {}", element(slot, None, link))));
    lines.extend(edit.added().map(|(slot, data)| format!("add {}", element(slot, Some(data), link))));
    for (family, name) in edit.chains_removed() {
        lines.push(format!("flush {}", chain(family, name)));
        lines.push(format!("delete {}", chain(family, name)));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// An edit as what is there too much (`-`) and what is missing (`+`).
pub(super) fn differences(edit: &Edit, link: LinkName<'_>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(edit.chains_removed().map(|(family, name)| format!("-{}", chain(family, name))));
    lines.extend(edit.removed().map(|slot| format!("-{}", element(slot, None, link))));
    lines.extend(edit.chains_added().map(|(family, name)| format!("+{}", chain(family, name))));
    lines.extend(edit.added().map(|(slot, data)| format!("+{}", element(slot, Some(data), link))));
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::super::table::of_frontend;
    use super::*;
    use crate::desired::{self, Balance, Frontend, FrontendAddr};

    #[test]
    fn an_edit_is_told_as_nft_reads_it() {
        let verdict = desired::Verdict::Balance(Balance {
            endpoints: vec!["10.9.0.11:8080".parse().unwrap()],
            ..Balance::default()
        });
        let addr = FrontendAddr::Virtual("10.43.0.7".parse().unwrap());
        let source_ranges = vec!["192.0.2.0/24".parse().unwrap()];
        let frontend = Frontend {
            addr,
            protocol: Protocol::Udp,
            port: 53,
            verdict,
            source_ranges,
            inside: None,
            kept: Vec::new(),
        };
        let mut edit = Edit::default();
        let (elements, chains) = of_frontend(&frontend);
        elements.into_iter().for_each(|(slot, data)| edit.element(slot, None, Some(data)));
        chains.into_iter().for_each(|name| edit.chain(IpFamily::V4, name, false, true));
        let lines = script(&edit, &Options::default(), &|index| index.to_string());
        for line in [
            "add chain ip edgesvc n-1",
            "add rule ip edgesvc n-1 dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 1 map @endpoints",
            "add chain ip edgesvc f-1",
            "add rule ip edgesvc f-1 goto n-1",
            "add element ip edgesvc endpoints { 10.43.0.7 . udp . 53 . 0x00000000 : 10.9.0.11 . 8080 }",
            "add element ip edgesvc sources { 10.43.0.7 . udp . 53 . 192.0.2.0-192.0.2.255 }",
            "add element ip edgesvc services { 10.43.0.7 . udp . 53 : goto f-1 }",
        ] {
            assert!(lines.contains(&format!("{line}\n")), "{line} is not in\n{lines}");
        }
        let differs = differences(&edit, &|index| index.to_string());
        assert!(differs.iter().all(|line| line.starts_with('+')) && differs.len() == 5, "{differs:?}");
    }
}
