//! The query string: decoded pairs, and the options of each verb parsed from
//! them with Kubernetes' refusals (spec/api.md sections 5 to 8). Pure.

use serde_json::Value;

use super::super::status::ApiError;
use crate::model::Cause;

/// Longest manager name.
const MANAGER_BYTES_MAX: usize = 128;

/// The pairs of a query string, decoded, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(raw: &str) -> Query {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name, true), percent_decoded(value, true))
        });
        Query { pairs: pairs.collect() }
    }

    /// The first value of a name; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the name stands there at all, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n == name)
    }

    /// A boolean the way Kubernetes reads them: present without a value is true,
    /// and so is everything but `false` and `0`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let (_, value) = self.pairs.iter().find(|(n, _)| n == name)?;
        Some(!matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// The name that a field selector asks for, if it asks for one.
    pub(super) fn selected_name(&self) -> Option<&str> {
        let terms = self.get("fieldSelector")?.split(',');
        let names = terms.filter_map(|term| term.trim().strip_prefix("metadata.name="));
        names.map(|name| name.strip_prefix('=').unwrap_or(name)).find(|name| !name.is_empty())
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))
    }

    /// A resource version: an unsigned integer.
    pub(super) fn revision(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get("resourceVersion") else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            ApiError::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        })
    }
}

/// Decodes `%XX` (and `+` as a space in queries). What is not valid UTF-8
/// afterwards is replaced, so it matches nothing.
pub(super) fn percent_decoded(text: &str, plus: bool) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = if byte == b'%' { hex(bytes.get(at + 1)).zip(hex(bytes.get(at + 2))) } else { None };
        match (byte, escaped) {
            (_, Some((high, low))) => {
                out.push(high * 16 + low);
                at += 3;
                continue;
            }
            (b'+', None) if plus => out.push(b' '),
            (other, None) => out.push(other),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// How unknown and duplicate fields are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug)]
pub(super) struct WriteOptions {
    pub(super) dry_run: bool,
    /// `fieldManager`, or the client's name.
    pub(super) manager: String,
    pub(super) validation: Validation,
    pub(super) force: bool,
}

impl WriteOptions {
    /// `options` is `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    pub(super) fn parse(query: &Query, options: &str, agent: &str, apply: bool) -> Result<WriteOptions, ApiError> {
        let mut causes = Vec::new();
        let validation = match query.get("fieldValidation") {
            None | Some("" | "Warn") => Validation::Warn,
            Some("Ignore") => Validation::Ignore,
            Some("Strict") => Validation::Strict,
            Some(other) => {
                causes.push(Cause::not_supported("fieldValidation", &other.into(), &["", "Ignore", "Strict", "Warn"]));
                Validation::Warn
            }
        };
        let manager = query.get("fieldManager");
        if let Some(name) = manager {
            if name.len() > MANAGER_BYTES_MAX {
                causes.push(Cause::too_long("fieldManager", MANAGER_BYTES_MAX));
            } else if name.chars().any(char::is_control) {
                causes.push(Cause::invalid("fieldManager", &name.into(), "should only contain printable characters"));
            }
        } else if apply {
            causes.push(Cause::required("fieldManager", "is required for apply patch"));
        }
        let force = query.flag("force");
        if options == "PatchOptions" && force.is_some() && !apply {
            causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
        }
        let dry_run = dry_run(query.get("dryRun").map(Value::from).as_slice(), &mut causes);
        if !causes.is_empty() {
            return Err(ApiError::invalid_options(options, &causes));
        }
        Ok(WriteOptions {
            dry_run,
            manager: manager.unwrap_or(agent).to_owned(),
            validation,
            force: force.unwrap_or(false),
        })
    }
}

fn dry_run(values: &[Value], causes: &mut Vec<Cause>) -> bool {
    if values.iter().any(|value| value.as_str() != Some("All")) {
        causes.push(Cause::not_supported("dryRun", &values.into(), &["All"]));
    }
    !values.is_empty()
}

/// `propagationPolicy`: what becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// Options of delete: of the query, or of a `DeleteOptions` body, which wins.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    pub(super) dry_run: bool,
    pub(super) grace_seconds: Option<i64>,
    pub(super) propagation: Option<Propagation>,
    pub(super) uid: Option<String>,
    pub(super) revision: Option<String>,
}

impl DeleteOptions {
    pub(super) fn parse(query: &Query, body: Option<&Value>) -> Result<DeleteOptions, ApiError> {
        let mut causes = Vec::new();
        let mut options = DeleteOptions::default();
        let (policy, orphan);
        if let Some(body) = body {
            options.grace_seconds = body.get("gracePeriodSeconds").and_then(Value::as_i64);
            policy = body.get("propagationPolicy").and_then(Value::as_str).map(str::to_owned);
            orphan = body.get("orphanDependents").and_then(Value::as_bool);
            let text = |path| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
            options.uid = text("/preconditions/uid");
            options.revision = text("/preconditions/resourceVersion");
            let values = body.get("dryRun").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            options.dry_run = dry_run(values, &mut causes);
        } else {
            options.grace_seconds = query.integer("gracePeriodSeconds")?;
            policy = query.get("propagationPolicy").map(str::to_owned);
            orphan = query.flag("orphanDependents");
            options.dry_run = dry_run(query.get("dryRun").map(Value::from).as_slice(), &mut causes);
        }
        if options.grace_seconds.is_some_and(|seconds| seconds < 0) {
            // Kubernetes reads every negative period as one second.
            options.grace_seconds = Some(1);
        }
        if policy.is_some() && orphan.is_some() {
            causes.push(Cause::invalid(
                "propagationPolicy",
                &policy.clone().into(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        options.propagation = match policy.as_deref() {
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                causes.push(Cause::not_supported(
                    "propagationPolicy",
                    &other.into(),
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
                None
            }
            None => orphan.map(|keep| if keep { Propagation::Orphan } else { Propagation::Background }),
        };
        if causes.is_empty() { Ok(options) } else { Err(ApiError::invalid_options("DeleteOptions", &causes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_pair_by_pair() {
        let query = Query::parse("a=b%2Fc+d&watch&limit=5&e=%zz");
        assert_eq!(query.get("a"), Some("b/c d"));
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.integer("limit").unwrap(), Some(5));
        assert_eq!(query.get("e"), Some("%zz"));
        assert_eq!(Query::parse("limit=abc").integer("limit").unwrap_err().code, 400);
    }

    #[test]
    fn an_apply_needs_its_manager_and_only_an_apply_may_force() {
        let refused = WriteOptions::parse(&Query::parse(""), "PatchOptions", "kubectl", true).unwrap_err();
        let details = refused.details.unwrap();
        assert_eq!((refused.code, details.kind.as_str(), details.group.as_str()), (422, "PatchOptions", "meta.k8s.io"));
        assert_eq!(details.causes[0].field, "fieldManager");
        let refused = WriteOptions::parse(&Query::parse("force=true"), "PatchOptions", "x", false).unwrap_err();
        assert_eq!(refused.details.unwrap().causes[0].field, "force");
    }

    #[test]
    fn the_body_of_a_delete_wins_over_the_query() {
        let body = serde_json::json!({"propagationPolicy": "Background"});
        let options = DeleteOptions::parse(&Query::parse("propagationPolicy=Orphan"), Some(&body)).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Background));
        let both = serde_json::json!({"propagationPolicy": "Background", "orphanDependents": true});
        assert_eq!(DeleteOptions::parse(&Query::default(), Some(&both)).unwrap_err().code, 422);
    }
}
