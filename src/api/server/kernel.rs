//! `/edgesvc/v1/dataplane/…`: what the kernel holds beside what is stored, and
//! what a change would make of it. For administrators, as `repair`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::super::status::ApiError;
use super::answer::{Answer, Outcome};
use super::handle::Call;
use super::query::Query;
use crate::model::{Draft, Kind, ObjectKey};

/// A change may be on its way to the kernel: how often, and after how long, a
/// difference is looked at again before it is told.
const LOOKS_MAX: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What is asked of the rooms behind the API.
#[derive(Debug)]
pub enum KernelQuestion {
    /// How the kernel differs from the store.
    Differences,
    /// What storing these objects would change.
    Preview(Vec<Draft>),
    /// What Services are used for.
    Counters,
    /// How Services are delivered, and whom endpoints see as the client.
    Deliveries(Scope),
}

/// Which Services are asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The namespace; all where there is none.
    pub namespace: Option<String>,
    /// The names; all where there are none.
    pub names: Vec<String>,
}

impl Scope {
    /// Whether a Service is one of them.
    pub fn admits(&self, key: &ObjectKey) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == &*key.namespace)
            && (self.names.is_empty() || self.names.iter().any(|name| **name == *key.name))
    }

    fn of(query: &Query) -> Scope {
        let names = query.get("names").unwrap_or_default().split(',').filter(|name| !name.is_empty());
        Scope { namespace: query.get("namespace").map(str::to_owned), names: names.map(str::to_owned).collect() }
    }
}

/// Answers an object, with `lines` where it is asked for text, or why not. Blocks.
pub type Kernel = Arc<dyn Fn(KernelQuestion) -> Result<Value, String> + Send + Sync>;

/// Answers one of them.
pub(super) async fn kernel(call: &Call, method: &Method, what: &str, body: &Bytes) -> Outcome {
    let answer = match (what, method.as_str()) {
        ("differences", "GET") => {
            let mut answer = ask(call, KernelQuestion::Differences).await?;
            let differs = |answer: &Value| answer.pointer("/lines/0").is_some();
            for _ in 1..LOOKS_MAX {
                if !differs(&answer) {
                    break;
                }
                tokio::time::sleep(LOOK_PAUSE).await;
                answer = ask(call, KernelQuestion::Differences).await?;
            }
            answer
        }
        ("preview", "POST") => ask(call, KernelQuestion::Preview(drafts(body)?)).await?,
        ("counters", "GET") => ask(call, KernelQuestion::Counters).await?,
        ("deliveries", "GET") => ask(call, KernelQuestion::Deliveries(Scope::of(&call.query))).await?,
        ("differences" | "preview" | "counters" | "deliveries", _) => return Err(ApiError::method_not_allowed()),
        _ => return Err(ApiError::no_resource()),
    };
    Ok(Answer::value(200, call.accepted, &answer))
}

async fn ask(call: &Call, question: KernelQuestion) -> Result<Value, ApiError> {
    let kernel = Arc::clone(&call.api.kernel);
    let answered = tokio::task::spawn_blocking(move || kernel(question)).await;
    let answered = answered.map_err(|error| ApiError::unavailable(&error.to_string()))?;
    answered.map_err(|why: String| ApiError::unavailable(&why))
}

/// The objects of a List, as a dry run answered them.
fn drafts(body: &Bytes) -> Result<Vec<Draft>, ApiError> {
    let list: Value = serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let draft = |item: &Value| {
        let word = |member: &str| item.get(member).and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::from_type_meta(word("apiVersion"), word("kind"));
        let kind = kind.ok_or_else(|| ApiError::bad_request(format!("no kind {:?}", word("kind"))))?;
        Draft::new(kind, item).map_err(|error| ApiError::bad_request(error.to_string()))
    };
    items.iter().map(draft).collect()
}
