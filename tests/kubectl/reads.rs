//! Every way kubectl has to look.

use crate::support::{Edgesvc, World, eventually, pod, service, stream};
use crate::{NEIGHBOURS, SOON};

#[test]
fn get_prints_every_format() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc
        .apply(&stream(&[service("b", "web", 80, "8080", ""), service("a", "web", 81, "8080", "  type: NodePort\n")]));
    edgesvc.kubectl(&["label", "service", "a", "tier=front"]).ok();
    let get = |words: &[&str]| edgesvc.kubectl(&[&["get", "services"], words].concat()).ok();
    assert!(get(&["-o", "json"]).contains("\"kind\": \"List\""));
    assert!(
        get(&["a", "-o", "yaml"]).starts_with("apiVersion: v1\nkind: Service\n")
            || get(&["a", "-o", "yaml"]).contains("kind: Service")
    );
    assert_eq!(get(&["-o", "name"]), "service/a\nservice/b\nservice/kubernetes\n");
    assert!(get(&["-o", "wide"]).contains("SELECTOR"), "case 41");
    assert_eq!(get(&["a", "-o", "jsonpath={.spec.ports[?(@.name=='http')].port}"]), "81");
    let file = edgesvc.home.file("path", "{range .items[*]}{.metadata.name},{end}");
    assert_eq!(get(&["-o", &format!("jsonpath-file={file}")]), "a,b,kubernetes,");
    assert_eq!(get(&["a", "-o", "go-template={{.spec.type}}"]), "NodePort");
    let file = edgesvc.home.file("template", "{{range .items}}{{.metadata.name}} {{end}}");
    assert_eq!(get(&["-o", &format!("go-template-file={file}")]), "a b kubernetes ");
    let columns = get(&["-o", "custom-columns=N:.metadata.name,P:.spec.ports[*].port"]);
    assert_eq!(
        columns.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
        ["N P", "a 81", "b 80", "kubernetes 443"]
    );
    let file = edgesvc.home.file("columns", "NAME TYPE\n.metadata.name .spec.type\n");
    assert!(get(&["-o", &format!("custom-columns-file={file}")]).contains("NodePort"));
    assert_eq!(get(&["--sort-by=.spec.ports[0].port", "-o", "name"]), "service/b\nservice/a\nservice/kubernetes\n");
    assert_eq!(get(&["--chunk-size=1", "-o", "name"]).lines().count(), 3);
    assert_eq!(get(&["-l", "tier=front", "-o", "name"]), "service/a\n");
    assert_eq!(get(&["--field-selector=spec.type=NodePort", "-o", "name"]), "service/a\n");
    assert!(get(&["--show-labels"]).contains("tier=front") && get(&["-L", "tier"]).contains("TIER"));
    assert!(!get(&["--no-headers"]).contains("NAME"));
    assert!(!get(&["a", "-o", "yaml"]).contains("managedFields"));
    assert!(get(&["a", "-o", "yaml", "--show-managed-fields"]).contains("managedFields"));
    assert!(get(&["-A", "--output-watch-events", "--watch-only", "--request-timeout=1s"]).is_empty());
    assert!(edgesvc.kubectl(&["get", "all"]).ok().contains("service/a"));
    assert!(edgesvc.kubectl(&["get", "--raw", "/version"]).ok().contains("gitVersion"));
    let raw = edgesvc.kubectl(&["get", "--raw", "/apis/discovery.k8s.io/v1/endpointslices?limit=1"]).ok();
    assert!(raw.contains("EndpointSliceList"), "{raw}");
}

#[test]
fn the_server_says_what_it_is_and_serves() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let resources = edgesvc.kubectl(&["api-resources"]).ok();
    let header: Vec<_> = resources.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]);
    for line in ["services", "endpointslices", "leases", "selfsubjectreviews"] {
        assert!(resources.lines().any(|row| row.starts_with(line)), "no {line} in\n{resources}");
    }
    assert!(
        edgesvc
            .kubectl(&["api-resources", "-o", "wide"])
            .ok()
            .contains("create,delete,deletecollection,get,list,patch,update,watch")
    );
    let cluster = edgesvc.kubectl(&["api-resources", "--namespaced=false", "--verbs=list", "-o", "name"]).ok();
    assert!(cluster.contains("namespaces\n") && !cluster.contains("services\n"), "{cluster}");
    let versions = edgesvc.kubectl(&["api-versions"]).ok();
    assert!(
        ["v1", "discovery.k8s.io/v1", "networking.k8s.io/v1"]
            .iter()
            .all(|version| versions.lines().any(|line| line == *version)),
        "{versions}"
    );
    assert!(edgesvc.kubectl(&["version"]).ok().contains("Server Version: v1."));
    assert!(edgesvc.kubectl(&["cluster-info"]).ok().contains("127.0.0.1:6443"));
    assert_eq!(edgesvc.kubectl(&["auth", "can-i", "create", "services"]).ok().trim(), "yes");
    assert!(edgesvc.kubectl(&["auth", "can-i", "--list"]).ok().contains("*.*"));
    assert!(edgesvc.kubectl(&["auth", "whoami"]).ok().contains("system:masters"));
    assert!(edgesvc.kubectl(&["config", "view"]).ok().contains("server: https://127.0.0.1:6443"));
}

#[test]
fn every_kind_is_listed_described_and_explained() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let more = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: \"1\"}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n",
    ];
    let mut all =
        vec![pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", ""), NEIGHBOURS.to_owned()];
    all.extend(more.map(str::to_owned));
    edgesvc.kubectl_with(&["apply", "-f", "-"], &stream(&all)).ok();
    edgesvc.kubectl(&["wait", "--for=create", "endpoints/web", "--timeout=20s"]).ok();
    let kinds = edgesvc.kubectl(&["api-resources", "--verbs=list", "-o", "name"]).ok();
    assert!(kinds.lines().count() >= 20, "{kinds}");
    for kind in kinds.lines() {
        let names = edgesvc.kubectl(&["get", kind, "-A", "-o", "name"]).ok();
        let described = edgesvc.kubectl(&["describe", kind, "-A"]);
        if described.code != 0 && ["ipaddresses", "servicecidrs"].iter().any(|old| kind.starts_with(old)) {
            // kubectl 1.32 describes these by their beta, which newer ones no longer ask for.
            assert!(described.stderr.contains("could not find the requested resource"), "{}", described.stderr);
            continue;
        }
        let described = described.ok();
        for name in names.lines() {
            let (_, name) = name.split_once('/').unwrap();
            assert!(described.contains(name), "describe {kind} does not name {name}:\n{described}");
        }
        // kubectl takes what follows `events.` for a field, whatever the server.
        let (kind, version) = match kind.strip_suffix(".events.k8s.io") {
            Some(kind) => (kind, "--api-version=events.k8s.io/v1"),
            None => (kind, "--api-version="),
        };
        let explain = |path: &str, more: &[&str]| {
            edgesvc.kubectl(&[&["explain", &format!("{kind}{path}"), version], more].concat()).ok()
        };
        let explained = explain("", &["--recursive"]);
        assert!(explained.contains("FIELDS:") && explained.contains("metadata\t<ObjectMeta>"), "{kind}: {explained}");
        let detail = explain(".metadata.ownerReferences.uid", &[]);
        assert!(detail.contains("FIELD: uid <string>"), "{kind}: {detail}");
        let parent = explain(".metadata.ownerReferences", &[]);
        assert!(parent.contains("uid\t<string> -required-"), "{kind}: {parent}");
    }
    assert!(edgesvc.kubectl(&["explain", "service.spec.nope"]).fails(1).contains("does not exist"));
    assert!(edgesvc.kubectl(&["explain", "services", "--api-version=v1"]).ok().contains("VERSION:"));
}

/// Said of the Service `kubernetes`.
const EVENT: &str = "
apiVersion: v1
kind: Event
metadata: {name: e}
involvedObject: {kind: Service, name: kubernetes, namespace: default, apiVersion: v1, uid: UID}
reason: Tested
message: said so
type: Warning
firstTimestamp: '2026-01-01T00:00:00Z'
lastTimestamp: '2026-01-01T00:00:00Z'
count: 3
source: {component: test}
";

#[test]
fn events_are_shown_by_object() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let uid = edgesvc.field("service", "kubernetes", &["metadata", "uid"]).unwrap();
    edgesvc.kubectl_with(&["create", "-f", "-"], &EVENT.replace("UID", &uid)).ok();
    for words in [
        &["events"][..],
        &["events", "--for=service/kubernetes"],
        &["events", "--types=Warning", "-A"],
        &["get", "events"],
        &["get", "events.events.k8s.io"],
    ] {
        let said = edgesvc.kubectl(words).ok();
        assert!(said.contains("Tested") && said.contains("said so"), "{words:?}: {said}");
    }
    assert!(edgesvc.kubectl(&["events", "--for=service/other"]).ok().is_empty());
    let text = edgesvc.kubectl(&["describe", "service", "kubernetes"]).ok();
    assert!(text.contains("Tested") && text.contains("x3"), "{text}");
}

#[test]
fn what_needs_containers_or_scale_is_refused_in_words() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    eventually(SOON, || edgesvc.field("pod", "one", &["status", "podIP"]));
    for (words, said) in [
        (&["rollout", "status", "service/web"][..], "no status viewer has been implemented"),
        (&["rollout", "history", "service/web"], "error retrieving history"),
        (&["rollout", "restart", "service/web"], "restarting is not supported"),
        (&["scale", "service/web", "--replicas=2"], "could not find the requested resource"),
        (&["autoscale", "service/web", "--max=3"], "cannot autoscale"),
        (&["logs", "one"], "pods/log"),
        (&["exec", "one", "--", "true"], "pods/exec"),
        (&["port-forward", "pod/one", "8080"], "pods/portforward"),
        (&["top", "nodes"], "Metrics API not available"),
        (&["cluster-info", "dump"], "could not find the requested resource"),
        (&["get", "deployments"], "doesn't have a resource type"),
    ] {
        let output = edgesvc.kubectl(words);
        assert!(
            output.code != 0 && output.stderr.contains(said),
            "{words:?} ended with {}: {}{}",
            output.code,
            output.stdout,
            output.stderr
        );
    }
}
