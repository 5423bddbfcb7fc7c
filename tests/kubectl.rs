//! The real kubectl, unmodified, over TLS with `admin.kubeconfig`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use support::{Edgesvc, World, eventually, pod, service, stream};

#[path = "kubectl/reads.rs"]
mod reads;
#[path = "kubectl/writes.rs"]
mod writes;

const SOON: Duration = Duration::from_secs(20);

/// Case 39 of spec/api.md.
#[test]
fn apply_both_ways_and_again() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let web = service("web", "web", 80, "8080", "");
    let apply = |more: &[&str]| edgesvc.kubectl_with(&[&["apply", "-f", "-"], more].concat(), &web).ok();
    assert_eq!(apply(&[]).trim(), "service/web created");
    let revision = edgesvc.field("service", "web", &["metadata", "resourceVersion"]).unwrap();
    assert_eq!(apply(&[]).trim(), "service/web unchanged");
    assert_eq!(edgesvc.field("service", "web", &["metadata", "resourceVersion"]).unwrap(), revision);
    assert_eq!(apply(&["--server-side"]).trim(), "service/web serverside-applied");
    let changed = web.replace("port: 80,", "port: 81,");
    assert_eq!(edgesvc.kubectl_with(&["apply", "-f", "-"], &changed).ok().trim(), "service/web configured");
    assert_eq!(edgesvc.field("service", "web", &["spec", "ports", "0", "port"]).unwrap(), "81");
    let dry = service("dry", "web", 80, "8080", "");
    edgesvc.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &dry).ok();
    edgesvc.kubectl(&["get", "service", "dry"]).fails(1);
}

#[test]
fn a_server_side_conflict_names_the_manager() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let config =
        |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: \"{value}\"}}\n");
    let apply = |manager: &str, value: &str, more: &[&str]| {
        let flag = format!("--field-manager={manager}");
        edgesvc.kubectl_with(&[&["apply", "--server-side", &flag, "-f", "-"], more].concat(), &config(value))
    };
    apply("one", "1", &[]).ok();
    let refused = apply("two", "2", &[]).fails(1);
    assert!(refused.contains(".data.a") && refused.contains("\"one\""), "{refused}");
    apply("two", "2", &["--force-conflicts"]).ok();
    assert_eq!(edgesvc.field("configmap", "c", &["data", "a"]).unwrap(), "2");
}

#[test]
fn get_prints_tables_names_and_objects() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let table = edgesvc.kubectl(&["get", "services"]).ok();
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    assert!(table.contains("kubernetes") && table.contains("80/TCP"), "{table}");
    let wide = edgesvc.kubectl(&["get", "svc", "web", "-o", "wide"]).ok();
    assert!(wide.contains("SELECTOR") && wide.contains("app=web"), "{wide}");
    assert_eq!(edgesvc.kubectl(&["get", "svc", "web", "-o", "name"]).ok().trim(), "service/web");
    let yaml = edgesvc.kubectl(&["get", "svc", "web", "-o", "yaml"]).ok();
    assert!(yaml.contains("clusterIP: 10.43."), "{yaml}");
    let all = edgesvc.kubectl(&["get", "pods,endpointslices,namespaces,nodes", "-A"]).ok();
    for name in ["pod/one", "endpointslice.discovery.k8s.io/web-", "namespace/kube-system", "node/"] {
        assert!(all.contains(name), "no {name} in\n{all}");
    }
    assert!(edgesvc.kubectl(&["get", "svc", "nope"]).fails(1).contains("services \"nope\" not found"));
}

#[test]
fn get_watch_shows_changes_as_they_come() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let mut command = edgesvc.kubectl_command();
    command.args(["get", "services", "-w", "-o", "name"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("service/kubernetes"));
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    assert_eq!(lines.next().as_deref(), Some("service/web"));
    let inner = World::inner_pid(&watch).unwrap();
    drop(std::process::Command::new("kill").args(["-KILL", &inner]).status());
    drop(watch.wait());
}

#[test]
fn describe_shows_endpoints() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    eventually(SOON, || {
        let text = edgesvc.kubectl(&["describe", "service", "web"]).result()?;
        if text.contains("10.9.0.11:8080") { Ok(()) } else { Err(text) }
    });
}

#[test]
fn label_annotate_and_every_patch_type() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    edgesvc.kubectl(&["label", "service", "web", "tier=front"]).ok();
    edgesvc.kubectl(&["annotate", "service", "web", "note=seen"]).ok();
    assert_eq!(edgesvc.field("service", "web", &["metadata", "labels", "tier"]).unwrap(), "front");
    assert_eq!(edgesvc.field("service", "web", &["metadata", "annotations", "note"]).unwrap(), "seen");
    let patch = |kind: &str, body: &str| {
        let kind = format!("--type={kind}");
        edgesvc.kubectl(&["patch", "service", "web", &kind, "-p", body]).ok();
    };
    patch("strategic", r#"{"spec":{"ports":[{"name":"metrics","port":9100}]}}"#);
    let ports = edgesvc.field("service", "web", &["spec", "ports"]).unwrap();
    assert!(ports.contains("9100") && ports.contains("8080"), "the new port stands beside the old: {ports}");
    patch("merge", r#"{"spec":{"selector":{"app":"other"}}}"#);
    assert_eq!(edgesvc.field("service", "web", &["spec", "selector", "app"]).unwrap(), "other");
    patch("json", r#"[{"op":"remove","path":"/metadata/labels/tier"}]"#);
    edgesvc.field("service", "web", &["metadata", "labels", "tier"]).unwrap_err();
}

/// Case 38 of spec/api.md.
#[test]
fn a_namespace_is_created_from_a_protobuf_body_and_deleted_with_its_content() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    assert_eq!(edgesvc.kubectl(&["create", "namespace", "shop"]).ok().trim(), "namespace/shop created");
    let web = service("web", "web", 80, "8080", "");
    edgesvc.kubectl_with(&["-n", "shop", "apply", "-f", "-"], &web).ok();
    edgesvc.kubectl(&["delete", "namespace", "shop", "--timeout=20s"]).ok();
    edgesvc.kubectl(&["-n", "shop", "get", "service", "web"]).fails(1);
}

#[test]
fn explain_knows_the_schema() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let text = edgesvc.kubectl(&["explain", "service.spec"]).ok();
    assert!(text.contains("sessionAffinity") && text.contains("clusterIPs"), "{text}");
}

#[test]
fn delete_waits_until_the_object_is_gone() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let said = edgesvc.kubectl(&["delete", "service", "web", "--timeout=20s"]).ok();
    assert!(said.starts_with("service \"web\" deleted"), "{said}");
    edgesvc.kubectl(&["get", "service", "web"]).fails(1);
    let refused = edgesvc.kubectl(&["delete", "namespace", "default"]).fails(1);
    assert!(refused.contains("forbidden"), "{refused}");
}

#[test]
fn wrong_manifests_are_refused_by_field() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let refused = |manifest: &str| edgesvc.kubectl_with(&["apply", "-f", "-"], manifest).fails(1);
    let wrong_port = refused(&service("web", "web", 80, "8080", "").replace("port: 80,", "port: 70000,"));
    assert!(wrong_port.contains("spec.ports[0].port"), "{wrong_port}");
    let unknown = refused(&service("web", "web", 80, "8080", "  foo: 1\n"));
    assert!(unknown.contains("unknown field \"spec.foo\""), "{unknown}");
    let no_ports = refused("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {}\n");
    assert!(no_ports.contains("spec.ports: Required value"), "{no_ports}");
    let wrong_name = refused(&service("Web", "web", 80, "8080", ""));
    assert!(wrong_name.contains("metadata.name"), "{wrong_name}");
    let taken = refused(&service("web", "web", 80, "8080", "  clusterIP: 10.43.0.1\n"));
    assert!(taken.contains("spec.clusterIPs") && taken.contains("already allocated"), "{taken}");
    edgesvc.kubectl(&["get", "service", "web"]).fails(1);
}

/// What other tools bring along: accounts, locks, ranges, rules of HTTP.
const NEIGHBOURS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: lock}
spec: {holderIdentity: me, leaseDurationSeconds: 15}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: nginx
  rules:
  - host: a.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: more}
spec: {cidrs: [10.99.0.0/24]}
";

#[test]
fn neighbouring_kinds_are_applied_shown_and_explained() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let apply = |more: &[&str]| edgesvc.kubectl_with(&[&["apply", "-f", "-"], more].concat(), NEIGHBOURS).ok();
    assert_eq!(apply(&[]).matches(" created").count(), 5);
    assert_eq!(apply(&[]).matches(" unchanged").count(), 5);
    assert_eq!(apply(&["--server-side"]).matches(" serverside-applied").count(), 5);
    let kinds = "sa,leases,ingresses,ingressclasses,servicecidrs,ipaddresses,clusterroles,clusterrolebindings";
    let tables = edgesvc.kubectl(&["get", kinds]).ok();
    for words in ["serviceaccount/default", "HOLDER", "a.example", "10.99.0.0/24", "services/default/kubernetes"] {
        assert!(tables.contains(words), "{words}:\n{tables}");
    }
    assert!(edgesvc.kubectl(&["describe", "ingress", "web"]).ok().contains("a.example"));
    assert!(edgesvc.kubectl(&["explain", "ingress.spec.rules.http"]).ok().contains("-required-"));
    let review = "apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nspec: {user: u, groups: [\"system:masters\"], resourceAttributes: {verb: get, resource: pods}}\n";
    let answer = edgesvc.kubectl_with(&["create", "-f", "-", "-o", "jsonpath={.status.allowed}"], review).ok();
    assert_eq!(answer, "true");
    assert!(edgesvc.kubectl(&["auth", "can-i", "--list"]).ok().contains("*.*"));
    let refused = edgesvc.kubectl(&["create", "clusterrole", "x", "--verb=get", "--resource=pods"]).fails(1);
    assert!(refused.contains("can only be read"), "{refused}");
    edgesvc.kubectl_with(&["delete", "-f", "-"], NEIGHBOURS).ok();
}
