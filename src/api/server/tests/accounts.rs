//! Tokens of ServiceAccounts over sockets: made, used, reviewed, and worth nothing
//! once what they rest on is gone.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::super::Limits;
use super::client::{CONFIG_MAPS, DEADLINE, Harness, causes};
use super::tls::{Remote, server};
use crate::api::codec::protobuf;
use crate::model::schema;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const GRANTS: &str = "/edgesvc/v1/grants";
const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ROBOT: &str = "system:serviceaccount:default:robot";

async fn account(api: &Harness, name: &str) -> Value {
    api.post(ACCOUNTS, &json!({"metadata": {"name": name}})).await.expect(201).json()
}

/// A token of an account, as the value of an Authorization header.
async fn bearer(api: &Harness, name: &str, spec: Value) -> String {
    let made = api.post(&format!("{ACCOUNTS}/{name}/token"), &json!({"spec": spec})).await.expect(201).json();
    format!("Bearer {}", made["status"]["token"].as_str().unwrap())
}

async fn grant(api: &Harness, role: &str, role_namespace: Option<&str>) {
    let body = json!({"namespace": "default", "name": "robot", "role": role, "roleNamespace": role_namespace});
    api.post(GRANTS, &body).await.expect(201);
}

/// The code of a GET with an Authorization header.
async fn code(api: &Harness, path: &str, bearer: &str) -> u16 {
    api.send("GET", path, &[("authorization", bearer)], "").await.code
}

async fn whoami(api: &Harness, bearer: &str) -> Value {
    let headers = [("authorization", bearer), ("content-type", "application/json")];
    let review = api.send("POST", SELF, &headers, "{}").await.expect(201).json();
    review["status"]["userInfo"].clone()
}

async fn pod(api: &Harness, name: &str) {
    let spec = json!({"serviceAccountName": "robot", "nodeName": "box", "containers": [{"name": "a", "image": "b"}]});
    let pod = json!({"metadata": {"name": name}, "spec": spec});
    api.post("/api/v1/namespaces/default/pods", &pod).await.expect(201);
}

#[tokio::test]
async fn a_token_names_its_account_and_what_it_is_bound_to() {
    let api = Harness::start().await;
    let uid = account(&api, "robot").await["metadata"]["uid"].clone();
    let user = whoami(&api, &bearer(&api, "robot", json!({})).await).await;
    assert_eq!((&user["username"], &user["uid"]), (&json!(ROBOT), &uid));
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(user["groups"], groups);
    let id = |user: &Value| user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap().to_owned();
    assert_eq!(id(&user).len(), "JTI=".len() + 36);
    pod(&api, "p").await;
    let bound = json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}});
    let of_pod = whoami(&api, &bearer(&api, "robot", bound).await).await;
    assert_ne!(id(&of_pod), id(&user));
    assert_eq!(of_pod["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(of_pod["extra"]["authentication.kubernetes.io/node-name"], json!(["box"]));
    assert!(of_pod["extra"].get("authentication.kubernetes.io/node-uid").is_none(), "{of_pod}");
}

#[tokio::test]
async fn what_a_token_may_not_be_is_said_as_the_real_server_does() {
    let api = Harness::start().await;
    account(&api, "robot").await;
    pod(&api, "p").await;
    let path = format!("{ACCOUNTS}/robot/token");
    let asked = async |body: Value, expected: u16| api.post(&path, &body).await.expect(expected).json();
    for (seconds, message) in [
        (599_i64, "may not specify a duration less than 10 minutes"),
        ((1 << 32) + 1, "may not specify a duration larger than 2^32 seconds"),
    ] {
        let refused = asked(json!({"spec": {"expirationSeconds": seconds}}), 422).await;
        let expected = format!(
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: {seconds}: {message}"
        );
        assert_eq!(refused["message"], expected);
    }
    let refused = asked(json!({"metadata": {"name": "other"}}), 422).await;
    assert_eq!(causes(&refused), [("FieldValueInvalid".to_owned(), "metadata.name".to_owned())]);
    let refused = asked(json!({"metadata": {"uid": "x"}}), 409).await;
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains("the UID in the token request (x) does not match"), "{text}");
    asked(json!({"metadata": {"namespace": "other"}}), 400).await;
    for (reference, code, expected) in [
        (
            json!({"kind": "ConfigMap", "apiVersion": "v1"}),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (json!({"kind": "Pod", "apiVersion": "v1", "name": "none"}), 404, "pods \"none\" not found"),
        (json!({"kind": "Secret", "apiVersion": "v1"}), 400, "Name parameter required."),
        (
            json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "x"}),
            409,
            "the UID in the bound object reference (x)",
        ),
    ] {
        let refused = asked(json!({"spec": {"boundObjectRef": reference}}), code).await;
        assert!(refused["message"].as_str().unwrap().contains(expected), "{refused}");
    }
    let long: Vec<String> = (0..2_000).map(|number| format!("audience-{number}")).collect();
    let refused = asked(json!({"spec": {"audiences": long}}), 422).await;
    assert_eq!(causes(&refused)[0].1, "spec.audiences");
    api.post(&format!("{ACCOUNTS}/none/token"), &json!({})).await.expect(404);
    api.get(&path).await.expect(405);
    let strict = api.post(&format!("{path}?fieldValidation=Strict"), &json!({"spec": {"x": 1}})).await.expect(400);
    assert!(strict.text().contains("unknown field \\\"spec.x\\\""), "{}", strict.text());
    let pods = "/api/v1/namespaces/default/pods";
    let other = json!({"metadata": {"name": "o"}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
    api.post(pods, &other).await.expect(201);
    let refused = asked(json!({"spec": {"boundObjectRef": {"kind": "Pod", "name": "o"}}}), 400).await;
    assert!(refused["message"].as_str().unwrap().contains("different serviceaccount name"), "{refused}");
}

#[tokio::test]
async fn a_wish_in_protobuf_and_its_review_are_understood() {
    let api = Harness::start().await;
    account(&api, "robot").await;
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let send = async |path: &str, kind: &str, value: Value| {
        let raw = protobuf::encode(schema::find(kind).unwrap(), &value);
        let body = protobuf::seal_envelope("authentication.k8s.io/v1", kind, &raw);
        let headers = [("content-type", PROTOBUF), ("accept", PROTOBUF)];
        let reply = api.send("POST", path, &headers, Bytes::from(body)).await.expect(201);
        let envelope = protobuf::open_envelope(&reply.body).unwrap();
        assert_eq!(envelope.kind, kind);
        protobuf::decode(schema::find(kind).unwrap(), envelope.raw).unwrap()
    };
    let wish = json!({"spec": {"audiences": ["a", "b"], "expirationSeconds": 700}});
    let made = send(&format!("{ACCOUNTS}/robot/token"), "TokenRequest", wish).await;
    assert_eq!((&made["spec"]["expirationSeconds"], &made["metadata"]["name"]), (&json!(700), &json!("robot")));
    let question = json!({"spec": {"token": made["status"]["token"], "audiences": ["b", "c"]}});
    let review = send(REVIEWS, "TokenReview", question).await;
    assert_eq!((&review["status"]["authenticated"], &review["status"]["audiences"]), (&json!(true), &json!(["b"])));
    let user = &review["status"]["user"];
    assert!(user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap().starts_with("JTI="));
}

#[tokio::test]
async fn a_review_says_whose_a_token_is_or_why_nobodys() {
    let api = server(Limits::default()).await;
    account(&api, "robot").await;
    let review = async |token: &str, audiences: Value| {
        let spec = json!({"token": token, "audiences": audiences});
        api.post(REVIEWS, &json!({"spec": spec})).await.expect(201).json()["status"].clone()
    };
    let of = async |spec: Value| bearer(&api, "robot", spec).await["Bearer ".len()..].to_owned();
    let own = json!(["https://kubernetes.default.svc.cluster.local"]);
    let token = of(json!({})).await;
    let good = review(&token, Value::Null).await;
    assert_eq!((&good["authenticated"], &good["audiences"]), (&json!(true), &own));
    assert_eq!(good["user"]["username"], ROBOT);
    let other = review(&token, json!(["vault"])).await;
    assert!(other.get("authenticated").is_none() && other["user"] == json!({}), "{other}");
    assert!(other["error"].as_str().unwrap().contains("target audiences [\"vault\"]"), "{other}");
    let for_vault = of(json!({"audiences": ["vault"]})).await;
    assert_eq!(review(&for_vault, json!(["vault", "x"])).await["audiences"], json!(["vault"]));
    assert_eq!(code(&api, "/version", &format!("Bearer {for_vault}")).await, 401);
    assert_eq!(review("nonsense", Value::Null).await, json!({"user": {}, "error": "invalid bearer token"}));
    let bob = api.post("/edgesvc/v1/tokens", &json!({"name": "bob", "role": "view"})).await.expect(201).json();
    let bob = bob["token"].as_str().unwrap();
    assert_eq!(review(bob, Value::Null).await["user"]["username"], "bob");
    assert_eq!(review(bob, json!(["vault"])).await["error"], "invalid bearer token");
    api.post(REVIEWS, &json!({"spec": {}})).await.expect(400);
    api.delete(&format!("{ACCOUNTS}/robot")).await.expect(200);
    let gone = review(&token, Value::Null).await;
    assert_eq!(gone["error"], "[invalid bearer token, serviceaccounts \"robot\" not found]");
    account(&api, "robot").await;
    let anew = review(&token, Value::Null).await;
    assert!(anew["error"].as_str().unwrap().contains("service account UID"), "{anew}");
}

#[tokio::test]
async fn an_account_does_what_it_was_granted_and_no_older_token_does() {
    let api = Harness::start().await;
    account(&api, "robot").await;
    let before = bearer(&api, "robot", json!({})).await;
    assert_eq!(code(&api, CONFIG_MAPS, &before).await, 403);
    assert_eq!(code(&api, "/openid/v1/jwks", &before).await, 200);
    grant(&api, "view", Some("default")).await;
    let viewer = bearer(&api, "robot", json!({})).await;
    assert_eq!(code(&api, CONFIG_MAPS, &viewer).await, 200);
    assert_eq!(code(&api, "/api/v1/configmaps", &viewer).await, 403);
    assert_eq!(code(&api, CONFIG_MAPS, &before).await, 403, "a role is not for tokens made before");
    assert!(whoami(&api, &viewer).await["groups"].as_array().unwrap().contains(&json!("edgesvc:view:default")));
    let attributes = json!({"verb": "list", "resource": "configmaps", "namespace": "default"});
    let question = json!({"spec": {"user": ROBOT, "resourceAttributes": attributes}});
    let access = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(api.post(access, &question).await.expect(201).json()["status"]["allowed"], true);
    let acting = [("impersonate-user", ROBOT)];
    api.send("GET", CONFIG_MAPS, &acting, "").await.expect(200);
    api.send("GET", "/api/v1/nodes", &acting, "").await.expect(403);
    let listed = api.get(GRANTS).await.expect(200).json();
    assert_eq!(listed["items"][0]["roleNamespace"], "default");
    api.delete(&format!("{GRANTS}/default/robot")).await.expect(200);
    assert_eq!(code(&api, CONFIG_MAPS, &viewer).await, 403);
    api.delete(&format!("{GRANTS}/default/robot")).await.expect(404);
}

#[tokio::test]
async fn a_delegator_asks_about_others_and_does_nothing_else() {
    let api = Harness::start().await;
    account(&api, "robot").await;
    grant(&api, "auth-delegator", None).await;
    let token = bearer(&api, "robot", json!({})).await;
    let asked = async |path: &str, body: Value| {
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        api.send("POST", path, &headers, body.to_string()).await
    };
    asked(REVIEWS, json!({"spec": {"token": "x"}})).await.expect(201);
    let attributes = json!({"verb": "list", "resource": "configmaps"});
    let access = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    asked(access, json!({"spec": {"user": "bob", "resourceAttributes": attributes}})).await.expect(201);
    assert_eq!(code(&api, CONFIG_MAPS, &token).await, 403);
    asked(&format!("{ACCOUNTS}/robot/token"), json!({})).await.expect(403);
}

#[tokio::test]
async fn nobody_makes_a_token_that_may_more_than_he() {
    let api = Harness::start().await;
    account(&api, "robot").await;
    let path = format!("{ACCOUNTS}/robot/token");
    let made = async |groups: &[&str]| {
        let mut headers = vec![("impersonate-user", "bob"), ("content-type", "application/json")];
        headers.extend(groups.iter().map(|group| ("impersonate-group", *group)));
        api.send("POST", &path, &headers, "{}").await
    };
    assert_eq!(made(&["edgesvc:edit:default"]).await.code, 201);
    assert_eq!(made(&["edgesvc:edit:other"]).await.code, 403);
    assert_eq!(made(&["edgesvc:view"]).await.code, 403);
    grant(&api, "edit", Some("default")).await;
    assert_eq!(made(&["edgesvc:edit:default"]).await.code, 201);
    grant(&api, "view", None).await;
    let refused = made(&["edgesvc:edit:default"]).await.expect(403).json();
    let text = refused["message"].as_str().unwrap();
    assert!(text.starts_with("serviceaccounts \"robot\" is forbidden: user \"bob\" may not"), "{text}");
    assert_eq!(made(&["edgesvc:edit"]).await.code, 201);
    grant(&api, "admin", None).await;
    assert_eq!(made(&["edgesvc:edit"]).await.code, 403);
    assert_eq!(made(&["system:masters"]).await.code, 201);
}

#[tokio::test]
async fn streams_end_with_the_account_the_object_and_the_role_they_rest_on() {
    let api = server(Limits { drain: Duration::from_millis(200), ..Limits::default() }).await;
    account(&api, "robot").await;
    pod(&api, "p").await;
    grant(&api, "view", None).await;
    let bound = json!({"boundObjectRef": {"kind": "Pod", "name": "p"}});
    let (free, bound) = (bearer(&api, "robot", json!({})).await, bearer(&api, "robot", bound).await);
    let watch = format!("{CONFIG_MAPS}?watch=1");
    let begin = async |bearer: &str| {
        let mut client = Remote::connect(&api, None).await;
        let watch = client.open(&watch, &[("authorization", bearer)]).await;
        assert_eq!(watch.status(), 200);
        (client, watch)
    };
    let ends = async |(client, watch): (Remote, hyper::Response<hyper::body::Incoming>)| {
        drop(tokio::time::timeout(DEADLINE, watch.into_body().collect()).await.expect("the watch ends"));
        client.ended().await;
    };
    let (of_pod, of_account) = (begin(&bound).await, begin(&free).await);
    api.delete("/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0").await.expect(200);
    ends(of_pod).await;
    assert_eq!(code(&api, CONFIG_MAPS, &bound).await, 401);
    assert_eq!(code(&api, CONFIG_MAPS, &free).await, 200);
    assert!(!of_account.0.connection.is_finished());
    api.delete(&format!("{GRANTS}/default/robot")).await.expect(200);
    ends(of_account).await;
    grant(&api, "view", None).await;
    let of_account = begin(&free).await;
    api.delete(&format!("{ACCOUNTS}/robot")).await.expect(200);
    ends(of_account).await;
    assert_eq!(code(&api, "/version", &free).await, 401);
}

#[tokio::test]
async fn whoever_speaks_for_many_gets_a_new_connection() {
    let api = server(Limits::default()).await;
    account(&api, "robot").await;
    let mut client = Remote::connect(&api, None).await;
    for _ in 0..64 {
        let token = bearer(&api, "robot", json!({})).await;
        client.get("/version", &[("authorization", &token)]).await.expect(200);
    }
    let token = bearer(&api, "robot", json!({})).await;
    client.get("/version", &[("authorization", &token)]).await.expect(429);
    client.ended().await;
    let mut client = Remote::connect(&api, None).await;
    client.get("/version", &[("authorization", &token)]).await.expect(200);
}

#[tokio::test]
async fn without_its_key_the_api_makes_and_knows_no_tokens_and_does_the_rest() {
    let api = Harness::start().await;
    account(&api, "robot").await;
    let token = bearer(&api, "robot", json!({})).await;
    let damaged = Harness::prepared(|dir| {
        std::fs::create_dir_all(dir.join("pki")).unwrap();
        std::fs::write(dir.join("pki/service-account.key"), "damaged").unwrap();
    })
    .await;
    account(&damaged, "robot").await;
    let refused = damaged.post(&format!("{ACCOUNTS}/robot/token"), &json!({})).await.expect(500);
    assert!(refused.text().contains("service-account.key"), "{}", refused.text());
    damaged.get("/openid/v1/jwks").await.expect(500);
    assert_eq!(code(&damaged, "/version", &token).await, 401);
}
