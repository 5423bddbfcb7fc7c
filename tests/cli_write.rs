//! Commands that change: what they print and do is what kubectl prints and does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::time::Duration;

use support::{Edgesvc, NODE, Output, World, eventually, pod, service, stream};

const SOON: Duration = Duration::from_secs(20);

/// Two Services alike, one for kubectl and one for us, so that both may change theirs.
fn twins(edgesvc: &Edgesvc<'_>) {
    edgesvc.apply(&stream(&[service("web-ours", "web", 80, "8080", ""), service("web-kube", "web", 80, "8080", "")]));
}

/// Runs a line with `NAME` for the Service's name by both; both must say and do
/// the same.
#[track_caller]
fn same(edgesvc: &Edgesvc<'_>, words: &[&str]) -> String {
    let words_for = |name: &str| words.iter().map(|word| word.replace("NAME", name)).collect::<Vec<_>>();
    let plain = |text: &str| text.replace("web-ours", "NAME").replace("web-kube", "NAME");
    let ours = words_for("web-ours");
    let ours = edgesvc.cli(&ours.iter().map(String::as_str).collect::<Vec<_>>());
    let theirs = words_for("web-kube");
    let theirs = edgesvc.kubectl(&theirs.iter().map(String::as_str).collect::<Vec<_>>());
    let said = |output: &Output| (output.code == 0, plain(&output.stdout), plain(output.stderr.trim_end()));
    assert_eq!(said(&ours), said(&theirs), "{words:?}");
    let state = |name: &str| {
        let fields = "{.metadata.labels} {.metadata.annotations} {.spec.ports} {.spec.type} {.spec.selector}";
        edgesvc.cli(&["get", "svc", name, "-o", &format!("jsonpath={fields}")]).stdout
    };
    assert_eq!(plain(&state("web-ours")), plain(&state("web-kube")), "{words:?}");
    ours.stdout
}

#[test]
fn label_and_annotate_do_what_kubectls_do() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    twins(&edgesvc);
    for line in [
        "label svc NAME a=b",
        "label svc NAME a=b",
        "label svc NAME a=c",
        "label svc NAME a=c --overwrite",
        "label svc NAME --list",
        "label svc/NAME d=e f=",
        "label svc NAME a- x-",
        "label svc NAME a=z d- -o name",
        "label svc NAME q=1 --dry-run=server",
        "label svc NAME q=1 --dry-run=client",
        "label svc NAME q=1 --resource-version=1",
        "label svc NAME 1=@",
        "label svc nope a=b",
        "annotate svc NAME n=1",
        "annotate svc NAME n=2",
        "annotate svc NAME n=2 --overwrite",
        "annotate svc NAME --list",
        "annotate svc NAME n-",
    ] {
        if line.contains("1=@") {
            // kubectl checks a label's form itself; here the server does.
            let said = edgesvc.cli(&["label", "svc", "web-ours", "1=@"]).fails(1);
            assert!(said.contains("metadata.labels"), "{said}");
            continue;
        }
        same(&edgesvc, &line.split(' ').collect::<Vec<_>>());
    }
    let said = edgesvc.cli(&["label", "svc", "-l", "d=e", "x=y"]).stdout;
    assert_eq!(said, "", "no Service has the label any more");
    let said = edgesvc.cli(&["label", "svc", "--all", "x=y"]).ok();
    assert_eq!(said, "service/kubernetes labeled\nservice/web-kube labeled\nservice/web-ours labeled\n");
    for (line, words) in [
        ("label svc x=y", "no name was specified"),
        ("label svc web-ours", "at least one label update is required"),
        ("label svc web-ours a=b a-", "can not both modify and remove a label"),
        ("label svc a=b web-ours", "must be specified before label changes"),
    ] {
        let said = edgesvc.cli(&line.split(' ').collect::<Vec<_>>()).fails(64);
        assert!(said.contains(words), "{line}: {said}");
    }
}

#[test]
fn every_type_of_patch_works_as_kubectls() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    twins(&edgesvc);
    let file = edgesvc.home.file("patch.yaml", "spec:\n  selector:\n    app: other\n");
    for words in [
        &["patch", "svc", "NAME", "-p", r#"{"spec":{"ports":[{"name":"m","port":9100}]}}"#][..],
        &["patch", "svc", "NAME", "-p", r#"{"spec":{"ports":[{"name":"m","port":9100}]}}"#],
        &["patch", "svc", "NAME", "--type=merge", "-p", "spec: {selector: {app: x}}"],
        &[
            "patch",
            "svc",
            "NAME",
            "--type",
            "json",
            "-p",
            r#"[{"op":"replace","path":"/spec/ports/0/port","value":81}]"#,
        ],
        &["patch", "svc/NAME", "--patch-file", &file],
        &["patch", "svc", "NAME", "-p", r#"{"spec":{"type":"X"}}"#],
        &["patch", "svc", "NAME", "-p", r#"{"spec":{"type":"NodePort"}}"#, "--dry-run=server"],
        &["patch", "svc", "NAME", "--subresource=status", "--type=merge", "-p", r#"{"status":{"loadBalancer":{}}}"#],
        &["patch", "svc", "nope", "-p", "{}"],
        &["patch", "svc", "NAME", "--type=json", "-p", r#"[{"op":"remove","path":"/spec/nope"}]"#],
        &["annotate", "svc", "NAME", "a.b/c/d=e"],
        &["patch", "svc", "NAME", "-p", r#"{"metadata":{"labels":{"a":"b"}}}"#, "-o", "name"],
    ] {
        same(&edgesvc, words);
    }
    for (words, code, said) in [
        (&["patch", "svc", "web-ours"][..], 64, "must specify --patch or --patch-file"),
        (
            &["patch", "svc", "web-ours", "--type=foo", "-p", "{}"],
            64,
            "must be one of [json merge strategic], not \"foo\"",
        ),
        (&["patch", "svc", "web-ours", "-p", "{bad"], 65, "unable to parse"),
        (&["patch", "svc", "-p", "{}"], 64, "no name was specified"),
    ] {
        let output = edgesvc.cli(words).fails(code);
        assert!(output.contains(said), "{words:?}: {output}");
    }
}

/// `edit` with a shell script for an editor.
fn edit(edgesvc: &Edgesvc<'_>, script: &str, words: &[&str]) -> Output {
    let mut command = edgesvc.world.command(NODE, env!("CARGO_BIN_EXE_edgesvc"));
    let editor = edgesvc.home.file("editor", &format!("#!/bin/sh\n{script}\n"));
    command.args(["edit"]).args(words).args(["--socket", &edgesvc.home.socket()]);
    command.env("KUBE_EDITOR", format!("sh {editor}")).env("TMPDIR", edgesvc.home.text_path(""));
    Output::of(command, "")
}

#[test]
fn edit_sends_what_changed_and_opens_again_with_the_reason() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let unchanged = edit(&edgesvc, "true", &["svc", "web"]);
    assert_eq!((unchanged.code, unchanged.stdout.as_str()), (0, ""));
    assert!(unchanged.stderr.contains("Edit cancelled, no changes made."), "{unchanged:?}");
    let emptied = edit(&edgesvc, ": > \"$1\"", &["svc", "web"]);
    assert!(emptied.code == 0 && emptied.stderr.contains("saved file was empty"), "{emptied:?}");
    let said = edit(&edgesvc, "sed -i 's/port: 80$/port: 81/' \"$1\"", &["svc/web"]).ok();
    assert_eq!(said, "service/web edited\n");
    assert_eq!(edgesvc.field("service", "web", &["spec", "ports", "0", "port"]).unwrap(), "81");
    // A port out of range first, then, with the reason in sight, a good one.
    let script = "if grep -q '^# .*spec.ports\\[0\\].port' \"$1\"; then sed -i 's/port: 70000$/port: 82/' \"$1\"; \
                  else sed -i 's/port: 81$/port: 70000/' \"$1\"; fi";
    assert_eq!(edit(&edgesvc, script, &["svc", "web"]).ok(), "service/web edited\n");
    assert_eq!(edgesvc.field("service", "web", &["spec", "ports", "0", "port"]).unwrap(), "82");
    // Whoever changes nothing after a refusal has given up; the work is kept.
    let script = "grep -q '^# .*spec.ports' \"$1\" || sed -i 's/port: 82$/port: 70000/' \"$1\"";
    let said = edit(&edgesvc, script, &["svc", "web"]).fails(1);
    assert!(said.contains("no valid changes were saved"), "{said}");
    let kept = said.split("stored to ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(std::fs::read_to_string(kept).unwrap().contains("port: 70000"));
    let json = edit(&edgesvc, "sed -i 's/\"port\": 82/\"port\": 83/' \"$1\"", &["svc", "web", "-o", "json"]);
    assert_eq!(json.ok(), "service/web edited\n");
    edit(&edgesvc, "exit 3", &["svc", "web"]).fails(74);
}

#[test]
fn diff_exits_1_when_something_would_change() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let web = service("web", "web", 80, "8080", "");
    let file = edgesvc.home.file("web.yaml", &web);
    let new = edgesvc.cli(&["diff", "-f", &file]);
    assert_eq!(new.code, 1);
    assert!(new.stdout.contains("+  name: web"), "{new:?}");
    edgesvc.cli(&["get", "svc", "web"]).fails(1);
    edgesvc.apply(&web);
    let same = edgesvc.cli(&["diff", "-f", &file]);
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (0, "", ""));
    let changed = edgesvc.home.file("changed.yaml", &web.replace("port: 80,", "port: 81,"));
    let diff = edgesvc.cli(&["diff", "-f", &changed]);
    assert!(diff.code == 1 && diff.stdout.contains("-    port: 80\n+    port: 81\n"), "{diff:?}");
    assert_eq!(edgesvc.field("service", "web", &["spec", "ports", "0", "port"]).unwrap(), "80");
    let others = edgesvc.cli(&["diff", "-f", &changed, "-l", "nobody=has"]);
    assert_eq!((others.code, others.stdout.as_str()), (0, ""));
    let wrong = edgesvc.home.file("wrong.yaml", &web.replace("port: 80,", "port: 70000,"));
    let said = edgesvc.cli(&["diff", "-f", &wrong]).fails(2);
    assert!(said.contains("wrong.yaml:8") && said.contains("spec.ports[0].port"), "{said}");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hush}\n";
    edgesvc.apply(secret);
    let other = edgesvc.home.file("secret.yaml", &secret.replace("hush", "loud"));
    let diff = edgesvc.cli(&["diff", "-f", &other]);
    assert!(diff.stdout.contains("*** (before)") && !diff.stdout.contains("bG91ZA"), "{diff:?}");
    let mut command = world.command(NODE, env!("CARGO_BIN_EXE_edgesvc"));
    command
        .args(["diff", "-f", &changed, "--socket", &edgesvc.home.socket()])
        .env("KUBECTL_EXTERNAL_DIFF", "diff -q -N");
    let brief = Output::of(command, "");
    assert!(brief.code == 1 && brief.stdout.contains("differ"), "{brief:?}");
}

#[test]
fn wait_returns_when_it_is_so() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[
        pod("one", "web", "10.9.0.11", 8080),
        service("web-ours", "web", 80, "8080", ""),
        service("web-kube", "web", 80, "8080", ""),
    ]));
    for words in [
        &["wait", "pods", "--all", "--for=condition=Ready", "--timeout=10s"][..],
        &["wait", "svc/NAME", "--for=jsonpath={.spec.type}=ClusterIP"],
        &["wait", "svc/NAME", "--for=jsonpath={.spec.type}"],
        &["wait", "svc", "NAME", "--for=jsonpath={.spec.type}=X", "--timeout=1s"],
        &["wait", "svc/NAME", "--for=delete", "--timeout=1s"],
        &["wait", "svc/nope", "--for=delete"],
        &["wait", "svc/nope", "--for=condition=Ready", "--timeout=1s"],
        &["wait", "pods", "-l", "a=none", "--for=condition=Ready"],
        &["wait", "svc/NAME", "--for=create"],
    ] {
        same(&edgesvc, words);
    }
    assert!(edgesvc.cli(&["wait", "svc/web-ours", "--for=foo"]).fails(64).contains("unrecognized condition: \"foo\""));
    let socket = edgesvc.home.socket();
    let waiter = |words: &[&str]| {
        let mut command = world.command(NODE, env!("CARGO_BIN_EXE_edgesvc"));
        command.args(["wait", "--timeout=30s", "--socket", &socket]).args(words);
        std::thread::spawn(move || Output::of(command, ""))
    };
    let deleted = waiter(&["svc/web-ours", "--for=delete"]);
    let typed = waiter(&["svc/web-kube", "--for=jsonpath={.spec.type}=NodePort"]);
    let created = waiter(&["svc/late", "--for=create"]);
    edgesvc.cli(&["delete", "svc", "web-ours"]).ok();
    edgesvc.cli(&["patch", "svc", "web-kube", "-p", r#"{"spec":{"type":"NodePort"}}"#]).ok();
    edgesvc.apply(&service("late", "web", 80, "8080", ""));
    // Whichever of the two was first, the answer is the same; gone before the start says nothing.
    assert!(["service/web-ours condition met\n", ""].contains(&deleted.join().unwrap().ok().as_str()));
    assert_eq!(typed.join().unwrap().ok(), "service/web-kube condition met\n");
    assert_eq!(created.join().unwrap().ok(), "service/late condition met\n");
}

#[test]
fn create_and_replace_say_what_kubectls_say() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    assert_eq!(edgesvc.cli(&["create", "namespace", "shop"]).ok(), "namespace/shop created\n");
    assert!(edgesvc.cli(&["create", "ns", "shop"]).fails(1).contains("already exists"));
    assert_eq!(edgesvc.cli(&["create", "ns", "dry", "--dry-run=server", "-o", "name"]).ok(), "namespace/dry\n");
    edgesvc.cli(&["get", "ns", "dry"]).fails(1);
    let web = service("web", "web", 80, "8080", "");
    let file = edgesvc.home.file("web.yaml", &web);
    assert_eq!(edgesvc.cli(&["create", "-f", &file, "-n", "shop"]).ok(), "service/web created\n");
    let said = edgesvc.cli(&["create", "-f", &file, "-n", "shop"]).fails(1);
    assert!(said.contains("web.yaml:1: Error from server (AlreadyExists)"), "{said}");
    let generated = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: made-}\n";
    let generated = edgesvc.home.file("generated.yaml", generated);
    let said = edgesvc.cli(&["create", "-f", &generated]).ok();
    assert!(said.starts_with("configmap/made-") && said.ends_with(" created\n"), "{said}");
    assert!(edgesvc.cli(&["apply", "-f", &generated]).fails(65).contains("generateName"));
    let changed = edgesvc.home.file("changed.yaml", &web.replace("port: 80,", "port: 81,"));
    assert_eq!(edgesvc.cli(&["-n", "shop", "replace", "-f", &changed]).ok(), "service/web replaced\n");
    assert!(edgesvc.cli(&["replace", "-f", &changed]).fails(1).contains("services \"web\" not found"));
    let said = edgesvc.cli(&["-n", "shop", "replace", "--force", "-f", &file]).ok();
    assert_eq!(said, "service \"web\" deleted\nservice/web replaced\n");
    for (line, code, words) in [
        (
            "create deployment web",
            1,
            "no Deployment here: edgesvc serves Services for workloads that something else runs",
        ),
        ("create service web", 64, "`create service` is not supported here"),
        ("create", 64, "must specify -f FILE"),
        ("create ns", 64, "exactly one NAME is required, got 0"),
        ("create ns a b", 64, "exactly one NAME is required, got 2"),
        ("delete svc --all -l a=b", 64, "setting 'all' parameter but found a non empty selector."),
    ] {
        let said = edgesvc.cli(&line.split(' ').collect::<Vec<_>>()).fails(code);
        assert!(said.contains(words), "{line}: {said}");
    }
}

#[test]
fn apply_takes_kubectls_flags_and_refuses_others_by_name() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let web = edgesvc.home.file("web.yaml", &service("web", "web", 80, "8080", ""));
    let apply = |more: &str| {
        let words: Vec<&str> =
            ["apply", "-f", &web].into_iter().chain(more.split(' ').filter(|word| !word.is_empty())).collect();
        edgesvc.cli(&words)
    };
    assert_eq!(apply("--dry-run=client").ok(), "service/web created (dry run)\n");
    assert_eq!(apply("--dry-run=server").ok(), "service/web created (server dry run)\n");
    edgesvc.cli(&["get", "svc", "web"]).fails(1);
    assert_eq!(apply("--server-side --field-manager=one").ok(), "service/web serverside-applied\n");
    let other = edgesvc.home.file("other.yaml", &service("web", "web", 81, "8080", ""));
    let config =
        |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  a: \"{value}\"\n");
    let (one, two) = (edgesvc.home.file("one.yaml", &config("1")), edgesvc.home.file("two.yaml", &config("2")));
    edgesvc.cli(&["apply", "-f", &one, "--server-side", "--field-manager=one"]).ok();
    let refused = edgesvc.cli(&["apply", "-f", &two, "--server-side", "--field-manager=two"]).fails(1);
    assert!(refused.contains("two.yaml:5") && refused.contains("\"one\""), "{refused}");
    edgesvc.cli(&["apply", "-f", &two, "--server-side", "--field-manager=two", "--force-conflicts"]).ok();
    assert_eq!(edgesvc.field("configmap", "c", &["data", "a"]).unwrap(), "2");
    assert_eq!(edgesvc.cli(&["apply", "-f", &format!("{web},{one}")]).ok().lines().count(), 2);
    let unknown = edgesvc.home.file("unknown.yaml", &service("web", "web", 80, "8080", "  foo: 1\n"));
    edgesvc.cli(&["apply", "-f", &unknown]).fails(1);
    // Server-side apply has no room for unknown fields; create has.
    edgesvc.cli(&["create", "-f", &unknown, "-n", "kube-public"]).fails(1);
    let warned = edgesvc.cli(&["create", "-f", &unknown, "-n", "kube-public", "--validate=warn"]);
    assert!(warned.code == 0 && warned.stderr.contains("Warning: unknown field \"spec.foo\""), "{warned:?}");
    edgesvc.cli(&["create", "-f", &unknown, "-n", "kube-system", "--validate=false"]).ok();
    for (more, words) in [
        ("--prune --all --applyset=x", "--applyset is not supported"),
        ("--force-conflicts", "only works with --server-side"),
        ("-k folder", "kustomize"),
        ("-f https://example.com/x.yaml", "not fetched from the network"),
        ("--dry-run=foo", "foo"),
        ("--no-such-flag", "--no-such-flag"),
    ] {
        let said = apply(more).fails(64);
        assert!(said.contains(words), "{more}: {said}");
    }
    assert!(edgesvc.cli(&["apply", "-f", "/nope"]).fails(74).contains("the path \"/nope\" does not exist"));
    drop(other);
}

/// Applies lines of manifests with further words in a namespace of one's own; both
/// must say the same and leave the same.
#[track_caller]
fn same_prune(edgesvc: &Edgesvc<'_>, manifest: &str, more: &str) -> String {
    let words = |namespace| ["-n", namespace, "apply", "-f", "-"].into_iter().chain(more.split_whitespace());
    let ours = edgesvc.home.cli_with(edgesvc.world, &words("ours").collect::<Vec<_>>(), manifest);
    let theirs = edgesvc.kubectl_with(&words("theirs").collect::<Vec<_>>(), manifest);
    let said = |output: &Output| (output.code == 0, output.stdout.clone(), output.stderr.trim_end().to_owned());
    assert_eq!(said(&ours), said(&theirs), "{more}");
    let left = |namespace| edgesvc.cli(&["-n", namespace, "get", "svc,cm,secret,endpointslices", "-o", "name"]).ok();
    assert_eq!(left("ours"), left("theirs"), "{more}");
    ours.stdout
}

#[test]
fn apply_prune_deletes_what_kubectls_deletes() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let object = |kind: &str, name: &str, app: &str| {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\n")
    };
    let web = object("Service", "web", "shop") + "spec: {ports: [{port: 80}]}\n";
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: manual}\naddressType: IPv4\nendpoints: []\n";
    let all = stream(&[
        web.clone(),
        object("ConfigMap", "old", "shop"),
        object("ConfigMap", "other", "forum"),
        object("Secret", "key", "shop"),
        slice.to_owned(),
    ]);
    for namespace in ["ours", "theirs"] {
        edgesvc.cli(&["create", "ns", namespace]).ok();
        // Nobody applied this one.
        let made = object("ConfigMap", "made", "shop");
        edgesvc.home.cli_with(&world, &["-n", namespace, "create", "-f", "-"], &made).ok();
    }
    same_prune(&edgesvc, &all, "");
    let kinds = ["core/v1/ConfigMap", "core/v1/Secret", "core/v1/Service", "discovery.k8s.io/v1/EndpointSlice"];
    let kinds = kinds.map(|kind| format!("--prune-allowlist={kind}")).join(" ");
    for more in [
        "--prune",
        "--prune --all -l app=shop",
        "--all --dry-run=server",
        "--prune --all --prune-allowlist=foo",
        "--prune --all --prune-allowlist=core/v1/Service,core/v1/Secret",
        "--prune --all --prune-allowlist=a/b/c",
        "--prune --all --prune-allowlist=core/v1/services",
        "--prune -l app=nobody",
        "-l app=shop --dry-run=server",
        "--prune --all --server-side --dry-run=client",
        &format!("--prune --all --dry-run=server {kinds}"),
        &format!("--prune -l app=shop --dry-run=server {kinds} -o name"),
        &format!("--prune -l app=shop --grace-period=-1 --cascade=orphan {kinds}"),
        &format!("--prune --all {kinds}"),
        &format!("--prune --all {kinds}"),
    ] {
        same_prune(&edgesvc, &web, more);
    }
    let left = edgesvc.cli(&["-n", "ours", "get", "cm,svc,secret,endpointslices", "-o", "name"]).ok();
    assert_eq!(left, "configmap/made\nservice/web\n");
    // What kubectl applied goes too, whoever prunes.
    edgesvc.kubectl_with(&["-n", "ours", "apply", "-f", "-"], &all).ok();
    let ours = |manifest: &str, more: &[&str]| {
        let words: Vec<&str> = ["-n", "ours", "apply", "-f", "-"].into_iter().chain(more.iter().copied()).collect();
        edgesvc.home.cli_with(&world, &words, manifest)
    };
    // kubectl's own list names kinds that are not served, and fails; here it is what is served of it.
    let said = ours(&web, &["--prune", "-l", "app=shop", "--dry-run=client"]).ok();
    assert_eq!(said, "service/web unchanged (dry run)\nconfigmap/old pruned (dry run)\nsecret/key pruned (dry run)\n");
    // A refusal deletes nothing.
    ours(&web.replace("80", "0"), &["--prune", "--all"]).fails(1);
    edgesvc.cli(&["-n", "ours", "get", "cm", "old"]).ok();
    // Fields applied by another manager are another's, whom kubectl refuses to prune for.
    let theirs = object("ConfigMap", "theirs", "shop");
    ours(&theirs, &["--server-side", "--field-manager=other"]).ok();
    let said = ours(&web, &["--prune", "--all", "--server-side"]).ok();
    assert_eq!(
        said,
        "service/web serverside-applied\nconfigmap/old pruned\nconfigmap/other pruned\nsecret/key pruned\n"
    );
    let said = ours(&web, &["--prune", "--all", "--server-side", "--field-manager=other", "--force-conflicts"]).ok();
    assert_eq!(said, "service/web serverside-applied\nconfigmap/theirs pruned\n");
}

#[test]
fn apply_prune_looks_into_the_namespaces_it_applied_to_and_no_other() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let map = |name: &str, namespace: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n")
    };
    let space = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    edgesvc.apply(&stream(&[
        space("one"),
        space("two"),
        map("keep", "one"),
        map("old", "one"),
        map("old", "two"),
        map("old", "default"),
    ]));
    let prune = |manifests: &[String], more: &[&str]| {
        let words: Vec<&str> =
            ["apply", "-f", "-", "--prune", "--all"].into_iter().chain(more.iter().copied()).collect();
        edgesvc.home.cli_with(&world, &words, &stream(manifests)).ok()
    };
    let said = prune(&[space("one"), space("two"), map("keep", "one")], &[]);
    assert_eq!(
        said,
        "namespace/one unchanged\nnamespace/two unchanged\nconfigmap/keep unchanged\nconfigmap/old pruned\n"
    );
    edgesvc.cli(&["get", "cm", "old", "-n", "two"]).ok();
    edgesvc.cli(&["get", "cm", "old"]).ok();
    // A Namespace that is named no more goes, with everything in it.
    let said = prune(&[space("one"), map("keep", "one")], &["--prune-allowlist=core/v1/Namespace"]);
    assert!(said.ends_with("configmap/keep unchanged\nnamespace/two pruned\n"), "{said}");
    eventually(SOON, || match edgesvc.cli(&["get", "ns", "two"]).code {
        0 => Err("still there".to_owned()),
        _ => Ok(()),
    });
}

#[test]
fn delete_in_a_dry_run_deletes_nothing() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    twins(&edgesvc);
    for dry in ["client", "server"] {
        same(&edgesvc, &["delete", "svc", "NAME", &format!("--dry-run={dry}")]);
    }
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), pod("two", "web", "10.9.0.11", 8080)]));
    let forced = edgesvc.cli(&["delete", "pod", "one", "--force", "--grace-period=0"]);
    assert_eq!(forced.stdout, edgesvc.kubectl(&["delete", "pod", "two", "--force"]).ok().replace("two", "one"));
    assert!(forced.code == 0 && forced.stderr.starts_with("Warning: Immediate deletion"), "{forced:?}");
    same(&edgesvc, &["delete", "svc", "nope", "--ignore-not-found", "--cascade=orphan"]);
    assert!(edgesvc.cli(&["delete", "svc"]).fails(64).contains("no name was specified"));
    eventually(SOON, || edgesvc.cli(&["delete", "svc", "--all", "--field-selector=metadata.name=web-ours"]).result());
    edgesvc.cli(&["get", "svc", "web-ours"]).fails(1);
    edgesvc.cli(&["get", "svc", "web-kube"]).ok();
}

#[test]
fn a_thousand_manifests_take_seconds_and_are_told_in_order() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let names: Vec<String> = (0..1000).map(|n| format!("many-{n}")).collect();
    let services =
        names.iter().map(|name| service(name, "web", 80, "8080", "").replace("  name:", "  namespace: shop\n  name:"));
    // Everything in the namespace waits for it, wherever a connection may be faster.
    let shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: b}}\n".to_owned();
    let file = edgesvc.home.file("many.yaml", &stream(&std::iter::once(shop).chain(services).collect::<Vec<_>>()));
    let lines = |word: &str| {
        let services = names.iter().map(|name| format!("service/{name} {word}\n"));
        format!("namespace/shop {word}\n{}", services.collect::<String>())
    };
    let start = tokio::time::Instant::now();
    let created = edgesvc.cli(&["apply", "-f", &file]);
    let took = start.elapsed();
    // One after another they took several times as long; alone on a machine this
    // is near one second.
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(created.stderr, "", "no progress is shown where there is no terminal");
    assert_eq!(created.ok(), lines("created"));
    assert_eq!(edgesvc.cli(&["apply", "-f", &file]).ok(), lines("unchanged"));
    // A slip at the very end: nothing of the file is done.
    let text = std::fs::read_to_string(&file).unwrap().replace("port: 80,", "port: 81,") + "---\nkind: Nothing\n";
    edgesvc.cli(&["apply", "-f", &edgesvc.home.file("slip.yaml", &text)]).fails(65);
    let ports =
        edgesvc.cli(&["get", "svc", "-n", "shop", "-o", "jsonpath={.items[*].spec.ports[?(@.port==81)].port}"]).ok();
    assert_eq!(ports, "");
    // One refusal among many: the others are done, and it is told.
    let text = std::fs::read_to_string(&file).unwrap().replacen("port: 80,", "port: 70000,", 1);
    let refused = edgesvc.cli(&["apply", "-f", &edgesvc.home.file("one.yaml", &text)]);
    assert_eq!((refused.code, refused.stdout.lines().count()), (1, 1000));
    assert!(refused.stderr.contains("one.yaml:13: spec.ports[0].port"), "{}", refused.stderr);
}

/// Words whose meaning readers of YAML do not agree on.
const WORDS: &str = "n y N Yes no on Off tRue oN true ~ null 0o17 0x1f -0x1f 0b11 010 -010 08 1_000 1__0 1_ _1 1:30 190:20:30 \
    1.5 1. .5 -.5 +1 1e3 1.5e-3 1e400 2001-01-01 2001-01-01T00:00:00Z 0x7fffffffffffffff \"n\" 'yes' = 10.0.0.1 1.10 123456789.5 \
    0.000001 0b1_0 0o8 0x 00 -0 -0.0 . .. - + e1 12e03 685.230_15e+03 !foo !!str !!float a#b b:c";

#[test]
fn yaml_means_what_it_means_to_kubectl() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let data = |output: Output| -> Result<serde_json::Value, String> {
        let text = output.result()?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        Ok(value["data"].clone())
    };
    let same = |what: &str, text: &str| {
        let words = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-"];
        let ours = data(edgesvc.home.cli_with(&world, &words, text));
        let theirs = data(edgesvc.kubectl_with(&words, text));
        assert!(ours == theirs || ours.is_err() && theirs.is_err(), "{what}: {ours:?} is not {theirs:?}\n{text}");
    };
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    // A tag has a word behind it.
    let word = |word: &str| if word.starts_with('!') { format!("{word} 5") } else { word.to_owned() };
    let values: String = words.iter().enumerate().map(|(at, text)| format!("  k{at}: {}\n", word(text))).collect();
    same("values", &format!("{head}data:\n{values}"));
    for (at, text) in words.iter().enumerate() {
        // Readers that have no null or duplicate keys need no test against each other.
        if !["~", "null", "-"].contains(text) && at % 3 == 0 {
            same("key", &format!("{head}data:\n  {} : x\n", word(text)));
        }
    }
    let keys = ["yes", "n", "0x1f", "010", "1.10", "1e3", ".5", "2001-01-01", "1:30", "123456789.5", "'no'", "a b"];
    let keys: String = keys.iter().map(|key| format!("  {key}: x\n")).collect();
    same("keys", &format!("{head}data:\n{keys}"));
    for (what, text) in [
        ("a merge", format!("{head}x: &b {{a: m, c: m}}\ndata:\n  <<: *b\n  a: own\n")),
        ("a merge behind", format!("{head}x: &b {{a: m, c: m}}\ndata:\n  a: own\n  <<: *b\n")),
        ("two merges", format!("{head}x: [&b {{a: 1, c: 1}}, &d {{a: 2}}]\ndata:\n  <<: *b\n  <<: *d\n")),
        ("a list of merges", format!("{head}x: [&b {{a: 1, c: 1}}, &d {{a: 2}}]\ndata:\n  <<: [*b, *d]\n")),
        ("a merge of nothing", format!("{head}data:\n  <<: 5\n")),
        ("an alias as a key", format!("{head}x: &k yes\ndata:\n  *k : v\n")),
        ("a second anchor", format!("{head}x: &a 1\nz: &a 2\ndata: {{k: *a}}\n")),
        ("an alias in itself", format!("{head}data: &a {{a: *a}}\n")),
        ("a tab for an indent", format!("{head}data:\n\ta: v\n")),
        ("a tab behind a colon", format!("{head}data:\n  a:\t5\n")),
        ("line ends of other systems", format!("{head}data:\n  a: |\n    x\n    y\n").replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{feff}{head}data: {{a: v}}\n")),
        ("remarks alone", format!("# a\n---\n# b\n---\n{head}data: {{a: v}}\n---\n# c\n")),
        ("folded lines", format!("{head}data:\n  a: >\n    x\n    y\n\n    z\n  b: x\n   y\n\n   z\n")),
        ("a key of null", format!("{head}data:\n  ~: v\n")),
        ("a key of a list", format!("{head}data:\n  [a]: v\n")),
        (
            "JSON",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":1.0,"b":1e3}}"#.to_owned(),
        ),
    ] {
        same(what, &text);
    }
}

/// Runs a command with its standard error, and its standard output if wanted, on a
/// pseudo terminal; prints what came there as JSON, and after it what came elsewhere.
const ON_A_TERMINAL: &str = r#"
import json, os, pty, subprocess, sys
leader, follower = pty.openpty()
out = follower if sys.argv[1] == "both" else subprocess.PIPE
run = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=out, stderr=follower)
os.close(follower)
import threading
rest = []
if run.stdout:
    reader = threading.Thread(target=lambda: rest.append(run.stdout.read())); reader.start()
seen = b""
while True:
    try: more = os.read(leader, 65536)
    except OSError: break
    if not more: break
    seen += more
if run.stdout: reader.join()
json.dump([seen.decode(), b"".join(rest).decode(), run.wait()], sys.stdout)
"#;

/// What is left on a screen that shows `text`: a carriage return goes to the line's
/// start, and `ESC [ K` clears what follows.
fn screen(text: &str) -> Vec<String> {
    let lines =
        text.split('\n').map(|line| line.rsplit("\r\u{1b}[K").next().unwrap().trim_end_matches('\r').to_owned());
    lines.collect()
}

#[test]
fn a_long_apply_says_how_far_it_is_on_a_terminal_and_leaves_it_clean() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let names: Vec<String> = (0..2500).map(|n| format!("many-{n}")).collect();
    let map = |name: &String| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n");
    let file = edgesvc.home.file("many.yaml", &stream(&names.iter().map(map).collect::<Vec<_>>()));
    let run = |streams: &str, term: &str| -> (String, String) {
        let mut command = world.command(NODE, "python3");
        command.args(["-c", ON_A_TERMINAL, streams, env!("CARGO_BIN_EXE_edgesvc"), "apply", "-f", &file]);
        command.args(["--socket", &edgesvc.home.socket()]).env("TERM", term);
        let (seen, rest, code): (String, String, i32) = serde_json::from_str(&Output::of(command, "").ok()).unwrap();
        assert_eq!(code, 0, "{seen}");
        (seen, rest)
    };
    let lines = |word: &str| names.iter().map(|name| format!("configmap/{name} {word}\n")).collect::<String>();
    // Results in a pipe: the line stands until the end, and nothing of it stays.
    let (seen, results) = run("stderr", "xterm");
    assert_eq!(results, lines("created"));
    assert!(seen.matches("applied ").count() > 1 && seen.contains(" of 2500"), "{seen}");
    assert_eq!(screen(&seen), [""], "{seen}");
    assert_eq!(seen.matches("\r\u{1b}[K").count(), seen.matches("applied ").count() + 1, "cleared once, at the end");
    // Results on the same terminal stand above it.
    let (seen, _) = run("both", "xterm");
    assert!(seen.contains("applied "), "{seen}");
    assert_eq!(screen(&seen).join("\n"), lines("unchanged"));
    let (seen, _) = run("stderr", "dumb");
    assert_eq!(seen, "");
}
