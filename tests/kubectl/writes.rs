//! Every way kubectl has to write.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::{Edgesvc, Output, World, pod, service, stream};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {set: x}}\ndata: {a: \"1\"}\n";

#[test]
fn create_makes_what_it_names_once() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    assert_eq!(edgesvc.kubectl_with(&["create", "-f", "-"], MAP).ok().trim(), "configmap/c created");
    assert!(edgesvc.kubectl_with(&["create", "-f", "-"], MAP).fails(1).contains("AlreadyExists"));
    let create = |words: &[&str]| edgesvc.kubectl(&[&["create"], words].concat()).ok();
    for (words, said) in [
        (&["configmap", "made", "--from-literal=a=1"][..], "configmap/made created"),
        (&["secret", "generic", "made", "--from-literal=a=b"], "secret/made created"),
        (
            &["secret", "docker-registry", "reg", "--docker-username=u", "--docker-password=p", "--docker-server=s"],
            "secret/reg created",
        ),
        (&["service", "clusterip", "plain", "--tcp=80:8080"], "service/plain created"),
        (&["service", "clusterip", "head", "--clusterip=None"], "service/head created"),
        (&["service", "nodeport", "port", "--tcp=80", "--node-port=30080"], "service/port created"),
        (&["service", "loadbalancer", "balanced", "--tcp=80"], "service/balanced created"),
        (&["service", "externalname", "alias", "--external-name=x.example"], "service/alias created"),
        (&["ingress", "in", "--rule=a.example/*=plain:80"], "ingress.networking.k8s.io/in created"),
        (&["serviceaccount", "robot"], "serviceaccount/robot created"),
        (&["namespace", "shop", "--dry-run=server"], "namespace/shop created (server dry run)"),
    ] {
        assert_eq!(create(words).trim(), said);
    }
    edgesvc.kubectl(&["get", "namespace", "shop"]).fails(1);
    assert_eq!(edgesvc.field("secret", "made", &["data", "a"]).unwrap(), "Yg==");
    assert_eq!(edgesvc.field("service", "port", &["spec", "ports", "0", "nodePort"]).unwrap(), "30080");
    // Roles are fixed.
    assert!(
        edgesvc
            .kubectl(&["create", "role", "r", "--verb=get", "--resource=pods"])
            .fails(1)
            .contains("can only be read")
    );
    assert!(
        edgesvc
            .kubectl(&["create", "deployment", "d", "--image=i"])
            .fails(1)
            .contains("could not find the requested resource")
    );
}

#[test]
fn replace_puts_the_whole_object() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let replace = |more: &[&str], text: &str| edgesvc.kubectl_with(&[&["replace", "-f", "-"], more].concat(), text);
    assert!(replace(&[], MAP).fails(1).contains("NotFound"));
    edgesvc.kubectl_with(&["create", "-f", "-"], MAP).ok();
    assert_eq!(replace(&[], &MAP.replace("a: \"1\"", "b: \"2\"")).ok().trim(), "configmap/c replaced");
    edgesvc.field("configmap", "c", &["data", "a"]).unwrap_err();
    let uid = edgesvc.field("configmap", "c", &["metadata", "uid"]).unwrap();
    assert!(replace(&["--force"], MAP).ok().contains("configmap/c replaced"));
    assert_ne!(edgesvc.field("configmap", "c", &["metadata", "uid"]).unwrap(), uid, "deleted and made again");
    let stale = MAP.replace("name: c,", "name: c, resourceVersion: \"1\",");
    assert!(replace(&[], &stale).fails(1).contains("the object has been modified"));
}

#[test]
fn diff_says_what_apply_would_change() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let web = service("web", "web", 80, "8080", "");
    let diff = |more: &[&str], text: &str| edgesvc.kubectl_with(&[&["diff", "-f", "-"], more].concat(), text);
    assert_eq!(diff(&[], &web).code, 1, "everything is new");
    edgesvc.kubectl_with(&["apply", "-f", "-"], &web).ok();
    assert_eq!(diff(&[], &web).ok(), "");
    let said = diff(&[], &web.replace("port: 80,", "port: 81,"));
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.contains("-    port: 80\n+    port: 81\n"), "{}", said.stdout);
    edgesvc.kubectl_with(&["apply", "--server-side", "-f", "-"], MAP).ok();
    let said = diff(&["--server-side"], &MAP.replace("\"1\"", "\"2\""));
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.contains("-  a: \"1\"\n+  a: \"2\"\n"), "{}", said.stdout);
    assert_eq!(edgesvc.field("service", "web", &["spec", "ports", "0", "port"]).unwrap(), "80", "nothing was changed");
}

#[test]
fn apply_prunes_and_tells_what_it_applied() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let two = stream(&[MAP.to_owned(), MAP.replace("name: c", "name: d")]);
    let prune = ["apply", "-f", "-", "--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap"];
    assert_eq!(edgesvc.kubectl_with(&prune, &two).ok().matches(" created").count(), 2);
    assert!(edgesvc.kubectl_with(&prune, MAP).ok().contains("configmap/d pruned"));
    edgesvc.kubectl(&["get", "configmap", "d"]).fails(1);
    let last = edgesvc.kubectl(&["apply", "view-last-applied", "configmap", "c", "-o", "json"]).ok();
    assert!(last.contains("\"a\": \"1\""), "{last}");
    let set = edgesvc.kubectl_with(&["apply", "set-last-applied", "-f", "-"], &MAP.replace("\"1\"", "\"2\"")).ok();
    assert!(set.contains("configured"), "{set}");
    // Without an allow list kubectl looks for every kind it knows, Deployments too.
    let all = edgesvc.kubectl_with(&["apply", "-f", "-", "--prune", "-l", "set=x"], MAP);
    assert!(all.code == 0 || all.stderr.contains("no matches for kind"), "{}{}", all.stdout, all.stderr);
    let folder = edgesvc.home.path("kustom");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("c.yaml"), MAP.replace("name: c", "name: k")).unwrap();
    std::fs::write(folder.join("kustomization.yaml"), "resources: [c.yaml]\nnamePrefix: my-\n").unwrap();
    let said = edgesvc.kubectl(&["apply", "-k", folder.to_str().unwrap()]).ok();
    assert_eq!(said.trim(), "configmap/my-k created");
}

#[test]
fn apply_server_side_after_client_side_takes_over() {
    // Case 40 of spec/api.md, and what is dropped afterwards is gone.
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let both = MAP.replace("{a: \"1\"}", "{a: \"1\", b: \"2\"}");
    edgesvc.kubectl_with(&["apply", "-f", "-"], &both).ok();
    let side = |text: &str| edgesvc.kubectl_with(&["apply", "--server-side", "-f", "-"], text).ok();
    assert_eq!(side(&both).trim(), "configmap/c serverside-applied");
    side(MAP);
    edgesvc.field("configmap", "c", &["data", "b"]).unwrap_err();
    let managers = edgesvc
        .kubectl(&["get", "cm", "c", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"])
        .ok();
    // Entries are in the order of their times, which may be a second apart.
    let managers: std::collections::BTreeSet<&str> = managers.split(' ').collect();
    assert_eq!(managers.into_iter().collect::<Vec<_>>(), ["kubectl", "kubectl-last-applied"]);
}

#[test]
fn edit_writes_what_the_editor_leaves() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.kubectl_with(&["apply", "-f", "-"], MAP).ok();
    let edit = |script: &str, words: &[&str]| {
        let editor = edgesvc.home.file("editor", &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = edgesvc.kubectl_command();
        command.args(["edit"]).args(words).env("KUBE_EDITOR", &editor);
        Output::of(command, "")
    };
    let said = edit("sed -i 's/a: \"1\"/a: \"7\"/' \"$1\"", &["configmap", "c"]).ok();
    assert!(said.contains("configmap/c edited"), "{said}");
    assert_eq!(edgesvc.field("configmap", "c", &["data", "a"]).unwrap(), "7");
    assert!(edit("true", &["configmap", "c"]).stderr.contains("no changes"));
    // A refused edit comes back to the editor with the reason; one that changes nothing then ends it.
    edgesvc.apply(&service("web", "web", 80, "8080", ""));
    let seen = edgesvc.home.path("seen");
    let wrong = format!("cp \"$1\" {}; sed -i 's/port: 80$/port: 70000/' \"$1\"", seen.display());
    assert!(edit(&wrong, &["service", "web"]).fails(1).contains("\"web\" is invalid"));
    assert!(std::fs::read_to_string(seen).unwrap().contains("# * spec.ports[0].port: Invalid value: 70000"));
    let status = edit("sed -i 's/loadBalancer: {}/conditions: [{type: T, status: \"True\", reason: R, message: m, lastTransitionTime: \"2026-01-01T00:00:00Z\"}]/' \"$1\"",
        &["service", "web", "--subresource=status"]).ok();
    assert!(status.contains("edited"), "{status}");
}

#[test]
fn label_and_annotate_overwrite_only_when_told() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.kubectl_with(&["apply", "-f", "-"], MAP).ok();
    assert!(edgesvc.kubectl(&["label", "cm", "c", "set=y"]).fails(1).contains("--overwrite"));
    edgesvc.kubectl(&["label", "cm", "c", "set=y", "--overwrite"]).ok();
    edgesvc.kubectl(&["label", "cm", "-l", "set=y", "more=z", "set-"]).ok();
    let labels = edgesvc.kubectl(&["get", "cm", "c", "-o", "jsonpath={.metadata.labels}"]).ok();
    assert_eq!(labels, r#"{"more":"z"}"#);
    assert!(edgesvc.kubectl(&["label", "cm", "c", "bad=a b"]).fails(1).contains("bad"));
    edgesvc.kubectl(&["annotate", "cm", "c", "note=one two", "--resource-version=1"]).fails(1);
    edgesvc.kubectl(&["annotate", "cm", "c", "note=one two"]).ok();
    edgesvc.kubectl(&["annotate", "cm", "--all", "note-"]).ok();
    edgesvc.field("configmap", "c", &["metadata", "annotations", "note"]).unwrap_err();
}

#[test]
fn delete_cascades_as_it_is_told() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let owned = |policy: &str| {
        edgesvc.kubectl_with(&["apply", "-f", "-"], MAP).ok();
        let uid = edgesvc.field("configmap", "c", &["metadata", "uid"]).unwrap();
        let child = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: child\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: c, uid: {uid}, blockOwnerDeletion: true}}]\n"
        );
        edgesvc.kubectl_with(&["apply", "-f", "-"], &child).ok();
        edgesvc.kubectl(&["delete", "configmap", "c", &format!("--cascade={policy}"), "--timeout=20s"]).ok();
    };
    for policy in ["background", "foreground"] {
        owned(policy);
        edgesvc.kubectl(&["wait", "--for=delete", "secret/child", "--timeout=20s"]).ok();
    }
    owned("orphan");
    let owners = edgesvc.kubectl(&["get", "secret", "child", "-o", "jsonpath={.metadata.ownerReferences}"]).ok();
    assert_eq!(owners, "");

    edgesvc.kubectl_with(&["apply", "-f", "-"], MAP).ok();
    assert!(edgesvc.kubectl(&["delete", "cm", "c", "--dry-run=server"]).ok().contains("(server dry run)"));
    assert!(edgesvc.kubectl(&["delete", "cm", "-l", "set=x"]).ok().contains("configmap \"c\" deleted"));
    assert!(edgesvc.kubectl(&["delete", "cm", "c"]).fails(1).contains("not found"));
    assert_eq!(edgesvc.kubectl(&["delete", "cm", "c", "--ignore-not-found"]).ok(), "");
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 80), pod("two", "web", "10.9.0.12", 80)]));
    edgesvc.kubectl(&["delete", "pod", "one", "--now", "--timeout=20s"]).ok();
    edgesvc.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force", "--timeout=20s"]).ok();
    edgesvc.kubectl(&["delete", "secrets,configmaps", "--all", "--timeout=20s"]).ok();
    assert_eq!(edgesvc.kubectl(&["get", "pods,secrets,configmaps"]).ok(), "");
}

#[test]
fn expose_run_and_set_make_services_of_pods() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc
        .kubectl(&[
            "run",
            "one",
            "--image=none",
            "--port=8080",
            "--labels=app=web",
            "--annotations=edgesvc.io/pod-ip=10.9.0.11",
        ])
        .ok();
    edgesvc.kubectl(&["wait", "--for=condition=Ready", "pod/one", "--timeout=20s"]).ok();
    assert_eq!(edgesvc.kubectl(&["expose", "pod", "one", "--name=web"]).ok().trim(), "service/web exposed");
    assert_eq!(edgesvc.field("service", "web", &["spec", "ports", "0", "port"]).unwrap(), "8080");
    edgesvc.kubectl(&["expose", "service", "web", "--name=out", "--port=81", "--type=NodePort"]).ok();
    assert_eq!(edgesvc.field("service", "out", &["spec", "selector", "app"]).unwrap(), "web");
    edgesvc.kubectl(&["set", "selector", "service", "out", "app=other"]).ok();
    assert_eq!(edgesvc.field("service", "out", &["spec", "selector", "app"]).unwrap(), "other");
    edgesvc.kubectl(&["set", "image", "pod/one", "one=other"]).ok();
    edgesvc
        .kubectl(&[
            "patch",
            "pod",
            "one",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"message":"m"}}"#,
        ])
        .ok();
    let node = edgesvc.kubectl(&["get", "nodes", "-o", "name"]).ok();
    let node = node.trim();
    edgesvc.kubectl(&["cordon", node]).ok();
    assert!(edgesvc.kubectl(&["get", "nodes"]).ok().contains("SchedulingDisabled"));
    edgesvc.kubectl(&["uncordon", node]).ok();
    edgesvc.kubectl(&["taint", "nodes", node.trim_start_matches("node/"), "k=v:NoSchedule"]).ok();
}

#[test]
fn wait_ends_when_it_is_so_and_says_when_not() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(&stream(&[pod("one", "web", "10.9.0.11", 8080), service("web", "web", 80, "8080", "")]));
    let wait = |words: &[&str]| edgesvc.kubectl(&[&["wait", "--timeout=20s"], words].concat());
    wait(&["--for=condition=Ready", "pod/one"]).ok();
    wait(&["--for=jsonpath={.status.podIP}=10.9.0.11", "pod", "-l", "app=web"]).ok();
    wait(&["--for=jsonpath={.spec.clusterIP}", "service/web"]).ok();
    wait(&["--for=create", "endpoints/web"]).ok();
    let late = edgesvc.kubectl(&["wait", "--for=delete", "service/web", "--timeout=100ms"]).fails(1);
    assert!(late.contains("timed out waiting"), "{late}");
    let mut command = edgesvc.kubectl_command();
    command.args(["wait", "--for=delete", "service/web", "--timeout=20s"]).stdin(std::process::Stdio::null());
    let mut waiting = command.spawn().unwrap();
    edgesvc.kubectl(&["delete", "service", "web"]).ok();
    let ended = || waiting.try_wait().unwrap().map(|status| status.success()).ok_or_else(|| "still waiting".to_owned());
    assert!(crate::support::eventually(Duration::from_secs(20), ended));
}
