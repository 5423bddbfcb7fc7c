//! The house keeps its shape: rooms import only what they may, pure rooms stay
//! pure, files stay short, dependencies stay few, named and licensed.
//!
//! What the compiler and clippy cannot hold is held here, in under a second.
//! Rule numbers are those of CONTRIBUTING.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

#[path = "support/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use source::{Source, root};

/// Which rooms a room may import (ARCHITECTURE.md, "The rooms"). `run` and
/// `main` wire everything and are left out.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("manifest", &["model"]),
    ("store", &["model", "clock"]),
    ("allocate", &["model"]),
    ("api", &["model", "manifest", "store", "allocate", "clock"]),
    ("controller", &["model", "store", "clock"]),
    ("pods", &["model", "store", "controller", "clock"]),
    // Only the snapshot: see `desired_sees_of_the_store_only_its_snapshot`.
    ("desired", &["model", "store"]),
    ("dataplane", &["model", "desired", "clock"]),
    ("relay", &["model", "desired"]),
    ("dns", &["model", "desired", "clock"]),
    ("mdns", &["model", "desired"]),
    ("lb", &["model", "desired", "clock"]),
    // What acts for it (`run`, `dataplane`) is handed in by main.
    ("cli", &["model", "manifest", "config", "env", "clock"]),
    ("doctor", &["model", "config", "dataplane", "host_dns", "clock"]),
    ("host_dns", &["dataplane", "dns"]),
    ("env", &["model"]),
    ("clock", &[]),
];

/// Rooms and parts of rooms that decide and do not act.
const PURE: &[&str] = &[
    "src/model/",
    "src/manifest/",
    "src/allocate/",
    "src/desired/",
    "src/relay/aging.rs",
    "src/relay/plan.rs",
    "src/mdns/answer.rs",
    "src/mdns/defend.rs",
    "src/mdns/link.rs",
    "src/mdns/packet.rs",
    "src/mdns/presence.rs",
    "src/mdns/record.rs",
    "src/mdns/responder.rs",
    "src/env/",
    "src/host_dns/block.rs",
    "src/host_dns/facts.rs",
    "src/host_dns/plan.rs",
    "src/host_dns/report.rs",
    "src/host_dns/resolv_conf.rs",
    "src/host_dns/ways.rs",
    "src/host_dns/wish.rs",
    "src/api/kinds/",
    "src/api/patch/",
    "src/api/codec/",
];

/// What a pure file cannot say: waiting, files, sockets, threads, clocks, logs.
const IMPURE_WORDS: &[&str] = &[
    "tokio::",
    "async fn",
    "async move",
    ".await",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "SystemTime",
    "Instant::now",
    "now_utc",
    "clock::now",
    "tracing::",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "types", "misc"];

/// Everything that stands at the top of the repository, dotfiles aside.
const TOP: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "config",
    "cross.toml",
    "scripts",
    "src",
    "systemd",
    "tests",
];

const PRODUCT_LINES_MAX: usize = 500;
const FILE_LINES_MAX: usize = 700;

/// Licences that let an Apache-2.0 program ship as one static file.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Unicode-3.0",
    "Zlib",
    "Unlicense",
    // File-level copyleft; imbl is used unmodified, its source is public.
    "MPL-2.0+",
];

/// Crates present in two versions, and why that is borne.
const TWICE: &[(&str, &str)] = &[
    ("base64", "k8s-openapi, for tests only, stays on 0.22"),
    ("bit-vec", "yasna (certificates) lags behind proptest, which is for tests only"),
    ("getrandom", "ring 0.17 stays on 0.2; uuid has moved on"),
    ("hashbrown", "kube, for tests only, stays on 0.16"),
    ("json-patch", "kube, for tests only, stays on 4"),
    ("jsonptr", "follows json-patch"),
    ("nix", "rtnetlink 0.24 stays on 0.31"),
    ("rand_core", "imbl stays on 0.9; proptest, for tests only, has moved on"),
    ("syn", "macro crates move one by one; it is not in the binary"),
    ("synstructure", "follows syn; it is not in the binary"),
];

#[test]
fn a_room_imports_only_what_it_may() {
    let rules: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in Source::all() {
        let Some(room) = file.room() else { continue };
        if file.is_test || matches!(room, "run" | "main" | "lib") {
            continue;
        }
        let Some(allowed) = rules.get(room) else {
            wrong.push(format!("{}: room `{room}` has no line in IMPORTS", file.path));
            continue;
        };
        for other in file.imported_rooms() {
            if other != room && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{}: `{room}` imports `{other}`", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the rules of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn desired_sees_of_the_store_only_its_snapshot() {
    // The snapshot and what its bounded history is made of.
    const STATE: &[&str] = &["Snapshot", "Event", "EventType", "Expired"];
    let mut wrong = Vec::new();
    for file in Source::all().into_iter().filter(|file| file.room() == Some("desired") && !file.is_test) {
        wrong.extend(file.items_of("store").into_iter().filter(|item| !STATE.contains(&item.as_str())));
    }
    assert!(wrong.is_empty(), "desired is a function of the state, not of the store; it names {wrong:?}");
}

#[test]
fn the_import_reader_sees_every_form() {
    let text = "use crate::model::Kind;\nuse crate::{store::{Store, Write}, api, clock};\n// crate::lb in a comment\n\
                fn f() -> crate::desired::Zone {}\npub(in crate::dns) fn g() {}\nuse crate::Odd;\n";
    let seen = Source::of("src/api/x.rs", text).imported_rooms();
    assert_eq!(seen, ["api", "clock", "desired", "dns", "model", "store"].map(str::to_owned).into());
}

#[test]
fn pure_rooms_do_not_act() {
    let mut wrong = Vec::new();
    for file in Source::all() {
        if file.is_test || !PURE.iter().any(|room| file.path.starts_with(room)) {
            continue;
        }
        for word in IMPURE_WORDS.iter().filter(|word| file.product_code().contains(*word)) {
            wrong.push(format!("{}: `{word}`", file.path));
        }
    }
    assert!(wrong.is_empty(), "pure rooms that act (rule 1):\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for file in Source::all() {
        let whole = file.text.lines().count();
        let product = if file.is_test { 0 } else { file.product_text().lines().count() };
        if product > PRODUCT_LINES_MAX || whole > FILE_LINES_MAX {
            wrong.push(format!("{}: {product} lines of product, {whole} in all", file.path));
        }
    }
    assert!(wrong.is_empty(), "longer than {PRODUCT_LINES_MAX} ({FILE_LINES_MAX} with tests):\n{}", wrong.join("\n"));
}

#[test]
fn names_say_what_is_inside() {
    let wrong: Vec<_> = Source::all()
        .into_iter()
        .filter(|file| {
            Path::new(&file.path)
                .iter()
                .any(|part| EMPTY_NAMES.contains(&part.to_str().unwrap().trim_end_matches(".rs")))
        })
        .map(|file| file.path)
        .collect();
    assert!(wrong.is_empty(), "empty names (rule 5): {wrong:?}");
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let seen: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    let expected: BTreeSet<String> = TOP.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(seen, expected);
    assert!(root().join(".ci/run").is_file());
}

#[test]
fn the_documents_name_only_what_exists() {
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "tests/README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split_whitespace().next().unwrap_or_default();
            let ours =
                ["src/", "tests/", "scripts/", "config/", "systemd/", ".ci/"].iter().any(|d| path.starts_with(d));
            if ours && !path.contains(['*', '<', '{']) && !root().join(path).exists() {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "paths that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn the_architecture_document_stays_readable() {
    let lines = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().lines().count();
    assert!(lines <= 300, "ARCHITECTURE.md has {lines} lines, 300 is the limit");
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (mut section, mut previous, mut wrong) = ("", "", Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies") && line.contains(" = ") && !line.starts_with('#') {
            let is_sentence = previous.starts_with("# ") && previous.ends_with('.') && previous.len() > 20;
            if !is_sentence {
                wrong.push(line.to_owned());
            }
        }
        previous = line;
    }
    assert!(wrong.is_empty(), "dependencies without their sentence (rule 13):\n{}", wrong.join("\n"));
}

#[test]
fn every_crate_has_a_licence_we_may_ship() {
    let wrong: Vec<_> = packages()
        .iter()
        .filter(|package| !licence_allowed(package["license"].as_str().unwrap_or("none")))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "licences not in LICENCES:\n{}", wrong.join("\n"));
}

#[test]
fn the_licence_reader_knows_and_from_or() {
    assert!(licence_allowed("GPL-3.0 OR MIT"));
    assert!(licence_allowed("(GPL-2.0 OR MIT) AND ISC"));
    assert!(licence_allowed("MIT/GPL-2.0"));
    assert!(!licence_allowed("MIT AND GPL-3.0"));
    assert!(!licence_allowed("GPL-3.0"));
    assert!(!licence_allowed("(GPL-2.0 OR AGPL-3.0) AND MIT"));
}

#[test]
fn every_crate_comes_from_the_registry() {
    let wrong: Vec<_> = packages()
        .iter()
        .filter(|package| package["name"] != "edgesvc")
        .filter(|package| !package["source"].as_str().is_some_and(|source| source.starts_with("registry+")))
        .map(|package| format!("{} from {}", package["name"], package["source"]))
        .collect();
    assert!(wrong.is_empty(), "not from the registry:\n{}", wrong.join("\n"));
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    let twice: BTreeSet<&str> = versions.iter().filter(|(_, v)| v.len() > 1).map(|(name, _)| name.as_str()).collect();
    let borne: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = twice.difference(&borne).collect();
    let gone: Vec<_> = borne.difference(&twice).collect();
    assert!(new.is_empty(), "crates in two versions without a reason in TWICE: {new:?}");
    assert!(gone.is_empty(), "reasons in TWICE for crates that are there once: {gone:?}");
}

/// What `Cargo.lock` brings on the platform of the release build.
fn packages() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = document["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 50, "cargo metadata names {} packages only", packages.len());
    packages
}

/// An SPDX expression of `AND`, `OR`, `/` and one level of brackets, each side
/// of `AND` needing one licence of [`LICENCES`].
fn licence_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let (mut depth, mut sides, mut side) = (0_u32, Vec::new(), String::new());
    for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            "AND" if depth == 0 => sides.push(std::mem::take(&mut side)),
            other => side = format!("{side} {other}"),
        }
    }
    sides.push(side);
    sides.iter().all(|side| {
        side.split(" OR ").any(|choice| {
            let choice = choice.trim();
            !choice.contains(" AND ") && LICENCES.contains(&choice)
        })
    })
}
