//! The JSON export against nft's own reading of the kernel.
//!
//! nft 1.0.6 can neither read nor rightly print some constructs (see
//! `dataplane::export`): for those the test compares with what it prints. Where nft
//! is 1.1.3 or later, it loads everything.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use edgesvc::dataplane::{self, Dataplane, Options};
use edgesvc::desired::{AffinityOwner, Balance, Contribution, Frontend, FrontendAddr, Verdict};
use edgesvc::model::balance::Schedule;
use edgesvc::model::{IpFamily, Protocol};
use serde_json::{Value, json};

use super::world::*;

/// `web` with affinity, a filtered load-balancer address, a dropped port and every way to
/// choose.
fn everything() -> Contribution {
    let mut service = web(&[1, 2], Some(300));
    let balance = Balance { endpoints: endpoints(IpFamily::V4, &[1]), affinity_seconds: None, ..Balance::default() };
    let frontend = |addr: &str, port, verdict: Verdict, ranges: &[&str]| Frontend {
        addr: FrontendAddr::Virtual(addr.parse().unwrap()),
        protocol: Protocol::Sctp,
        port,
        verdict,
        source_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        inside: None,
        kept: Vec::new(),
    };
    service.frontends.push(frontend(
        "198.51.100.5",
        80,
        Verdict::Balance(balance),
        &["10.1.9.0/24", "10.1.2.2/32", "192.168.0.0/23", "192.168.2.0/24"],
    ));
    for (addr, schedule) in [
        ("198.51.100.6", Schedule::SourceHash),
        ("198.51.100.7", Schedule::DestinationHash),
        ("198.51.100.8", Schedule::Weighted),
        ("fd55::6", Schedule::SourceHash),
        ("fd55::7", Schedule::DestinationHash),
        ("fd55::8", Schedule::Weighted),
    ] {
        let family = IpFamily::of(addr.parse().unwrap());
        let all =
            Balance { endpoints: endpoints(family, &[1, 2]), schedule, weights: [3, 1].into(), ..Balance::default() };
        let here = Balance { endpoints: endpoints(family, &[1]), schedule, ..Balance::default() };
        let owner = |local| {
            let addr = if family == IpFamily::V4 { VIP } else { VIP6 }.parse().unwrap();
            let found = AffinityOwner { addr, protocol: Protocol::Sctp, port: 80, local };
            // The turn and the owner in one name.
            (schedule == Schedule::Weighted).then_some(found)
        };
        let with = |balance: Balance, local| Balance {
            affinity_owner: owner(local),
            affinity_seconds: owner(local).map(|_| 600),
            ..balance
        };
        let (here, inside) = (with(here, true), Some(with(all, false)));
        service.frontends.push(Frontend { inside, ..frontend(addr, 80, Verdict::Balance(here), &[]) });
    }
    service.frontends.push(frontend("198.51.100.5", 81, Verdict::Drop, &[]));
    service.frontends.push(frontend("198.51.100.5", 82, Verdict::Refuse, &[]));
    service.frontends.sort();
    service
}

fn objects(text: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(text).unwrap();
    value["nftables"].as_array().unwrap().clone()
}

/// Both forms of the same thing become one: order, handles, flags, and the two
/// constructs 1.0.6 has no JSON for.
fn canonical(objects: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects {
        let (kind, content) = object.as_object().unwrap().iter().next().unwrap();
        if kind == "metainfo" {
            continue;
        }
        let content = plain(content);
        let name = content["name"].as_str().or_else(|| content["chain"].as_str()).unwrap();
        let place = format!("{} {} {kind} {name}", content["family"], content["table"]);
        found.entry(place).or_default().push(content);
    }
    found
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            if let Some(statement) = fields.get("map").filter(|map| map.get("op").is_some()) {
                return Value::String(in_words(statement));
            }
            // What was counted is no part of the export.
            if let (Some(element), true) = (fields.get("elem"), fields.len() == 1)
                && element.get("counter").is_some()
            {
                return plain(&element["val"]);
            }
            let mut out = serde_json::Map::new();
            for (name, value) in fields {
                let value = match (name.as_str(), value) {
                    ("handle" | "expires", _) => continue,
                    ("flags", _) if !fields.contains_key("table") && fields.contains_key("name") => continue,
                    // 1.0.6 leaves `dynamic` out of what it prints.
                    ("flags", Value::Array(flags)) => {
                        let mut flags: Vec<&str> = flags.iter().map(|flag| flag.as_str().unwrap()).collect();
                        flags.retain(|flag| *flag != "dynamic");
                        flags.sort_unstable();
                        json!(flags)
                    }
                    ("flags", one) => json!([one]),
                    ("type" | "map", Value::Object(by_example)) if by_example.contains_key("typeof") => {
                        let words = type_words(&by_example["typeof"]);
                        if name == "map" { json!(words.join(" . ")) } else { json!(words) }
                    }
                    ("map", Value::Array(types)) => {
                        json!(types.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join(" . "))
                    }
                    ("elem", Value::Array(items)) => {
                        let mut items: Vec<Value> = items.iter().map(plain).collect();
                        items.sort_by_key(Value::to_string);
                        Value::Array(items)
                    }
                    (_, value) => plain(value),
                };
                out.insert(name.clone(), value);
            }
            Value::Object(out)
        }
        // It prints the offsets of `numgen` signed.
        Value::Number(number) => match number.as_i64().and_then(|number| i32::try_from(number).ok()) {
            Some(signed @ ..0) => json!(signed.cast_unsigned()),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// The names of the types of a concatenation of terms, as nft prints them.
fn type_words(example: &Value) -> Vec<&'static str> {
    let word = |term: &Value| match term.to_string() {
        text if text.contains("numgen") => "mark",
        text if text.contains("l4proto") => "inet_proto",
        text if text.contains("dport") => "inet_service",
        text if text.contains("ip6") => "ipv6_addr",
        _ => "ipv4_addr",
    };
    example["concat"].as_array().unwrap().iter().map(word).collect()
}

/// A map statement as nft prints it in its own language.
fn in_words(statement: &Value) -> String {
    let term = |term: &Value| -> String {
        let (kind, content) = term.as_object().unwrap().iter().next().unwrap();
        let text = |name: &str| content[name].as_str().unwrap().to_owned();
        match kind.as_str() {
            "payload" => format!("{} {}", text("protocol"), text("field")),
            "meta" => format!("meta {}", text("key")),
            "numgen" if content["offset"] == 0 => format!("numgen {} mod {}", text("mode"), content["mod"]),
            "numgen" => format!("numgen {} mod {} offset {}", text("mode"), content["mod"], content["offset"]),
            "ct" => format!("ct {} {}", text("dir"), text("key")),
            other => other.to_owned(),
        }
    };
    let concat = |value: &Value| -> String {
        value["concat"].as_array().unwrap().iter().map(term).collect::<Vec<_>>().join(" . ")
    };
    let element = &statement["elem"]["elem"];
    let minutes = element["timeout"].as_u64().unwrap() / 60;
    let (op, map) = (statement["op"].as_str().unwrap(), statement["map"].as_str().unwrap());
    format!("{op} {map} {{ {} timeout {minutes}m : {} }}", concat(&element["val"]), concat(&statement["data"]))
}

/// Whether nft has JSON for everything in our tables.
fn nft_is_new() -> bool {
    let text = sh("nft --version");
    let version = text.split_whitespace().find_map(|word| word.strip_prefix('v')).unwrap().to_owned();
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    parts >= vec![1, 1, 3]
}

/// Whether nft 1.0.6 can load an object.
fn is_loadable(object: &Value) -> bool {
    let text = object.to_string();
    let maps = ["\"@endpoints\"", "\"@nodeport-endpoints\"", "\"@affinity\"", "\"@shared-affinity\""];
    let concatenated = object["map"]["map"].is_array() || object["map"]["map"].is_object();
    // It writes `dynamic` and refuses to read it.
    let dynamic = object["set"]["flags"].to_string().contains("dynamic");
    !concatenated && !dynamic && !maps.iter().any(|map| text.contains(map))
}

fn load(netns: &str, objects: &[Value]) {
    let mut nft = Command::new("ip");
    nft.args(["netns", "exec", netns, "nft", "-j", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = nft.spawn().unwrap();
    let text = json!({ "nftables": objects }).to_string();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_export_says_what_nft_says_and_nft_makes_the_same_tables_of_it() {
    in_world("export::an_export_says_what_nft_says_and_nft_makes_the_same_tables_of_it", || async {
        let _server = serve("b1", 8080);
        let _dataplane = with_web(everything()).await;
        ask("client", "tcp", VIP, 80, 1);
        let exported = objects(&dataplane::export().unwrap());
        let listed = objects(&sh("nft -j list ruleset 2>/dev/null"));
        let (ours, theirs) = (canonical(&exported), canonical(&listed));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (place, object) in &ours {
            assert_eq!(object, &theirs[place], "{place}");
        }
        // The links `same-link` names, of whatever kind.
        sh("ip netns add fresh; for name in v-client v-b1 v-b2; do ip -n fresh link add $name type bridge; done");
        let new = nft_is_new();
        let loadable: Vec<Value> = exported.into_iter().filter(|object| new || is_loadable(object)).collect();
        load("fresh", &loadable);
        let made = canonical(&objects(&sh("ip netns exec fresh nft -j list ruleset")));
        let wanted = canonical(&loadable);
        assert_eq!(made.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (place, object) in &wanted {
            assert_eq!(object, &made[place], "{place}");
        }
        assert!(wanted.len() > 60, "{}", wanted.len());
    });
}

#[test]
fn what_counts_traffic_is_exported_as_nft_lists_it() {
    in_world("export::what_counts_traffic_is_exported_as_nft_lists_it", || async {
        let dataplane = Dataplane::open(Options { count_traffic: true, ..options() }).unwrap();
        dataplane.converge(vec![Arc::new(everything())]).await.unwrap();
        let (ours, theirs) = (
            canonical(&objects(&dataplane::export().unwrap())),
            canonical(&objects(&sh("nft -j list ruleset 2>/dev/null"))),
        );
        for (place, object) in &ours {
            assert_eq!(object, &theirs[place], "{place}");
        }
        assert!(ours.keys().any(|place| place.contains("traffic-count")), "{:?}", ours.keys());
    });
}

#[test]
fn nothing_is_exported_where_nothing_is() {
    in_world("export::nothing_is_exported_where_nothing_is", || async {
        assert_eq!(objects(&dataplane::export().unwrap()), vec![json!({ "metainfo": { "json_schema_version": 1 } })]);
    });
}

#[test]
fn nft_lists_every_kind_of_element() {
    in_world("export::nft_lists_every_kind_of_element", || async {
        let _dataplane = with_web(everything()).await;
        let listed = listing();
        for part in [
            "198.51.100.5 . sctp . 80 : goto f-1",
            "198.51.100.5 . sctp . 81 : drop",
            "198.51.100.5 . sctp . 82 : goto refuse",
            "jhash ip saddr mod 4 seed 0x65646765 offset 2147483648 map @endpoints",
            "jhash ip6 daddr mod 1 seed 0x65646765 map @endpoints",
            "chain lcr-1-4-fd55.0.0.0.0.0.0.8-sctp-80-fd43.0.0.0.0.0.0.80-sctp-80",
            "numgen inc mod 4 offset 2147483648 map @endpoints",
            "198.51.100.5 . sctp . 80 . 10.1.9.0/24",
            "198.51.100.5 . sctp . 80 . 192.168.0.0/23",
            "198.51.100.5 . sctp . 80 . 0x00000000 : 10.1.1.2 . 8080",
            "fd43::80 . udp . 80 : goto a-2",
            "udp . 30080 : goto pb-2-udp-30080",
        ] {
            assert!(listed.contains(part), "{part} is not in {listed}");
        }
    });
}
