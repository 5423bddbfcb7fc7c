//! GET and LIST (spec/api.md section 6).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::codec::protobuf;
use super::super::status::ApiError;
use super::accept::{Accepted, Encoding, Form, JSON, PROTOBUF};
use super::answer::{Answer, Outcome, sealed};
use super::handle::Call;
use super::route::Target;
use super::selector::Selection;
use super::show::{self, Include};
use super::stream::{AnswerBody, Chunks, NextChunk};
use crate::model::{Cause, Kind, Object, ObjectKey, Revision};
use crate::store::Snapshot;

/// Bytes of one chunk of a list: large enough for few system calls, small enough
/// for many slow readers.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a list waits for a revision that is not there yet.
const FUTURE_WAIT: Duration = Duration::from_secs(3);
/// The alphabet of continue tokens.
const TOKEN: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The object a target names, or 404.
pub(super) fn find(snapshot: &Snapshot, target: &Target) -> Result<Arc<Object>, ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    let key = ObjectKey::new(target.namespace.as_deref().unwrap_or_default(), name);
    let found = snapshot.get(target.kind.stored(), &key).ok_or_else(|| ApiError::not_found(target.kind, name))?;
    Ok(show::viewed(target.kind, found))
}

/// GET of one object.
pub(super) async fn get(call: &Call, target: &Target) -> Outcome {
    let wanted = call.query.revision()?;
    let snapshot = at_least(call, wanted.map(Revision)).await?;
    let found = find(&snapshot, target)?;
    show::object(200, call.accepted, &call.query, &found)
}

/// The newest state, once it reaches `wanted`; 504 if it does not soon.
async fn at_least(call: &Call, wanted: Option<Revision>) -> Result<Arc<Snapshot>, ApiError> {
    let current = call.api.store.snapshot();
    let Some(wanted) = wanted.filter(|wanted| *wanted > current.revision()) else { return Ok(current) };
    let mut newest = call.api.store.subscribe();
    let reached = newest.wait_for(|snapshot| snapshot.revision() >= wanted);
    if let Ok(Ok(snapshot)) = tokio::time::timeout(FUTURE_WAIT, reached).await {
        return Ok(Arc::clone(&snapshot));
    }
    Err(ApiError::future_revision(wanted.0, call.api.store.snapshot().revision().0))
}

/// What part of which state a list shows.
struct Page {
    snapshot: Arc<Snapshot>,
    /// The revision the list shows, which is the first page's.
    revision: Revision,
    /// Keys after this one.
    after: Option<ObjectKey>,
    /// At most so many; 0 is all.
    limit: usize,
}

/// LIST.
pub(super) async fn list(call: &Call, target: &Target) -> Outcome {
    if call.query.has("sendInitialEvents") {
        let cause = Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
        return Err(ApiError::invalid_options("ListOptions", &[cause]));
    }
    let selection = selection(call, target)?;
    let page = page(call, target).await?;
    let mut chosen: VecDeque<Arc<Object>> = VecDeque::new();
    let mut more = 0_usize;
    // A name alone is a lookup, not a walk over everything.
    for object in page.snapshot.list(target.kind.stored(), target.namespace.as_deref()) {
        let seen = page.after.as_ref().is_some_and(|after| object.key <= *after);
        if seen || !selection.matches(object) {
            continue;
        }
        if page.limit == 0 || chosen.len() < page.limit {
            chosen.push_back(show::viewed(target.kind, object));
        } else {
            more += 1;
            if !selection.is_everything() {
                break;
            }
        }
    }
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let (Some(last), Some(members), 1..) = (chosen.back(), metadata.as_object_mut(), more) {
        call.api.recent.keep(&page.snapshot);
        members.insert("continue".to_owned(), token(page.revision, &last.key).into());
        if selection.is_everything() {
            members.insert("remainingItemCount".to_owned(), more.into());
        }
    }
    shown(call, target.kind, &metadata, chosen)
}

/// The selectors of a list, watch or collection.
pub(super) fn selection(call: &Call, target: &Target) -> Result<Selection, ApiError> {
    let (labels, fields) = (call.query.get("labelSelector"), call.query.get("fieldSelector"));
    let selection = Selection::parse(target.kind, target.namespace.as_deref(), labels, fields)?;
    Ok(match &target.name {
        Some(name) => selection.and_name(name),
        None => selection,
    })
}

async fn page(call: &Call, target: &Target) -> Result<Page, ApiError> {
    let query = &call.query;
    // Negative limits are accepted and mean none.
    let mut limit = usize::try_from(query.integer("limit")?.unwrap_or_default()).unwrap_or_default();
    let revision_match = query.get("resourceVersionMatch");
    let asked = query.get("resourceVersion");
    check_match(revision_match, asked)?;
    if let Some(token) = query.get("continue") {
        if asked.is_some_and(|asked| asked != "0") {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        return continued(call, target, token, limit);
    }
    let wanted = query.revision()?;
    if revision_match == Some("Exact") {
        let revision = Revision(wanted.unwrap_or_default());
        let current = at_least(call, Some(revision)).await?;
        let snapshot = call.api.recent.at(&current, target.kind.stored(), revision).ok_or_else(|| {
            ApiError::expired(format!("The provided resource version {revision} is too old or not kept"))
        })?;
        return Ok(Page { snapshot, revision, after: None, limit });
    }
    if wanted == Some(0) {
        // "Any state" is answered from memory, whole.
        limit = 0;
    }
    let snapshot = at_least(call, wanted.map(Revision)).await?;
    let revision = snapshot.revision();
    Ok(Page { snapshot, revision, after: None, limit })
}

/// Refuses a `resourceVersionMatch` that makes no sense.
fn check_match(revision_match: Option<&str>, asked: Option<&str>) -> Result<(), ApiError> {
    let field = "resourceVersionMatch";
    let cause = match (revision_match, asked) {
        (None, _) | (Some("NotOlderThan"), Some(_)) => return Ok(()),
        (Some("Exact"), Some(asked)) if asked != "0" => return Ok(()),
        (Some("Exact"), Some(_)) => {
            Cause::forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        (Some("Exact" | "NotOlderThan"), None) => {
            Cause::forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        (Some(other), _) => Cause::not_supported(field, &other.into(), &["Exact", "NotOlderThan", ""]),
    };
    Err(ApiError::invalid_options("ListOptions", &[cause]))
}

/// The page a token goes on with.
fn continued(call: &Call, target: &Target, token: &str, limit: usize) -> Result<Page, ApiError> {
    let (revision, after) = parse_token(token).ok_or_else(|| {
        ApiError::bad_request("invalid continue token: continue key is not valid: it was not made here")
    })?;
    let current = call.api.store.snapshot();
    let Some(revision) = revision else {
        // A token given with a 410: go on with what there is now.
        let revision = current.revision();
        return Ok(Page { snapshot: current, revision, after: Some(after), limit });
    };
    match call.api.recent.at(&current, target.kind.stored(), revision) {
        Some(snapshot) => Ok(Page { snapshot, revision, after: Some(after), limit }),
        None => {
            let mut expired = ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter, or use the continue token in this response to retrieve the \
                 remainder of the results. Continuing with the provided token results in an inconsistent list.",
            );
            expired.continue_token = Some(encode_token(None, &after));
            Err(expired)
        }
    }
}

fn token(revision: Revision, last: &ObjectKey) -> String {
    encode_token(Some(revision), last)
}

fn encode_token(revision: Option<Revision>, last: &ObjectKey) -> String {
    // -1 is Kubernetes' "whatever revision there is".
    let revision = revision.map_or_else(|| Value::from(-1), |revision| revision.0.into());
    let start = format!("{}/{}", last.namespace, last.name);
    TOKEN.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
}

fn parse_token(token: &str) -> Option<(Option<Revision>, ObjectKey)> {
    let value: Value = serde_json::from_slice(&TOKEN.decode(token.trim_end_matches('=')).ok()?).ok()?;
    if value.get("v")?.as_str()? != "meta.k8s.io/v1" {
        return None;
    }
    let revision = value.get("rv")?;
    let revision = if revision.as_i64() == Some(-1) { None } else { Some(Revision(revision.as_u64()?)) };
    let (namespace, name) = value.get("start")?.as_str()?.split_once('/')?;
    Some((revision, ObjectKey::new(namespace, name)))
}

/// The list in the form the client accepts.
pub(super) fn shown(call: &Call, kind: Kind, metadata: &Value, objects: VecDeque<Arc<Object>>) -> Outcome {
    let row = kind.resource();
    let list_kind = format!("{}List", row.kind);
    let accepted = call.accepted;
    match accepted {
        Accepted { form: Form::Object, encoding: Encoding::Json, pretty: false } => {
            let head = format!(
                "{{\"kind\":\"{list_kind}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                kind.api_version()
            );
            let list = ListBody { pending: head.into_bytes(), objects, first: true };
            Ok(Answer::new(200, JSON, list.into_body()))
        }
        Accepted { form: Form::Table, .. } => {
            let (include, now) = (Include::parse(&call.query)?, crate::clock::now());
            let rows = objects.iter().map(|object| show::row(object, include, now)).collect();
            Ok(Answer::value(200, accepted, &show::table(kind, metadata.clone(), rows, true)))
        }
        Accepted { form: Form::Metadata, .. } => {
            let items: Vec<Value> = objects.iter().map(|object| show::metadata_only(object)).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items,
            });
            Ok(Answer::value(200, accepted, &list))
        }
        Accepted { form: Form::Object, encoding: Encoding::Protobuf, .. } => {
            Ok(Answer::new(200, PROTOBUF, protobuf_list(kind, &list_kind, metadata, &objects)))
        }
        Accepted { form: Form::Object, .. } => {
            let items: Vec<Value> = objects.iter().map(|object| without_type(object)).collect();
            let list = json!({
                "kind": list_kind, "apiVersion": kind.api_version(), "metadata": metadata, "items": items,
            });
            Ok(Answer::value(200, accepted, &list))
        }
    }
}

fn without_type(object: &Object) -> Value {
    let mut value = object.value();
    if let Some(members) = value.as_object_mut() {
        members.retain(|member, _| member != "kind" && member != "apiVersion");
    }
    value
}

/// Every list is message {1: ListMeta, 2: repeated item}.
fn protobuf_list(kind: Kind, list_kind: &str, metadata: &Value, objects: &VecDeque<Arc<Object>>) -> Vec<u8> {
    let ty = crate::model::schema::type_of(kind);
    let mut raw = Vec::new();
    let meta = crate::model::schema::find("ListMeta").map(|ty| protobuf::encode(ty, metadata)).unwrap_or_default();
    message_field(&mut raw, 1, &meta);
    for object in objects {
        message_field(&mut raw, 2, &protobuf::encode(ty, &object.value()));
    }
    protobuf::seal_envelope(&kind.api_version(), list_kind, &raw)
}

/// Appends a length-delimited field.
pub(super) fn message_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut rest = bytes.len();
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(bytes);
}

/// A list that is put together chunk by chunk from the objects' own bytes.
struct ListBody {
    pending: Vec<u8>,
    objects: VecDeque<Arc<Object>>,
    first: bool,
}

impl ListBody {
    /// Small lists go out whole, with their length.
    fn into_body(mut self) -> AnswerBody {
        self.fill();
        if self.objects.is_empty() {
            self.pending.extend_from_slice(b"]}\n");
            return AnswerBody::from(self.pending);
        }
        AnswerBody::chunks(self)
    }

    fn fill(&mut self) {
        while self.pending.len() < CHUNK_BYTES
            && let Some(object) = self.objects.pop_front()
        {
            self.pending.extend_from_slice(if self.first { b"{" } else { b",{" });
            self.first = false;
            self.pending.extend_from_slice(&object.item_json());
        }
    }
}

impl Chunks for ListBody {
    fn next(mut self: Box<Self>) -> NextChunk {
        Box::pin(async move {
            self.fill();
            if self.pending.is_empty() {
                return None;
            }
            if self.objects.is_empty() {
                self.pending.extend_from_slice(b"]}\n");
            }
            let chunk = Bytes::from(std::mem::take(&mut self.pending));
            Some((chunk, self as Box<dyn Chunks>))
        })
    }
}

/// The bytes of one object in the envelope, for watches.
pub(super) fn sealed_object(object: &Object) -> Vec<u8> {
    sealed(&object.value()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let key = ObjectKey::new("n", "a");
        assert_eq!(parse_token(&token(Revision(7), &key)), Some((Some(Revision(7)), key.clone())));
        assert_eq!(parse_token(&encode_token(None, &key)), Some((None, key)));
        assert_eq!(parse_token("abc"), None);
    }

    #[test]
    fn lengths_are_varints() {
        let mut out = Vec::new();
        message_field(&mut out, 2, &[0; 300]);
        assert_eq!(out[..3], [0x12, 0xac, 0x02]);
    }
}
