//! Generated requests over the socket: whatever is sent, the server answers in
//! time with an object or a Status that says what was wrong, and goes on.

use base64::Engine as _;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::client::{CONFIG_MAPS, DEADLINE, Harness, Reply, SERVICES};
use super::inputs::{almost_http, any_object, fragment, near_valid, objects, odd, operations};
use crate::api::codec::protobuf;
use crate::model::Kind;
use crate::model::schema::type_of;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// A refusal repeats what was wrong, but a small request must not make a large answer.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Sends what `strategy` makes to one server with a few objects in it.
fn each<S: Strategy>(cases: u32, strategy: S, send: impl AsyncFn(&Harness, S::Value)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = runtime.block_on(async {
        let api = Harness::start().await;
        for (kind, object) in objects() {
            api.post(&collection(kind), &object).await.expect(201);
        }
        api
    });
    // A longer hunt: EDGESVC_TEST_CASES=50 makes fifty times as many.
    let times = std::env::var("EDGESVC_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let config = Config { cases: cases * times, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let told = TestRunner::new(config).run(&strategy, |value| {
        runtime.block_on(send(&api, value));
        Ok(())
    });
    told.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(async { api.get("/readyz").await.expect(200) });
}

fn collection(kind: Kind) -> String {
    let row = kind.resource();
    let group = if row.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", row.group) };
    let namespace = if row.namespaced { "/namespaces/default" } else { "" };
    format!("{group}/{}{namespace}/{}", row.version, row.plural)
}

/// The law: a good answer, or a Status that agrees with its code and blames the client.
#[track_caller]
fn judge(reply: &Reply, sent: usize) {
    if matches!(reply.code, 200 | 201) {
        return;
    }
    match reply.header("content-type").as_str() {
        YAML => return assert!(reply.text().contains("kind: Status"), "{}", reply.text()),
        PROTOBUF => return assert!(reply.body.starts_with(b"k8s\0"), "{}", reply.text()),
        _ => {}
    }
    let status = reply.json();
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(reply.code)), "{status}");
    assert!(status["message"].as_str().is_some_and(|message| !message.is_empty()), "{status}");
    // These are 500 in Kubernetes too, with these words.
    let like_kubernetes = [
        "resourceVersion should not be set",
        "invalid resourceVersion",
        "failed to allocate",
        "failed to create typed patch object",
    ];
    let borne = like_kubernetes.iter().any(|words| status["message"].as_str().unwrap().contains(words));
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(borne || (reply.code < 500 && !reason.is_empty()), "{status}");
    assert!(reply.body.len() <= REFUSAL_BYTES_MAX + 16 * sent, "{} bytes for {sent}", reply.body.len());
}

#[test]
fn any_object_is_taken_or_refused_in_every_encoding() {
    each(300, (any_object(), prop::sample::select(vec!["POST", "PUT"])), async |api, ((kind, mut object), method)| {
        let row = kind.resource();
        let path = if method == "POST" { collection(kind) } else { format!("{}/a", collection(kind)) };
        if let Some(members) = object.as_object_mut() {
            members.entry("kind").or_insert_with(|| row.kind.into());
            members.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        }
        let text = object.to_string();
        let sealed = protobuf::seal_envelope(&kind.api_version(), row.kind, &protobuf::encode(type_of(kind), &object));
        for (media, body) in [(JSON, Bytes::from(text.clone())), (YAML, text.into()), (PROTOBUF, sealed.into())] {
            let sent = body.len();
            for validation in ["Strict", "Warn"] {
                let path = format!("{path}?dryRun=All&fieldValidation={validation}");
                judge(&api.send(method, &path, &[("content-type", media)], body.clone()).await, sent);
            }
        }
    });
}

#[test]
fn bytes_that_are_almost_a_body_are_refused() {
    let torn = (any_object(), prop::collection::vec((any::<u16>(), any::<u8>()), 1..6), any::<u16>());
    each(200, torn, async |api, ((kind, object), flips, cut)| {
        let row = kind.resource();
        let sealed = protobuf::seal_envelope(&kind.api_version(), row.kind, &protobuf::encode(type_of(kind), &object));
        for (media, mut body) in
            [(JSON, object.to_string().into_bytes()), (YAML, object.to_string().into_bytes()), (PROTOBUF, sealed)]
        {
            for (at, byte) in &flips {
                let at = usize::from(*at) % body.len();
                body[at] = *byte;
            }
            if cut % 3 == 0 {
                body.truncate(usize::from(cut) % body.len());
            }
            let (path, sent) = (format!("{}?dryRun=All", collection(kind)), body.len());
            judge(&api.send("POST", &path, &[("content-type", media)], body).await, sent);
        }
    });
}

#[test]
fn any_text_is_a_manifest_or_refused() {
    let text = "(?s)(apiVersion: v1\nkind: ConfigMap\n)?[-a-c:{}\\[\\]&*!|>'\"#%@,?~ \n\t0-9.<]{0,200}";
    each(400, text, async |api, text| {
        for media in [YAML, JSON] {
            let path = format!("{CONFIG_MAPS}?dryRun=All");
            judge(&api.send("POST", &path, &[("content-type", media)], text.clone()).await, text.len());
            let path = format!("{CONFIG_MAPS}/new?dryRun=All&fieldManager=m");
            judge(&api.send("PATCH", &path, &[("content-type", PATCHES[3])], text.clone()).await, text.len());
        }
    });
}

#[test]
fn any_patch_applies_or_is_refused() {
    let patch = prop_oneof![operations(), fragment(), near_valid().prop_map(|(_, object)| object), odd()];
    each(400, (0..objects().len(), patch, any::<bool>()), async |api, (which, patch, strict)| {
        let kind = objects()[which].0;
        let name = if kind == Kind::Endpoints { "b" } else { "a" };
        for media in PATCHES {
            let options = if media == PATCHES[3] { "&fieldManager=m&force=true" } else { "" };
            let validation = if strict { "Strict" } else { "Ignore" };
            let path = format!("{}/{name}?dryRun=All&fieldValidation={validation}{options}", collection(kind));
            let text = patch.to_string();
            judge(&api.send("PATCH", &path, &[("content-type", media)], text.clone()).await, text.len());
        }
    });
}

/// Percent-encoded, so that what arrives is what was made.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn any_selector_selects_or_is_refused() {
    let word = prop::sample::select(vec![
        "a",
        "k",
        "x.y/k",
        "x",
        "metadata.name",
        "metadata.namespace",
        "spec.type",
        "=",
        "==",
        "!=",
        "!",
        ",",
        "(",
        ")",
        " in ",
        " notin ",
        "in",
        ">",
        "<",
        " ",
        "1",
        "\\",
        "é",
        "/",
        "9223372036854775808",
        "\u{0}",
    ]);
    let selector = prop::collection::vec(word, 0..8).prop_map(|words| words.concat());
    each(500, (selector, any::<bool>()), async |api, (selector, raw)| {
        let text = if raw && selector.is_ascii() && !selector.contains([' ', '\0', '<', '>', '\\']) {
            selector.clone()
        } else {
            encoded(&selector)
        };
        for query in [
            format!("labelSelector={text}"),
            format!("fieldSelector={text}"),
            format!("fieldSelector=metadata.name={text}"),
        ] {
            judge(&api.get(&format!("{SERVICES}?{query}")).await, text.len());
        }
    });
}

#[test]
fn any_continue_token_goes_on_or_is_refused() {
    let revision = prop_oneof![any::<i64>().prop_map(Value::from), (0..20).prop_map(Value::from), odd()];
    let start = prop_oneof!["[a-z/\\PC]{0,12}".prop_map(Value::from), Just(Value::from("default/a")), odd()];
    let made = (prop::sample::select(vec!["meta.k8s.io/v1", "meta.k8s.io/v2", ""]), revision, start).prop_map(
        |(version, revision, start)| json!({"v": version, "rv": revision, "start": start}).to_string().into_bytes(),
    );
    let token = prop_oneof![3 => made, 1 => prop::collection::vec(any::<u8>(), 0..40)];
    each(400, (token, 0..3_usize, any::<bool>()), async |api, (token, limit, padded)| {
        let engine = if padded {
            base64::engine::general_purpose::URL_SAFE
        } else {
            base64::engine::general_purpose::URL_SAFE_NO_PAD
        };
        let token = encoded(&engine.encode(&token));
        let reply = api.get(&format!("{CONFIG_MAPS}?limit={limit}&continue={token}")).await;
        assert_ne!(reply.code, 504, "a token is not waited for");
        judge(&reply, token.len());
    });
}

#[test]
fn any_watch_begins_or_is_refused() {
    let name = prop::sample::select(vec![
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "allowWatchBookmarks",
        "timeoutSeconds",
        "watch",
        "limit",
        "continue",
        "labelSelector",
        "fieldSelector",
        "pretty",
        "includeObject",
    ]);
    let value = prop::sample::select(vec![
        "",
        "0",
        "1",
        "7",
        "-1",
        "true",
        "false",
        "NotOlderThan",
        "Exact",
        "abc",
        "18446744073709551616",
        "9223372036854775807",
        "1e3",
        "k%3Dx",
        "metadata.name%3Da",
        "%00",
        "%zz",
    ]);
    let pairs = prop::collection::vec((name, value), 0..6);
    let accepts = vec![
        "",
        JSON,
        YAML,
        PROTOBUF,
        "application/json;as=Table;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "application/json;as=Odd;g=meta.k8s.io;v=v1",
        "text/html",
    ];
    each(500, (pairs, prop::sample::select(accepts)), async |api, (pairs, accept)| {
        let query: String = pairs.iter().map(|(name, value)| format!("{name}={value}&")).collect();
        let path = format!("{CONFIG_MAPS}?watch=1&{query}");
        let headers = [("accept", accept)];
        let headers: &[(&str, &str)] = if accept.is_empty() { &[] } else { &headers };
        let response = api.open("GET", &path, headers, Bytes::new()).await;
        // A stream has begun and is dropped; the body of anything else is judged.
        if response.status() != 200 {
            judge(&api.send("GET", &path, headers, Bytes::new()).await, path.len());
        }
    });
}

#[test]
fn any_bytes_are_answered_or_closed() {
    each(400, almost_http(), async |api, bytes| {
        let mut stream = UnixStream::connect(api.socket()).await.unwrap();
        let mut answer = Vec::new();
        // The end of our side is the end of what can come: the server must not wait for more.
        let exchange = async {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            stream.read_to_end(&mut answer).await
        };
        let ended = tokio::time::timeout(DEADLINE, exchange).await;
        assert!(ended.is_ok(), "still open after {:?}", String::from_utf8_lossy(&answer));
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
        assert!(answer.len() <= 2 * REFUSAL_BYTES_MAX, "{} bytes", answer.len());
    });
}
