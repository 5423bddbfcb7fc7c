//! IP families of a Service: checks and defaults before addresses are allocated
//! (spec/service.md sections 4.1 and 4.2). A fault here is answered alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::Scene;
use super::super::address::ip_faults;
use super::super::read::{enough, given, present, text, texts};
use super::{is_external_name, is_headless, kind_of, set_spec};
use crate::model::{Cause, IpFamily};

const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICY_FIELD: &str = "spec.ipFamilyPolicy";

/// Checks the lists and fills `ipFamilies` and `ipFamilyPolicy`.
pub(super) fn settle(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Vec<Cause>> {
    if is_external_name(value) || old.is_some_and(|old| prefers_as_before(old, value)) {
        return Ok(());
    }
    let policy = policy(old, value);
    set_spec(value, "ipFamilyPolicy", policy.clone().into());
    refuse(lists(value, old))?;
    let mut causes = Vec::new();
    if let Some(old) = old {
        if policy == "SingleStack" {
            trim(old, value);
        } else {
            causes.extend(reduced(old, value, &policy));
        }
    }
    causes.extend(too_many_for_single(value, &policy));
    let cluster: Vec<&str> =
        scene.rules.service_ranges.iter().map(|range| IpFamily::of(range.network()).as_str()).collect();
    let mut families = texts(value, "/spec/ipFamilies");
    infer(&cluster, value, &mut families, &mut causes);
    refuse(causes)?;
    // Somebody else makes the endpoints: they may be of families we do not have.
    let selectorless = is_headless(value) && !present(value, "/spec/selector");
    if !selectorless {
        refuse(configured(&cluster, &families, &policy))?;
    }
    if families.is_empty() {
        families.extend(cluster.first().map(|family| (*family).to_owned()));
    }
    if policy != "SingleStack" && families.len() == 1 && (selectorless || cluster.len() > 1) {
        families.extend(FAMILIES.iter().find(|f| !families.contains(&(**f).to_owned())).map(|f| (*f).to_owned()));
    }
    set_spec(value, "ipFamilies", json!(families));
    Ok(())
}

fn refuse(causes: Vec<Cause>) -> Result<(), Vec<Cause>> {
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

/// The update leaves a PreferDualStack Service as it is: it gains and loses no
/// address because the cluster's ranges have changed since.
pub(super) fn prefers_as_before(old: &Value, new: &Value) -> bool {
    let kept = |member: &str| {
        let pointer = format!("/spec/{member}");
        texts(old, &pointer) == texts(new, &pointer)
    };
    let prefers = |value: &Value| text(value, "/spec/ipFamilyPolicy") == "PreferDualStack";
    prefers(old) && prefers(new) && kind_of(old) == kind_of(new) && kept("clusterIPs") && kept("ipFamilies")
}

/// The policy asked for, or that of before, or what suits a new Service.
fn policy(old: Option<&Value>, value: &Value) -> String {
    let asked = given(value, "/spec/ipFamilyPolicy");
    let kept = || old.and_then(|old| given(old, "/spec/ipFamilyPolicy"));
    let fresh = if text(value, "/spec/clusterIP") == "None" && !present(value, "/spec/selector") {
        "RequireDualStack"
    } else {
        "SingleStack"
    };
    asked.or_else(kept).unwrap_or(fresh).to_owned()
}

/// SingleStack is enough said to give up the second of each list.
fn trim(old: &Value, value: &mut Value) {
    for member in ["clusterIPs", "ipFamilies"] {
        let pointer = format!("/spec/{member}");
        let mut items = texts(value, &pointer);
        if items.len() > 1 && items == texts(old, &pointer) {
            items.truncate(1);
            set_spec(value, member, json!(items));
        }
    }
}

/// A shorter list alone is not.
fn reduced(old: &Value, value: &Value, policy: &str) -> Vec<Cause> {
    let shorter = |member: &str| {
        let pointer = format!("/spec/{member}");
        let now = texts(value, &pointer).len();
        now != 0 && now < texts(old, &pointer).len()
    };
    let rows = [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")];
    let rows = rows.into_iter().filter(|(member, _)| shorter(member));
    rows.map(|(_, words)| {
        let detail = format!("must be 'SingleStack' to release the secondary {words}");
        Cause::invalid(POLICY_FIELD, &policy.into(), &detail)
    })
    .collect()
}

fn too_many_for_single(value: &Value, policy: &str) -> Vec<Cause> {
    let two = |member: &str| texts(value, &format!("/spec/{member}")).len() == 2;
    let rows = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")];
    let rows = rows.into_iter().filter(|(member, _)| policy == "SingleStack" && two(member));
    rows.map(|(_, words)| {
        let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {words} are specified");
        Cause::invalid(POLICY_FIELD, &policy.into(), &detail)
    })
    .collect()
}

/// Families that are not said follow from the addresses.
fn infer(cluster: &[&str], value: &Value, families: &mut Vec<String>, causes: &mut Vec<Cause>) {
    let ips = texts(value, "/spec/clusterIPs");
    for (i, ip) in ips.iter().enumerate() {
        let Ok(addr) = ip.parse() else { return };
        let family = IpFamily::of(addr).as_str();
        if i < families.len() {
            continue;
        }
        if cluster.contains(&family) {
            families.push(family.to_owned());
        } else {
            let detail = format!("{family} is not configured on this cluster");
            causes.push(Cause::invalid(format!("spec.clusterIPs[{i}]"), &json!(ips), &detail));
        }
    }
}

/// What the cluster cannot give.
fn configured(cluster: &[&str], families: &[String], policy: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if policy == "RequireDualStack" && cluster.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        causes.push(Cause::invalid(POLICY_FIELD, &policy.into(), detail));
    }
    let absent = families.iter().enumerate().filter(|(_, family)| !cluster.contains(&family.as_str()));
    causes.extend(absent.map(|(i, family)| {
        Cause::invalid(format!("spec.ipFamilies[{i}]"), &json!(family), "not configured on this cluster")
    }));
    causes
}

/// The lists in themselves, whatever the cluster has.
fn lists(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let (mut causes, field) = (Vec::new(), "spec.clusterIPs");
    let ips = texts(value, "/spec/clusterIPs");
    let (first, all) = (text(value, "/spec/clusterIP"), json!(ips));
    match (ips.first(), first.is_empty()) {
        (None, false) => causes.push(Cause::required(field, "")),
        (Some(_), true) => {
            causes.push(Cause::invalid(field, &all, "must be empty when `clusterIP` is not specified"));
        }
        (Some(primary), false) if primary != first => {
            causes.push(Cause::invalid(field, &all, "first value must match `clusterIP`"));
        }
        (None, true) | (Some(_), false) => {}
    }
    let families = texts(value, "/spec/ipFamilies");
    causes.extend(family_words(value, &families));
    let stored = old.map(|old| texts(old, "/spec/clusterIPs")).unwrap_or_default();
    let faults = ip_list(&ips, &all, &stored);
    let broken = !faults.is_empty();
    causes.extend(faults);
    if ips.len() > 2 {
        causes.push(Cause::invalid(field, &all, "may only hold up to 2 values"));
    }
    if broken {
        return causes;
    }
    let held: Vec<IpFamily> = ips.iter().filter_map(|ip| Some(IpFamily::of(ip.parse().ok()?))).collect();
    if ips.len() > 1 && held.iter().all(|family| held.first() == Some(family)) {
        causes.push(Cause::invalid(field, &all, "may specify no more than one IP for each IP family"));
    }
    for (i, ((ip, own), wanted)) in ips.iter().zip(&held).zip(&families).enumerate() {
        if own.as_str() != wanted && FAMILIES.contains(&wanted.as_str()) {
            let detail = format!("expected an {wanted} value as indicated by `ipFamilies[{i}]`");
            causes.push(Cause::invalid(format!("{field}[{i}]"), &json!(ip), &detail));
        }
    }
    causes
}

fn family_words(value: &Value, families: &[String]) -> Vec<Cause> {
    let (mut causes, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, family) in families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{i}]");
        if !FAMILIES.contains(&family.as_str()) {
            causes.push(Cause::not_supported(&field, &json!(family), &FAMILIES));
        }
        if !seen.insert(family) {
            causes.push(Cause::duplicate(&field, &json!(family)));
        }
        if enough(&causes) {
            break;
        }
    }
    let policy = given(value, "/spec/ipFamilyPolicy").filter(|policy| !POLICIES.contains(policy));
    causes.extend(policy.map(|policy| Cause::not_supported(POLICY_FIELD, &policy.into(), &POLICIES)));
    causes
}

/// Each entry must be an address, or the only one `None`.
fn ip_list(ips: &[String], all: &Value, stored: &[String]) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, ip) in ips.iter().enumerate() {
        if enough(&causes) {
            break;
        }
        if i == 0 && ip == "None" {
            if ips.len() > 1 {
                causes.push(Cause::invalid("spec.clusterIPs", all, "'None' must be the first and only value"));
            }
        } else if !stored.contains(ip) {
            causes.extend(ip_faults(&format!("spec.clusterIPs[{i}]"), ip));
        }
    }
    causes
}
