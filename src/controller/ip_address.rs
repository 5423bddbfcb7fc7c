//! IPAddress objects follow the claims (spec/service.md sections 4.4 and 9): one for
//! each cluster IP a Service holds, none that says so of an address nobody holds.

use std::net::IpAddr;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::event::{self, Report};
use super::{Decision, Scene, draft};
use crate::model::ip_address::{content, is_derived, shows};
use crate::model::object::ParseError;
use crate::model::{Claim, Kind, ObjectKey};
use crate::store::{Expect, Op};

/// How long an object a client made for a Service may be without it: the client may
/// be about to make the Service.
const ORPHAN_AGE_MAX: Duration = Duration::seconds(60);

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Decision, ParseError> {
    let Ok(addr) = key.name.parse::<IpAddr>() else { return Ok(Decision::default()) };
    let snapshot = scene.snapshot;
    let found = snapshot.get(Kind::IpAddress, key);
    // Only Services have a namespace: an address made by hand holds itself.
    let owner = snapshot.claims().get(&Claim::ClusterIp(addr)).filter(|owner| !owner.namespace.is_empty());
    if let Some(owner) = owner {
        if found.is_some_and(|object| shows(object, addr, owner)) {
            return Ok(Decision::default());
        }
        let mut value = content(addr, owner);
        let mut metadata = scene.metadata(key);
        if let Some(labels) = value.pointer("/metadata/labels") {
            draft::set(&mut metadata, "labels", labels.clone());
        }
        draft::set(&mut value, "metadata", metadata);
        let mut op = draft::create(Kind::IpAddress, &value, Vec::new())?;
        if let (Op::Put { expect, .. }, Some(object)) = (&mut op, found) {
            *expect = Expect::At(object.revision);
        }
        return Ok(Decision { ops: vec![op], ..Decision::default() });
    }
    let Some(orphan) = found.filter(|object| is_derived(object) && !object.meta.deleting) else {
        return Ok(Decision::default());
    };
    let value = orphan.value();
    if value.pointer("/metadata/managedFields").is_none() {
        // One of ours: its Service is gone.
        return Ok(Decision { ops: vec![draft::delete(orphan)], ..Decision::default() });
    }
    let created = OffsetDateTime::parse(&orphan.meta.created, &Rfc3339).unwrap_or(scene.now);
    if scene.now - created < ORPHAN_AGE_MAX {
        return Ok(Decision { again: Some(created + ORPHAN_AGE_MAX), ..Decision::default() });
    }
    let value = orphan.value();
    let parent =
        |member: &str| value.pointer(&format!("/spec/parentRef/{member}")).and_then(Value::as_str).unwrap_or_default();
    let note = format!(
        "IPAddress: {} for Service {}/{} appears to have leaked: cleaning up",
        key.name,
        parent("namespace"),
        parent("name")
    );
    let report = Report {
        controller: "ipallocator-repair-controller",
        action: "IPAddressAllocation",
        reason: "IPAddressNotAllocated",
        note,
    };
    let told = event::warning(scene, orphan, &report)?;
    Ok(Decision { ops: vec![draft::delete(orphan), told], ..Decision::default() })
}
