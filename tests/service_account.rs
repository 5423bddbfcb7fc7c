//! Programs as users, from outside: tokens that the real kubectl asks for, told from
//! forged ones by arithmetic that shares nothing with their maker, and their end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::print_stderr, reason = "the log of a failed test belongs on its standard error")]

mod support;

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Edgesvc, Home, NODE, Output, World, eventually};

const SOON: Duration = Duration::from_secs(20);
const SERVER: &str = "https://127.0.0.1:6443";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const ROBOT: &str = "system:serviceaccount:shop:robot";
/// A JWT library of the test's own.
const JUDGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service_account/jwt.py");

/// A daemon with an account shop/robot.
fn start(world: &World) -> Edgesvc<'_> {
    let edgesvc = Edgesvc::start(world);
    edgesvc.kubectl(&["create", "namespace", "shop"]).ok();
    edgesvc.kubectl(&["-n", "shop", "create", "serviceaccount", "robot"]).ok();
    edgesvc.kubectl(&["-n", "shop", "create", "configmap", "goods", "--from-literal=a=b"]).ok();
    edgesvc
}

/// `kubectl create token`.
fn token(edgesvc: &Edgesvc<'_>, name: &str, more: &[&str]) -> String {
    edgesvc.kubectl(&[&["-n", "shop", "create", "token", name], more].concat()).ok().trim().to_owned()
}

/// kubectl that knows the server and has nothing but a token.
fn kubectl(edgesvc: &Edgesvc<'_>, token: &str, words: &[&str]) -> Output {
    let program = std::env::var("EDGESVC_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    let mut command = edgesvc.world.command(NODE, &program);
    command.args(["--kubeconfig", "/dev/null", "--server", SERVER, "--token", token]);
    command.args(["--certificate-authority", &edgesvc.home.text_path("data/pki/ca.crt")]);
    command.args(["--cache-dir", &edgesvc.home.text_path("token-cache")]);
    command.args(words).env("HOME", edgesvc.home.text_path("")).env_remove("KUBECONFIG");
    Output::of(command, "")
}

/// Head and body of a GET with a token.
fn curl(edgesvc: &Edgesvc<'_>, token: &str, url: &str) -> String {
    let header = edgesvc.home.file("header", &format!("Authorization: Bearer {token}\n"));
    let authority = edgesvc.home.text_path("data/pki/ca.crt");
    let words = ["curl", "--silent", "--show-error", "--include", "--cacert", &authority, "--header"];
    edgesvc.world.run(NODE, &[&words[..], &[&format!("@{header}"), url]].concat()).ok()
}

/// The code of a GET of what everybody may see: 200, or 401 for a token that does not count.
fn code(edgesvc: &Edgesvc<'_>, token: &str) -> String {
    let answer = curl(edgesvc, token, &format!("{SERVER}/version"));
    answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn judge(edgesvc: &Edgesvc<'_>, words: &[&str], input: &str) -> Output {
    edgesvc.world.run_with(NODE, &[&["python3", JUDGE], words].concat(), input)
}

fn claims(token: &str, judged: &str) -> Value {
    serde_json::from_str(judged).unwrap_or_else(|error| panic!("{error}: {token}"))
}

/// A watch with a token, once it streams: a process that ends with it.
fn watch(edgesvc: &Edgesvc<'_>, token: &str, name: &str) -> Child {
    let header = edgesvc.home.file(&format!("{name}.header"), &format!("Authorization: Bearer {token}\n"));
    let output = edgesvc.home.text_path(&format!("{name}.events"));
    let mut command = edgesvc.world.command(NODE, "curl");
    command.args(["--silent", "--no-buffer", "--cacert", &edgesvc.home.text_path("data/pki/ca.crt")]);
    command.args(["--header", &format!("@{header}"), "--output", &output]);
    command.arg(format!("{SERVER}/api/v1/namespaces/shop/configmaps?watch=1"));
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    eventually(SOON, || match std::fs::read_to_string(&output) {
        Ok(text) if text.contains("goods") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    child
}

fn ends(mut child: Child) {
    eventually(SOON, || match child.try_wait().unwrap() {
        Some(_) => Ok(()),
        None => Err("the watch goes on".to_owned()),
    });
}

#[test]
fn kubectl_makes_tokens_that_anybody_can_tell() {
    let world = World::new();
    let edgesvc = start(&world);
    let plain = token(&edgesvc, "robot", &[]);
    let issuer = curl(&edgesvc, &plain, &format!("{SERVER}/.well-known/openid-configuration"));
    assert!(issuer.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{issuer}");
    let issuer = body(&issuer);
    assert_eq!((&issuer["issuer"], &issuer["jwks_uri"]), (&json!(ISSUER), &json!(format!("{SERVER}/openid/v1/jwks"))));
    assert_eq!(issuer["id_token_signing_alg_values_supported"], json!(["ES256"]));
    let keys = curl(&edgesvc, &plain, issuer["jwks_uri"].as_str().unwrap());
    assert!(keys.to_ascii_lowercase().contains("content-type: application/jwk-set+json\r\n"), "{keys}");
    let keys = body(&keys).to_string();
    let said = claims(&plain, &judge(&edgesvc, &["verify", &plain], &keys).ok());
    let uid = edgesvc.kubectl(&["-n", "shop", "get", "sa", "robot", "-o", "jsonpath={.metadata.uid}"]).ok();
    assert_eq!((&said["iss"], &said["sub"], &said["aud"]), (&json!(ISSUER), &json!(ROBOT), &json!([ISSUER])));
    assert_eq!(
        said["kubernetes.io"],
        json!({"namespace": "shop", "serviceaccount": {"name": "robot", "uid": uid}}),
        "{said}"
    );
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 3_600);
    assert_eq!(said["nbf"], said["iat"]);
    let who = kubectl(&edgesvc, &plain, &["auth", "whoami", "-o", "json"]).ok();
    let who: Value = serde_json::from_str(&who).unwrap();
    let user = &who["status"]["userInfo"];
    assert_eq!((&user["username"], &user["uid"]), (&json!(ROBOT), &json!(uid)));
    assert_eq!(
        user["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"])
    );
    let id = format!("JTI={}", said["jti"].as_str().unwrap());
    assert_eq!(user["extra"]["authentication.kubernetes.io/credential-id"], json!([id]));
    let other = token(&edgesvc, "robot", &["--duration", "20m", "--audience", "vault", "--audience", "x"]);
    let said = claims(&other, &judge(&edgesvc, &["verify", &other], &keys).ok());
    assert_eq!(said["aud"], json!(["vault", "x"]));
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 1_200);
    assert_eq!(code(&edgesvc, &other), "401", "for others");
    let yaml = edgesvc.kubectl(&["-n", "shop", "create", "token", "robot", "-o", "yaml"]).ok();
    assert!(yaml.contains("kind: TokenRequest") && yaml.contains("  token: eyJ"), "{yaml}");
    let refused = edgesvc.kubectl(&["-n", "shop", "create", "token", "robot", "--duration", "5m"]).fails(1);
    assert!(refused.contains("may not specify a duration less than 10 minutes"), "{refused}");
    let refused = edgesvc.kubectl(&["-n", "shop", "create", "token", "nobody"]).fails(1);
    assert!(refused.contains("serviceaccounts \"nobody\" not found"), "{refused}");
    let resources = edgesvc.kubectl(&["get", "--raw", "/api/v1"]).ok();
    assert!(resources.contains("serviceaccounts/token"), "{resources}");
    let nameless = world.run(NODE, &["curl", "--silent", "--insecure", &format!("{SERVER}/openid/v1/jwks")]).ok();
    assert!(nameless.contains("\"code\": 403") || nameless.contains("\"code\":403"), "{nameless}");
}

#[test]
fn edgesvc_makes_the_same_tokens_where_there_is_no_kubectl() {
    let world = World::new();
    let edgesvc = start(&world);
    let made = edgesvc.cli(&["create", "token", "robot", "-n", "shop", "--duration", "1h30m"]).ok();
    assert!(!made.ends_with('\n'), "the token and nothing else: {made:?}");
    let keys = edgesvc.kubectl(&["get", "--raw", "/openid/v1/jwks"]).ok();
    let said = claims(&made, &judge(&edgesvc, &["verify", &made], &keys).ok());
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 5_400);
    assert!(kubectl(&edgesvc, &made, &["auth", "whoami"]).ok().contains(ROBOT));
    edgesvc.kubectl(&["-n", "shop", "create", "secret", "generic", "s"]).ok();
    let words = ["create", "token", "robot", "-n", "shop", "--audience", "a", "--audience", "b", "-o", "json"];
    let bound = ["--bound-object-kind", "Secret", "--bound-object-name", "s"];
    let whole = edgesvc.cli(&[&words[..], &bound].concat()).ok();
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!((&whole["kind"], &whole["spec"]["audiences"]), (&json!("TokenRequest"), &json!(["a", "b"])));
    assert_eq!(whole["spec"]["boundObjectRef"]["name"], "s");
    for (words, code, said) in [
        (&["create", "token"][..], 64, "exactly one NAME is required"),
        (&["create", "token", "robot", "--bound-object-kind", "Pod"], 64, "--bound-object-name is required"),
        (&["create", "namespace", "x", "--duration", "1h"], 64, "only be used with `create token NAME`"),
        (&["create", "token", "robot", "--duration", "1d"], 64, "is no time"),
        (&["create", "token", "nobody"], 1, "serviceaccounts \"nobody\" not found"),
        (&["create", "token", "robot", "-n", "shop", "--duration", "5m"], 1, "less than 10 minutes"),
    ] {
        let refused = edgesvc.cli(words).fails(code);
        assert!(refused.contains(said), "{words:?}: {refused}");
    }
}

#[test]
fn forged_and_stale_tokens_are_worth_nothing() {
    let world = World::new();
    let edgesvc = start(&world);
    let good = token(&edgesvc, "robot", &[]);
    let keys = edgesvc.kubectl(&["get", "--raw", "/openid/v1/jwks"]).ok();
    let keys_file = edgesvc.home.file("jwks", &keys);
    let own = edgesvc.home.text_path("data/pki/service-account.key");
    let other = edgesvc.home.text_path("data/pki/ca.key");
    let said = claims(&good, &judge(&edgesvc, &["verify", &good], &keys).ok());
    let header = "{\"alg\":\"ES256\",\"kid\":\"KID\"}";
    let with = |changes: Value| {
        let mut said = said.clone();
        said.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        said.to_string()
    };
    let sign =
        |key: &str, header: &str, claims: &str| judge(&edgesvc, &["sign", key, header], claims).ok().trim().to_owned();
    let now = said["iat"].as_i64().unwrap();
    // The judge makes good ones too: the refusals below are for the reason they name.
    assert_eq!(code(&edgesvc, &sign(&own, header, &with(json!({})))), "200");
    let kid = body(&format!("\r\n\r\n{keys}"))["keys"][0]["kid"].as_str().unwrap().to_owned();
    let of_kid = |algorithm: &str| json!({"alg": algorithm, "kid": kid}).to_string();
    let [head, text, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let mac = judge(&edgesvc, &["mac", &keys_file, &of_kid("HS256")], &with(json!({}))).ok();
    let none = sign(&own, &of_kid("none"), &with(json!({})));
    for (why, token) in [
        ("expired", sign(&own, header, &with(json!({"iat": now - 7_200, "nbf": now - 7_200, "exp": now - 3_600})))),
        ("early", sign(&own, header, &with(json!({"iat": now + 3_600, "nbf": now + 3_600, "exp": now + 7_200})))),
        ("another's key", sign(&other, header, &with(json!({})))),
        ("another's key under our name", sign(&other, &of_kid("ES256"), &with(json!({})))),
        ("no algorithm", none.clone()),
        ("no algorithm and no signature", format!("{}.", none.rsplit_once('.').unwrap().0)),
        ("another algorithm", sign(&own, &of_kid("ES384"), &with(json!({})))),
        ("a MAC by the public key", mac.trim().to_owned()),
        ("another audience", sign(&own, header, &with(json!({"aud": ["vault"]})))),
        ("no audience", sign(&own, header, &with(json!({"aud": []})))),
        ("another issuer", sign(&own, header, &with(json!({"iss": "https://other"})))),
        ("too large", sign(&own, header, &with(json!({"x": "y".repeat(20_000)})))),
        ("no JSON", sign(&own, header, "nonsense")),
        ("claims changed", format!("{head}.{}.{signature}", &text[..text.len() - 4])),
        ("cut short", good[..good.len() - 1].to_owned()),
        ("no signature", format!("{head}.{text}.")),
        ("an extra part", format!("{good}.{signature}")),
    ] {
        assert_eq!(code(&edgesvc, &token), "401", "{why}: {token:.300}");
    }
    assert_eq!(code(&edgesvc, &good), "200");
    let key = std::fs::metadata(&own).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o077, 0);
}

#[test]
fn an_account_may_what_it_was_granted_and_no_editor_makes_it_more() {
    let world = World::new();
    let edgesvc = start(&world);
    let may = |words: &[&str]| {
        let acting = format!("--as={ROBOT}");
        edgesvc.kubectl(&[&["auth", "can-i", &acting], words].concat()).stdout.trim().to_owned()
    };
    let early = token(&edgesvc, "robot", &[]);
    assert!(kubectl(&edgesvc, &early, &["-n", "shop", "get", "configmaps"]).fails(1).contains("(Forbidden)"));
    assert_eq!(may(&["list", "configmaps", "-n", "shop"]), "no");
    // Whoever may edit cannot give: neither in the account nor elsewhere.
    let bob = edgesvc.cli(&["kubeconfig", "create", "bob", "--role", "edit", "-n", "shop"]).ok();
    let bob = edgesvc.home.file("bob.kubeconfig", &bob);
    let bob = |words: &[&str]| {
        let mut command = world.command(NODE, "kubectl");
        command.args(["--kubeconfig", &bob, "--cache-dir", &format!("{bob}.cache")]).args(words);
        command.env("HOME", edgesvc.home.text_path("")).env_remove("KUBECONFIG");
        Output::of(command, "")
    };
    bob(&["annotate", "serviceaccount", "robot", "edgesvc.io/role=admin"]).ok();
    assert_eq!(may(&["list", "configmaps", "-n", "shop"]), "no");
    bob(&["create", "token", "robot"]).ok();
    let said = edgesvc.cli(&["grant", "create", "shop/robot", "--role", "edit", "-n", "shop"]).ok();
    assert_eq!(said, "role edit granted to serviceaccount \"shop/robot\"\n");
    edgesvc.cli(&["grant", "create", "shop/robot", "--role", "edit", "-n", "shop"]).fails(1);
    assert!(kubectl(&edgesvc, &early, &["-n", "shop", "get", "configmaps"]).fails(1).contains("(Forbidden)"));
    let robot = token(&edgesvc, "robot", &[]);
    kubectl(&edgesvc, &robot, &["-n", "shop", "create", "configmap", "made", "--from-literal=a=b"]).ok();
    assert!(kubectl(&edgesvc, &robot, &["get", "nodes"]).fails(1).contains(&format!("User \"{ROBOT}\" cannot list")));
    assert!(kubectl(&edgesvc, &robot, &["auth", "whoami"]).ok().contains("edgesvc:edit:shop"));
    for (words, expected) in [
        (&["create", "configmaps", "-n", "shop"][..], "yes"),
        (&["create", "configmaps", "-n", "default"], "no"),
        (&["list", "nodes"], "no"),
    ] {
        assert_eq!(may(words), expected, "{words:?}");
        let own = kubectl(&edgesvc, &robot, &[&["auth", "can-i"], words].concat());
        assert_eq!(own.stdout.trim(), expected, "{words:?}: {own:?}");
    }
    // Of an account that may no more than he, an editor may make a token.
    bob(&["create", "token", "robot"]).ok();
    edgesvc.cli(&["grant", "create", "shop/robot", "--role", "view"]).ok();
    let refused = bob(&["create", "token", "robot"]).fails(1);
    assert!(refused.contains("may not make a token of an account that may more than he"), "{refused}");
    let manifest = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  namespace: shop\n  annotations:\n    \
                    kubernetes.io/service-account.name: robot\ntype: kubernetes.io/service-account-token\n";
    let refused = edgesvc.kubectl_with(&["apply", "-f", "-"], manifest).fails(1);
    assert!(refused.contains("type: Forbidden: edgesvc puts no tokens"), "{refused}");
    let list = edgesvc.cli(&["grant", "list"]).ok();
    assert!(list.lines().count() == 3 && list.contains("shop/robot   view   <all>"), "{list}");
    assert_eq!(
        edgesvc.cli(&["grant", "delete", "shop/robot"]).ok(),
        "grants of serviceaccount \"shop/robot\" deleted\n"
    );
    assert!(kubectl(&edgesvc, &robot, &["-n", "shop", "get", "configmaps"]).fails(1).contains("(Forbidden)"));
    let wrong = edgesvc.cli(&["grant", "create", "shop/robot", "--role", "admin", "-n", "shop"]).fails(1);
    assert!(wrong.contains("roleNamespace"), "{wrong}");
    edgesvc.cli(&["grant", "create", "robot", "--role", "view"]).fails(64);
}

#[test]
fn streams_end_with_what_a_token_rests_on() {
    let world = World::new();
    let edgesvc = start(&world);
    edgesvc.cli(&["grant", "create", "shop/robot", "--role", "view"]).ok();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec:\n  serviceAccountName: robot\n  \
               containers: [{name: c, image: none}]\n";
    edgesvc.apply(pod);
    let free = token(&edgesvc, "robot", &[]);
    let bound = token(&edgesvc, "robot", &["--bound-object-kind", "Pod", "--bound-object-name", "p"]);
    let (of_pod, mut of_account) = (watch(&edgesvc, &bound, "pod"), watch(&edgesvc, &free, "account"));
    edgesvc.kubectl(&["-n", "shop", "delete", "pod", "p", "--now"]).ok();
    assert_eq!((code(&edgesvc, &bound), code(&edgesvc, &free)), ("401".to_owned(), "200".to_owned()));
    ends(of_pod);
    assert!(of_account.try_wait().unwrap().is_none(), "the other watch goes on");
    edgesvc.cli(&["grant", "delete", "shop/robot"]).ok();
    ends(of_account);
    assert_eq!(code(&edgesvc, &free), "200", "it still names the account");
    edgesvc.cli(&["grant", "create", "shop/robot", "--role", "view"]).ok();
    let of_account = watch(&edgesvc, &free, "again");
    edgesvc.kubectl(&["-n", "shop", "delete", "serviceaccount", "robot"]).ok();
    assert_eq!(code(&edgesvc, &free), "401");
    ends(of_account);
    edgesvc.kubectl(&["-n", "shop", "create", "serviceaccount", "robot"]).ok();
    assert_eq!(code(&edgesvc, &free), "401", "another account of the same name");
}

#[test]
fn tokens_and_grants_outlive_a_restart() {
    let world = World::new();
    let home = Arc::new(Home::new());
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    edgesvc.kubectl(&["create", "namespace", "shop"]).ok();
    eventually(SOON, || edgesvc.kubectl(&["-n", "shop", "get", "serviceaccount", "default"]).result());
    edgesvc.cli(&["grant", "create", "shop/default", "--role", "view"]).ok();
    let given = token(&edgesvc, "default", &[]);
    edgesvc.kill();
    let edgesvc = Edgesvc::start_in(&world, &home, &[]);
    kubectl(&edgesvc, &given, &["get", "services", "-A"]).ok();
}
