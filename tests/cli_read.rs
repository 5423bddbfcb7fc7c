//! Commands that look: what they print is what kubectl prints of the same daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use support::{Edgesvc, World, eventually, pod, service, stream};

const SOON: Duration = Duration::from_secs(20);

/// Both say the same on standard output, and both succeed or fail. Ages move
/// between the two, so a difference must last.
#[track_caller]
fn same(edgesvc: &Edgesvc<'_>, words: &[&str]) -> String {
    eventually(Duration::from_secs(5), || {
        let (ours, theirs) = (edgesvc.cli(words), edgesvc.kubectl(words));
        if ours.stdout == theirs.stdout && (ours.code == 0) == (theirs.code == 0) {
            return Ok(ours.stdout);
        }
        Err(format!(
            "{words:?}\n--- ours: {}\n{}\n--- kubectl: {}\n{}",
            ours.code,
            show(&ours),
            theirs.code,
            show(&theirs)
        ))
    })
}

fn show(output: &support::Output) -> String {
    format!("{}{}", output.stdout.replace(' ', "\u{b7}"), output.stderr)
}

/// Services, Pods and the rest of a small shop.
fn stocked(world: &World) -> Edgesvc<'_> {
    let edgesvc = Edgesvc::start(world);
    let labelled = service("web", "web", 80, "8080", "  type: NodePort\n  sessionAffinity: ClientIP\n")
        .replace("  name: web\n", "  name: web\n  labels: {tier: front, app.kubernetes.io/name: web}\n");
    edgesvc.apply(&stream(&[
        pod("one", "web", "10.9.0.11", 8080),
        pod("two", "web", "10.9.0.12", 8080),
        labelled,
        service("web-10", "none", 90, "8080", ""),
        service("web-9", "none", 81, "8080", "  - {name: metrics, port: 9100}\n"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b, long: \"x\\ny\\n\"}\n".to_owned(),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {a: hello}\n".to_owned(),
    ]));
    // From here on nothing moves by itself.
    eventually(SOON, || {
        let text = edgesvc.cli(&["get", "endpointslices", "-o", "yaml"]).result()?;
        if text.contains("10.9.0.11") && text.contains("10.9.0.12") { Ok(()) } else { Err(text) }
    });
    edgesvc
}

#[test]
fn get_prints_tables_as_kubectl_does() {
    let world = World::new();
    let edgesvc = stocked(&world);
    for line in [
        "get svc",
        "get svc -o wide",
        "get services web web-9",
        "get svc/web pod/one svc/web-9",
        "get svc,pods,configmaps",
        "get all",
        "get all -A --no-headers",
        "get ns,nodes,secrets -A",
        "get svc -l tier=front --show-labels",
        "get svc -L tier,app.kubernetes.io/name",
        "get svc -A -L tier -o wide",
        "get svc --show-kind",
        "get svc --field-selector spec.type=NodePort",
        "get svc --field-selector=metadata.name=web --no-headers",
        "get svc --sort-by=.metadata.name",
        "get svc --sort-by={.spec.ports[0].port}",
        "get pods --sort-by=.status.podIP -o wide",
        "get pods -l app=nobody",
        "get svc nope --ignore-not-found",
        "get svc web nope",
        "-n kube-system get svc",
        "get svc web --subresource=status",
    ] {
        same(&edgesvc, &line.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn get_prints_documents_and_templates_as_kubectl_does() {
    let world = World::new();
    let edgesvc = stocked(&world);
    for words in [
        &["get", "svc", "web", "-o", "yaml"][..],
        &["get", "svc", "web", "web-9", "-o", "json"],
        &["get", "svc,pods", "-o", "name"],
        &["get", "svc", "web", "-o", "yaml", "--show-managed-fields"],
        &["get", "svc", "-o", "jsonpath={.items[*].metadata.name}"],
        &["get", "svc", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.spec.ports[*].port}{\"\\n\"}{end}"],
        &["get", "svc", "-o", "jsonpath={.items[?(@.spec.type==\"NodePort\")].metadata.name}"],
        &["get", "svc", "-o", "jsonpath={.items[?(@.spec.selector.app!='none')]['metadata.name', 'spec.type']}"],
        &["get", "svc", "web", "-o", "jsonpath={.metadata.labels.app\\.kubernetes\\.io/name} {.spec.ports[0]}"],
        &["get", "svc", "web", "-o", "jsonpath={..port}"],
        &["get", "svc", "-o", "jsonpath={.items[0,2].metadata.name} and {.items[1:3].metadata.name} {.items[-1].kind}"],
        &["get", "svc", "-o", "jsonpath={.items[9]}"],
        &["get", "svc", "-o", "jsonpath-as-json={.items[*].spec.ports}"],
        &["get", "svc", "-o", "custom-columns=NAME:.metadata.name,PORTS:.spec.ports[*].port,ALL:.spec.selector,NO:.x"],
        &["get", "svc,pods", "-o", "custom-columns=NAME:metadata.name", "--no-headers"],
        &["get", "svc", "-o", "custom-columns=N:{.metadata.name}", "--sort-by=.metadata.name"],
        &["get", "--raw", "/api/v1/namespaces/default/services/web"],
    ] {
        same(&edgesvc, words);
    }
    let template = edgesvc.home.file("template", "{.items[*].metadata.name}");
    same(&edgesvc, &["get", "svc", "-o", &format!("jsonpath-file={template}")]);
    let columns = edgesvc.home.file("columns", "NAME          TYPE\nmetadata.name spec.type\n");
    same(&edgesvc, &["get", "svc", "-o", &format!("custom-columns-file={columns}")]);
    let file =
        edgesvc.home.file("two.yaml", &stream(&[service("web", "x", 1, "1", ""), pod("one", "x", "10.9.0.1", 1)]));
    same(&edgesvc, &["get", "-f", &file]);
    same(&edgesvc, &["get", "-f", &file, "-o", "name"]);
}

#[test]
fn what_cannot_be_shown_is_refused_by_name() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    for (line, code, words) in [
        ("get deployments", 1, "no Deployment here: edgesvc serves Services for workloads that something else runs"),
        ("get widgets", 1, "the server doesn't have a resource type \"widgets\""),
        ("get svc -o go-template={{.items}}", 64, "Go templates"),
        ("get svc -o foo", 64, "unable to match a printer suitable for the output format \"foo\""),
        ("get svc -o jsonpath={.a", 64, "unclosed action"),
        ("get svc kubernetes -A", 64, "cannot be retrieved by name across all namespaces"),
        ("get svc kubernetes -l a=b", 64, "name cannot be provided when a selector is specified"),
        ("get svc,pods -w", 64, "only specify a single resource type"),
        ("describe svc kubernetes -l a=b", 64, "name cannot be provided when a selector is specified"),
        ("explain svc.spec..ports", 64, "between two dots stands the name of a field"),
        ("get --raw api", 64, "--raw must be a valid URL path"),
        ("get -k folder", 64, "kustomize is not supported here"),
        ("get -f https://example.com/a.yaml", 64, "not fetched from the network"),
    ] {
        let said = edgesvc.cli(&line.split(' ').collect::<Vec<_>>()).fails(code);
        assert!(said.contains(words), "{line}: {said}");
    }
}

#[test]
fn what_an_object_says_cannot_steer_the_terminal() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply(
        "apiVersion: v1\nkind: Event\nmetadata: {name: sly, annotations: {a: \"x\\e[31my\"}}\n\
         involvedObject: {kind: Service, name: web, namespace: default}\nreason: R\n\
         message: \"a\\e[2Jb\\rc\\nd\"\ntype: Normal\nlastTimestamp: \"2026-01-01T02:30:00Z\"\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sly}\ndata: {a: \"x\\e[31my\\nz\\tw\"}\n",
    );
    for line in [
        "get events sly",
        "get events sly -o custom-columns=A:.message,B:.reason",
        "get cm sly -o custom-columns=A:.data.a,B:.kind",
        "describe event sly",
        "describe cm sly",
    ] {
        let said = same(&edgesvc, &line.split(' ').collect::<Vec<_>>());
        assert!(said.contains("^[") && !said.contains('\u{1b}'), "{line}: {said}");
    }
}

#[test]
fn a_watch_prints_what_is_there_and_then_every_change() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let socket = edgesvc.home.socket();
    let mut watches: Vec<_> = ["-w", "--watch-only"]
        .iter()
        .map(|flag| {
            let mut command = world.command(support::NODE, env!("CARGO_BIN_EXE_edgesvc"));
            command.args(["get", "svc", flag, "--output-watch-events", "--socket", &socket]);
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            (child, lines)
        })
        .collect();
    let words = |line: Option<String>| line.unwrap().split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(words(watches[0].1.next()), "EVENT NAME");
    assert_eq!(words(watches[0].1.next()), "ADDED kubernetes");
    let web = service("web", "web", 80, "8080", "");
    // The second watch says nothing before it sees a change: change until it does.
    let (sender, heard) = std::sync::mpsc::channel();
    let (mut child, mut lines) = watches.pop().unwrap();
    let listener = std::thread::spawn(move || {
        let first = (lines.next(), lines.next());
        sender.send(()).unwrap();
        first
    });
    eventually(SOON, || {
        edgesvc.apply(&web);
        edgesvc.cli(&["delete", "svc", "web"]).result()?;
        heard.try_recv().map_err(|_| "the watch saw nothing".to_owned())
    });
    let (header, change) = listener.join().unwrap();
    assert_eq!(words(header), "EVENT NAME");
    assert!(["ADDED web", "DELETED web"].contains(&words(change).as_str()));
    let (mut other, mut lines) = watches.pop().unwrap();
    assert_eq!(words(lines.next()), "ADDED web");
    assert_eq!(words(lines.next()), "DELETED web");
    for watch in [&mut child, &mut other] {
        drop(watch.kill());
        drop(watch.wait());
    }
}

#[test]
fn a_kubeconfig_names_server_and_namespace() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    edgesvc.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
    let admin = edgesvc.home.text_path("data/admin.kubeconfig");
    let run = |words: &[&str], variable: &str| {
        let mut command = world.command(support::NODE, env!("CARGO_BIN_EXE_edgesvc"));
        command.args(words).env("KUBECONFIG", variable).env("EDGESVC_RUN_DIR", edgesvc.home.text_path("nowhere"));
        support::Output::of(command, "")
    };
    assert!(run(&["get", "svc", "--kubeconfig", &admin], "").ok().contains("kubernetes"));
    assert!(run(&["get", "svc"], &format!("/nowhere/config:{admin}")).ok().contains("kubernetes"));
    assert!(run(&["get", "svc"], "").fails(69).contains("nowhere"));
    assert!(
        run(&["get", "svc", "--context", "none", "--kubeconfig", &admin], "")
            .fails(64)
            .contains("contexts: no \"none\"")
    );
    let text = std::fs::read_to_string(&admin).unwrap();
    let other = edgesvc.home.file("other", &text.replacen("    user:", "    namespace: shop\n    user:", 1));
    let said = run(&["get", "svc", "--kubeconfig", &other], "");
    assert!(said.stderr.contains("No resources found in shop namespace."), "{said:?}\n{text}");
}

#[test]
fn describe_shows_every_kind_as_kubectl_does() {
    let world = World::new();
    let edgesvc = stocked(&world);
    edgesvc.apply(RICH);
    let uid = edgesvc.field("service", "web", &["metadata", "uid"]).unwrap();
    edgesvc.apply(&EVENT.replace("UID", &uid));
    for line in [
        "describe svc",
        "describe svc web",
        "describe svc we",
        "describe svc/external service/balanced",
        "describe svc -l tier=front",
        "describe svc nope",
        "describe svc web --show-events=false",
        "describe endpoints web",
        "describe endpointslices",
        "describe pods",
        "describe node",
        "describe ns",
        "describe configmap settings",
        "describe secrets",
        "describe event told",
        "describe pods -l app=nobody",
        "describe pods,configmaps -A",
        "describe ingress",
        "describe ingress full",
        "describe ingress nope",
        "describe ingressclass",
        "describe ingress,ingressclass -l a=b",
        "describe sa",
        "describe sa robot",
        "describe lease held",
        "describe events.events.k8s.io",
        "describe endpoints by-hand",
        "describe clusterroles",
        "describe clusterrolebindings",
        "describe roles -A",
    ] {
        same(&edgesvc, &line.split(' ').collect::<Vec<_>>());
    }
    let ours = edgesvc.cli(&["describe", "svc", "web"]).ok();
    assert!(ours.contains("Events:") && ours.contains("all is well"), "{ours}");
}

/// kubectl 1.32 does not know these kinds; the text is that of kubectl 1.36.
#[test]
fn addresses_and_ranges_are_described_as_newer_kubectls_do() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    let since = |kind: &str, name: &str| {
        let path = "jsonpath={.status.conditions[0].lastTransitionTime}";
        edgesvc.cli(&["get", kind, name, "-o", path]).ok()
    };
    let range = edgesvc.cli(&["describe", "servicecidr", "kubernetes"]).ok();
    let (head, row) = range.split_once("  Ready  True    ").unwrap();
    assert_eq!(
        head,
        "Name:         kubernetes\nLabels:       <none>\nAnnotations:  <none>\nCIDRs:        10.43.0.0/16\nStatus:\nConditions:\n  \
         Type   Status  LastTransitionTime               Reason  Message\n  \
         ----   ------  ------------------               ------  -------\n"
    );
    assert!(row.ends_with(" +0000          Kubernetes Service CIDR is ready\nEvents:  <none>\n"), "{row}");
    assert!(row.contains(&since("servicecidr", "kubernetes")[11..19]), "{row}");
    let address = edgesvc.cli(&["describe", "ipaddress", "10.43.0.1"]).ok();
    assert_eq!(
        address,
        "Name:         10.43.0.1\nLabels:       ipaddress.kubernetes.io/ip-family=IPv4\n              \
         ipaddress.kubernetes.io/managed-by=ipallocator.k8s.io\nAnnotations:  <none>\nParent Reference:\n  \
         Group:      \n  Resource:   services\n  Namespace:  default\n  Name:       kubernetes\nEvents:       <none>\n"
    );
}

#[test]
fn api_resources_and_explain_print_what_kubectl_prints() {
    let world = World::new();
    let edgesvc = Edgesvc::start(&world);
    for line in [
        "api-resources",
        "api-resources -o wide",
        "api-resources -o name --namespaced=false",
        "api-resources --api-group=discovery.k8s.io --no-headers",
        "api-resources --verbs=deletecollection,list --namespaced=true",
        "api-resources --categories=all --sort-by=name",
        "explain svc",
        "explain service.spec",
        "explain services.spec.ports",
        "explain svc.spec.ports.port",
        "explain svc.spec.type",
        "explain svc.spec.ipFamilies",
        "explain pods.spec.volumes.hostPath",
        "explain pods.spec.volumes.hostPath.type",
        "explain svc.spec.selector",
        "explain svc --recursive",
        "explain pods.spec.containers --recursive",
        "explain pods.spec.containers.env",
        "explain endpointslices.endpoints",
        "explain configmap.data",
        "explain nodes",
        "explain ns.metadata.ownerReferences",
    ] {
        same(&edgesvc, &line.split(' ').collect::<Vec<_>>());
    }
    assert!(edgesvc.cli(&["explain", "svc.spec.nope"]).fails(1).contains("field \"nope\" does not exist"));
    assert!(edgesvc.cli(&["explain", "deployment"]).fails(1).contains("no Deployment here"));
    assert!(edgesvc.cli(&["api-resources", "--api-group=apps"]).fails(1).contains("\"apps\""));
    let said = edgesvc.cli(&["version"]).ok();
    assert!(said.starts_with("Client Version: v") && said.contains("\nServer Version: v1."), "{said}");
    assert!(edgesvc.home.tool(&world, &["version", "--client"]).ok().starts_with("Client Version: v"));
    assert!(edgesvc.cli(&["version", "-o", "yaml"]).ok().contains("serverVersion:"));
}

#[test]
fn every_shell_completes_verbs_types_flags_and_live_names() {
    let world = World::new();
    let edgesvc = stocked(&world);
    let file = edgesvc.home.file("only-one.yaml", "");
    let part = file.strip_suffix("-one.yaml").unwrap().to_owned();
    // What is typed before TAB, and what then stands there. Where several words fit, it is what they share.
    let cases = [
        ("desc".to_owned(), "describe ".to_owned()),
        ("get confi".into(), "get configmaps ".into()),
        ("get svc,confi".into(), "get svc,configmaps ".into()),
        ("get svc web-1".into(), "get svc web-10 ".into()),
        ("get svc we".into(), "get svc web".into()),
        ("describe pod/o".into(), "describe pod/one ".into()),
        ("get clusterroles system:ba".into(), "get clusterroles system:basic-user ".into()),
        ("-n kube-system get svc w".into(), "-n kube-system get svc w".into()),
        ("-n default get svc web-1".into(), "-n default get svc web-10 ".into()),
        ("get svc -n kube-s".into(), "get svc -n kube-system ".into()),
        ("get svc --namespace=kube-s".into(), "get svc --namespace=kube-system ".into()),
        ("get svc --show-l".into(), "get svc --show-labels ".into()),
        ("get svc -o ya".into(), "get svc -o yaml ".into()),
        ("get svc --output=ya".into(), "get svc --output=yaml ".into()),
        ("get svc -o jsonpath-f".into(), "get svc -o jsonpath-file=".into()),
        ("apply --dry-run=se".into(), "apply --dry-run=server ".into()),
        ("apply --prune-allowlist core/v1/Serv".into(), "apply --prune-allowlist core/v1/Service".into()),
        ("dataplane sh".into(), "dataplane show ".into()),
        (format!("apply -f {part}"), format!("apply -f {file} ")),
        (format!("apply --filename={part}"), format!("apply --filename={file} ")),
    ];
    let binary = env!("CARGO_BIN_EXE_edgesvc");
    let run = |program: &str, words: &[&str], input: &str| {
        let mut command = world.command(support::NODE, program);
        command.args(words).env("EDGESVC_SOCKET", edgesvc.home.socket()).env("HOME", edgesvc.home.text_path(""));
        support::Output::of(command, input).ok()
    };
    let typist = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/type_and_tab.py");
    for shell in ["bash", "zsh"] {
        let lines: String = cases.iter().map(|(typed, _)| format!("{typed}\n")).collect();
        let stood: Vec<String> = run("python3", &[typist, shell, binary], &lines).lines().map(str::to_owned).collect();
        let wanted: Vec<String> = cases.iter().map(|(_, stands)| stands.clone()).collect();
        assert_eq!(stood, wanted, "{shell}");
    }
    // fish says what it would offer without a terminal.
    for (typed, stands) in &cases {
        let script =
            format!("alias edgesvc {binary}; edgesvc completions fish | source; complete -C \"edgesvc {typed}\"");
        let offered = run("fish", &["--no-config", "-c", &script], "");
        let offered: Vec<&str> = offered.lines().map(|line| line.split('\t').next().unwrap()).collect();
        let last = stands.split_whitespace().last().unwrap();
        if stands == typed {
            assert!(offered.is_empty(), "fish: {typed}: {offered:?}");
        } else {
            assert!(
                !offered.is_empty() && offered.iter().all(|word| word.starts_with(last)),
                "fish: {typed}: {offered:?}"
            );
        }
    }
    // Without a daemon there are no names, and no noise either.
    let home = support::Home::new();
    let quiet = home.tool(&world, &["__complete", "--", "get", "--socket", &home.socket(), "svc", ""]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

const EVENT: &str = "
apiVersion: v1
kind: Event
metadata: {name: told}
involvedObject: {kind: Service, name: web, namespace: default, uid: UID}
reason: Tested
message: all is well
type: Warning
count: 3
firstTimestamp: \"2026-01-01T02:00:00Z\"
lastTimestamp: \"2026-01-01T02:30:00Z\"
source: {component: me, host: h}
";

/// Objects with many fields set.
const RICH: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: rich
  labels: {app: rich}
  annotations: {long: \"a\\nb\\n\", edgesvc.io/pod-ip: 10.9.0.13}
spec:
  nodeSelector: {disk: ssd}
  tolerations:
  - {key: a, operator: Exists, effect: NoSchedule}
  - {key: b, value: c, tolerationSeconds: 3, effect: NoExecute}
  initContainers:
  - {name: init, image: none, args: [a, b]}
  containers:
  - name: app
    image: none
    command: [sh, -c, \"true\"]
    ports: [{name: web, containerPort: 8080}, {containerPort: 53, protocol: UDP}]
    env:
    - {name: A, value: b}
    - {name: S, valueFrom: {secretKeyRef: {name: key, key: a}}}
    - {name: M, valueFrom: {configMapKeyRef: {name: settings, key: a, optional: true}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    envFrom: [{configMapRef: {name: settings}}]
    readinessProbe: {httpGet: {path: /x, port: 8080}}
    livenessProbe: {tcpSocket: {port: web}, initialDelaySeconds: 3}
    startupProbe: {exec: {command: [ls, /]}}
    resources: {limits: {cpu: 100m, memory: 64Mi}, requests: {memory: 32Mi}}
    volumeMounts: [{name: v, mountPath: /v}, {name: c, mountPath: /c, readOnly: true, subPath: x}]
  volumes:
  - {name: v, emptyDir: {}}
  - {name: c, configMap: {name: settings}}
  - {name: s, secret: {secretName: key, optional: true}}
  - {name: h, hostPath: {path: /tmp}}
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec:
  type: LoadBalancer
  selector: {app: rich}
  externalTrafficPolicy: Local
  loadBalancerSourceRanges: [10.0.0.0/8, 192.168.0.0/16]
  ports: [{port: 80, targetPort: web}]
---
apiVersion: v1
kind: Service
metadata: {name: external}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: manual, labels: {kubernetes.io/service-name: web-10}}
addressType: IPv4
ports: [{name: http, port: 9}]
endpoints:
- {addresses: [10.9.0.11], conditions: {ready: false}, zone: z, hostname: h}
- {addresses: [10.9.0.12]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: proxy, labels: {a: b}, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}
spec: {controller: example.com/proxy, parameters: {apiGroup: example.com, kind: Settings, name: main}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: plain}
spec: {controller: example.com/plain}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: full, labels: {a: b}, annotations: {c: d}}
spec:
  ingressClassName: proxy
  defaultBackend: {service: {name: web-10, port: {number: 90}}}
  tls: [{hosts: [a.example.com, b.example.com], secretName: key}, {hosts: [c.example.com]}, {secretName: key}]
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /named, pathType: Exact, backend: {service: {name: web, port: {name: http}}}}
      - {path: /none, pathType: Exact, backend: {service: {name: nowhere, port: {name: http}}}}
  - http: {paths: [{pathType: ImplementationSpecific, backend: {resource: {apiGroup: example.com, kind: Bucket, name: b}}}]}
  - host: empty.example.com
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: lone}
spec: {defaultBackend: {resource: {kind: Bucket, name: b}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
secrets: [{name: key}, {name: nowhere}]
imagePullSecrets: [{name: lost}]
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: held, labels: {a: b}}
spec: {holderIdentity: me, leaseDurationSeconds: 15, acquireTime: \"2026-01-01T00:00:00.123456Z\", leaseTransitions: 3}
---
apiVersion: v1
kind: Endpoints
metadata: {name: by-hand}
subsets:
- addresses: [{ip: 10.9.0.1, hostname: h}, {ip: 10.9.0.2}]
  notReadyAddresses: [{ip: 10.9.0.3}]
  ports: [{name: a, port: 80}, {name: b, port: 81, protocol: UDP}]
- {addresses: [{ip: 10.9.1.1}], ports: [{port: 81}]}
";
