//! IP families of a Service: checks and defaults before addresses are allocated
//! (spec/service.md sections 4.1 and 4.2). A fault here is answered alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::Scene;
use super::super::read::{present, text, texts};
use super::{is_external_name, is_headless, set_spec};
use crate::model::{Cause, IpFamily, name};

const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// Checks the lists and fills `ipFamilies` and `ipFamilyPolicy`.
pub(super) fn settle(scene: &Scene<'_>, old: Option<&Value>, value: &mut Value) -> Result<(), Vec<Cause>> {
    if is_external_name(value) {
        return Ok(());
    }
    let old = old.filter(|old| !is_external_name(old));
    let faults = lists(value);
    if !faults.is_empty() {
        return Err(faults);
    }
    let cluster: Vec<&str> =
        scene.rules.service_ranges.iter().map(|range| IpFamily::of(range.network()).as_str()).collect();
    let selectorless = is_headless(value) && !present(value, "/spec/selector");
    let old_policy = old.map(|old| text(old, "/spec/ipFamilyPolicy")).unwrap_or_default();
    let mut policy = text(value, "/spec/ipFamilyPolicy").to_owned();
    if policy.is_empty() {
        policy = match old_policy {
            "" if selectorless => "RequireDualStack",
            "" => "SingleStack",
            kept => kept,
        }
        .to_owned();
    }
    trim(old, &policy, value);
    let mut families = texts(value, "/spec/ipFamilies");
    let given = families.len();
    let ips = texts(value, "/spec/clusterIPs");
    for ip in ips.iter().skip(given).filter_map(|ip| name::strict_ip(ip)) {
        families.push(IpFamily::of(ip).as_str().to_owned());
    }
    if !selectorless {
        configured(&cluster, &families, given, value)?;
        fits(&cluster, &families, &ips, &policy, old, value)?;
    }
    if families.is_empty() {
        families.extend(cluster.first().map(|family| (*family).to_owned()));
    }
    let as_before = old.is_some_and(|old| old_policy == policy && texts(old, "/spec/ipFamilies") == families);
    let both = cluster.len() > 1 || selectorless;
    if policy != "SingleStack" && families.len() == 1 && both && !as_before {
        families.extend(FAMILIES.iter().find(|f| !families.contains(&(**f).to_owned())).map(|f| (*f).to_owned()));
    }
    set_spec(value, "ipFamilies", json!(families));
    set_spec(value, "ipFamilyPolicy", policy.into());
    Ok(())
}

/// A change to SingleStack alone gives up the second family.
fn trim(old: Option<&Value>, policy: &str, value: &mut Value) {
    let Some(old) = old.filter(|old| policy == "SingleStack" && text(old, "/spec/ipFamilyPolicy") != policy) else {
        return;
    };
    for member in ["clusterIPs", "ipFamilies"] {
        let pointer = format!("/spec/{member}");
        let mut items = texts(value, &pointer);
        if items.len() > 1 && items == texts(old, &pointer) {
            items.truncate(1);
            set_spec(value, member, json!(items));
        }
    }
}

/// The lists in themselves, whatever the cluster has.
fn lists(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let families = texts(value, "/spec/ipFamilies");
    let mut seen = BTreeSet::new();
    for (i, family) in families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{i}]");
        if !FAMILIES.contains(&family.as_str()) {
            causes.push(Cause::not_supported(&field, &json!(family), &FAMILIES));
        }
        if !seen.insert(family) {
            causes.push(Cause::duplicate(&field, &json!(family)));
        }
    }
    let policy = text(value, "/spec/ipFamilyPolicy");
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        causes.push(Cause::not_supported("spec.ipFamilyPolicy", &policy.into(), &POLICIES));
    }
    let ips = texts(value, "/spec/clusterIPs");
    let (first, all) = (text(value, "/spec/clusterIP"), json!(ips));
    let Some(primary) = ips.first() else { return causes };
    if first.is_empty() {
        causes.push(Cause::invalid("spec.clusterIPs", &all, "must be empty when `clusterIP` is not specified"));
        return causes;
    }
    if primary != first {
        causes.push(Cause::invalid("spec.clusterIPs", &all, "first value must match `clusterIP`"));
    }
    if ips.len() > 2 {
        causes.push(Cause::invalid("spec.clusterIPs", &all, "may only hold up to 2 values"));
    }
    if ips.len() > 1 && ips.iter().any(|ip| ip == "None") {
        causes.push(Cause::invalid("spec.clusterIPs", &all, "'None' must be the first and only value"));
        return causes;
    }
    let mut held = BTreeSet::new();
    for (i, ip) in ips.iter().enumerate().filter(|(_, ip)| *ip != "None") {
        let field = format!("spec.clusterIPs[{i}]");
        let Some(addr) = name::strict_ip(ip) else {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.push(Cause::invalid(&field, &json!(ip), detail));
            continue;
        };
        let family = IpFamily::of(addr);
        if !held.insert(family) {
            let detail = "may specify no more than one IP for each IP family";
            causes.push(Cause::invalid("spec.clusterIPs", &all, detail));
        }
        if families.get(i).is_some_and(|wanted| wanted != family.as_str()) {
            let wanted = families.get(i).cloned().unwrap_or_default();
            causes.push(Cause::invalid(
                &field,
                &json!(ip),
                &format!("expected an {wanted} value as indicated by `ipFamilies[{i}]`"),
            ));
        }
    }
    causes
}

fn configured(cluster: &[&str], families: &[String], given: usize, value: &Value) -> Result<(), Vec<Cause>> {
    let ips = texts(value, "/spec/clusterIPs");
    let mut causes = Vec::new();
    for (i, family) in families.iter().enumerate().filter(|(_, family)| !cluster.contains(&family.as_str())) {
        if i < given {
            let field = format!("spec.ipFamilies[{i}]");
            causes.push(Cause::invalid(field, &json!(family), "not configured on this cluster"));
        } else {
            let field = format!("spec.clusterIPs[{i}]");
            let detail = format!("{family} is not configured on this cluster");
            causes.push(Cause::invalid(field, &json!(ips.get(i)), &detail));
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

/// The policy must allow the lists, and the cluster the policy.
fn fits(
    cluster: &[&str],
    families: &[String],
    ips: &[String],
    policy: &str,
    old: Option<&Value>,
    value: &Value,
) -> Result<(), Vec<Cause>> {
    let refuse = |detail: &str| Err(vec![Cause::invalid("spec.ipFamilyPolicy", &policy.into(), detail)]);
    if policy == "RequireDualStack" && cluster.len() < 2 {
        return refuse("this cluster is not configured for dual-stack services");
    }
    if policy == "SingleStack" && (families.len() > 1 || ips.len() > 1) {
        return refuse(
            "may be 'SingleStack' only when one family or cluster IP is specified; must be 'PreferDualStack' or 'RequireDualStack' when multiple are",
        );
    }
    let Some(old) = old else { return Ok(()) };
    let had_two = texts(old, "/spec/ipFamilies").len() > 1 && policy == text(old, "/spec/ipFamilyPolicy");
    let one_family = texts(value, "/spec/ipFamilies").len() == 1;
    let one_ip = ips.len() == 1 && !is_headless(value);
    if had_two && policy != "SingleStack" && (one_family || one_ip) {
        return refuse("must be 'SingleStack' to release the secondary cluster IP");
    }
    Ok(())
}
