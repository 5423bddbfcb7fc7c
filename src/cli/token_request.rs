//! `edgesvc create token`: a token of a ServiceAccount, as `kubectl create token`
//! asks for one and prints it.

use std::io::IsTerminal as _;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Ask, Client, JSON};
use super::create::Options;
use super::exit::{Code, Failure};
use super::format::Format;
use super::output;
use super::resource::escaped;

/// Flags of `create token`.
#[derive(Clone, Debug, Default, Args, PartialEq, Eq)]
#[command(next_help_heading = "Of create token")]
pub struct TokenFlags {
    /// How long it is good, for instance 20m or 24h [default: an hour]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub duration: Option<Duration>,
    /// Who may take it for good, if not this API; may be repeated
    #[arg(long, value_name = "NAME")]
    pub audience: Vec<String>,
    /// It ends with a Node, Pod or Secret
    #[arg(long, value_name = "KIND")]
    pub bound_object_kind: Option<String>,
    /// The name of that object
    #[arg(long, value_name = "NAME")]
    pub bound_object_name: Option<String>,
    /// Its uid [default: whatever it is]
    #[arg(long, value_name = "UID")]
    pub bound_object_uid: Option<String>,
}

impl TokenFlags {
    /// The wish, or what is wrong with the flags, in kubectl's words.
    fn spec(&self) -> Result<Value, &'static str> {
        if self.audience.iter().any(String::is_empty) {
            return Err("--audience must not be an empty string");
        }
        let mut spec = json!({"audiences": self.audience});
        let Some(members) = spec.as_object_mut() else { return Ok(spec) };
        if let Some(duration) = self.duration.filter(|duration| !duration.is_zero()) {
            members.insert("expirationSeconds".to_owned(), duration.as_secs().into());
        }
        match (self.bound_object_kind.as_deref(), &self.bound_object_name) {
            (None, Some(_)) => return Err("--bound-object-name can only be set if --bound-object-kind is provided"),
            (None, None) if self.bound_object_uid.is_some() => {
                return Err("--bound-object-uid can only be set if --bound-object-kind is provided");
            }
            (None, None) => {}
            (Some(kind @ ("Node" | "Pod" | "Secret")), Some(name)) => {
                let uid = self.bound_object_uid.as_deref().unwrap_or_default();
                let reference = json!({"kind": kind, "apiVersion": "v1", "name": name, "uid": uid});
                members.insert("boundObjectRef".to_owned(), reference);
            }
            (Some("Node" | "Pod" | "Secret"), None) => {
                return Err("--bound-object-name is required if --bound-object-kind is provided");
            }
            (Some(_), _) => return Err("supported --bound-object-kind values are Node, Pod, Secret"),
        }
        Ok(spec)
    }
}

/// Asks for a token and prints it; the whole answer in the format asked for.
pub(super) async fn create(
    client: &mut Client,
    name: &str,
    flags: &TokenFlags,
    options: &Options,
) -> Result<(), Failure> {
    let spec = flags.spec().map_err(|why| Failure::new(Code::Usage, format!("error: {why}")))?;
    let namespace = options.namespace.as_deref().unwrap_or_else(|| client.namespace());
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", escaped(namespace), escaped(name));
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let answer = client.ask(Ask::with(Method::POST, &path, JSON, Bytes::from(body.to_string()))).await?;
    output::warn(&answer.warnings);
    let token = answer.value.pointer("/status/token").and_then(Value::as_str).unwrap_or_default();
    match &options.format {
        // Into a file goes the token and nothing else.
        Format::Table | Format::Wide if std::io::stdout().is_terminal() => output::line(token),
        Format::Table | Format::Wide => output::print(token),
        Format::Name => output::line(&format!("tokenrequest.authentication.k8s.io/{name}")),
        format => output::print(&output::rendered(&answer.value, std::slice::from_ref(&answer.value), format, true)?),
    }
}

/// A time as Go writes them, to the second: `1h30m`; 0 leaves it to the server.
fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 20m, 24h or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut seconds, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let unit = behind.chars().next().ok_or_else(wrong)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        seconds = part.and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        rest = behind.get(unit.len_utf8()..).unwrap_or_default();
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_written_as_go_writes_it() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("20m", 1_200), ("1h30m", 5_400), ("24h", 86_400)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "10", "h", "-1h", "1d", "1.5h", "1h ", "99999999999999999999h", "9999999999999999h"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_are_checked_as_kubectl_does() {
        let bound = |kind: &str, name: &str| TokenFlags {
            bound_object_kind: (!kind.is_empty()).then(|| kind.to_owned()),
            bound_object_name: (!name.is_empty()).then(|| name.to_owned()),
            ..TokenFlags::default()
        };
        assert_eq!(TokenFlags::default().spec(), Ok(json!({"audiences": []})));
        assert_eq!(bound("Pod", "p").spec().unwrap()["boundObjectRef"]["name"], "p");
        for (flags, said) in [
            (bound("", "p"), "can only be set"),
            (bound("Pod", ""), "is required"),
            (bound("ConfigMap", "c"), "Node, Pod, Secret"),
        ] {
            assert!(flags.spec().unwrap_err().contains(said), "{flags:?}");
        }
    }
}
