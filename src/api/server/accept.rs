//! Which form an answer takes, from the Accept header (spec/api.md section 3). Pure.

use super::super::status::ApiError;

/// Media types an answer can have.
pub(super) const JSON: &str = "application/json";
/// YAML.
pub(super) const YAML: &str = "application/yaml";
/// The Kubernetes protobuf envelope.
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What a refusal names.
pub(super) const ACCEPTED: [&str; 3] = [JSON, YAML, PROTOBUF];

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// What an answer shows of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The object.
    Object,
    /// `as=Table`: rows for people.
    Table,
    /// `as=PartialObjectMetadata` or `…List`: metadata only.
    Metadata,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) encoding: Encoding,
    pub(super) form: Form,
    /// Indented JSON, for people with curl.
    pub(super) pretty: bool,
}

impl Accepted {
    pub(super) const JSON: Accepted = Accepted { encoding: Encoding::Json, form: Form::Object, pretty: false };
}

/// One entry of an Accept list: the media type and its parameters.
pub(super) struct Entry<'a> {
    pub(super) media: &'a str,
    parameters: &'a str,
}

impl<'a> Entry<'a> {
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    }
}

/// The entries of an Accept header, best first as clients write them.
pub(super) fn entries(accept: &str) -> impl Iterator<Item = Entry<'_>> {
    accept.split(',').map(|entry| {
        let (media, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        Entry { media: media.trim(), parameters }
    })
}

/// Negotiates. JSON or YAML is chosen whenever the list holds it; protobuf only
/// when the client takes nothing else.
pub(super) fn negotiate(accept: Option<&str>, pretty: bool) -> Result<Accepted, ApiError> {
    let text = accept.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("*/*");
    let mut protobuf = None;
    for entry in entries(text) {
        let encoding = match entry.media {
            "*/*" | "application/*" | JSON => Encoding::Json,
            YAML | "application/x-yaml" | "text/yaml" => Encoding::Yaml,
            PROTOBUF => Encoding::Protobuf,
            _ => continue,
        };
        let meta_v1 = entry.parameter("g") == Some("meta.k8s.io") && entry.parameter("v") == Some("v1");
        let form = match entry.parameter("as") {
            None => Form::Object,
            Some("Table") if meta_v1 => Form::Table,
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if meta_v1 => Form::Metadata,
            Some(_) => continue,
        };
        let accepted = Accepted { encoding, form, pretty };
        if encoding != Encoding::Protobuf {
            return Ok(accepted);
        }
        if form == Form::Object && protobuf.is_none() {
            protobuf = Some(accepted);
        }
    }
    protobuf.ok_or_else(|| ApiError::not_acceptable(&ACCEPTED))
}

/// Whether answers are indented: asked for, or the client is one people type into.
pub(super) fn pretty(asked: Option<bool>, agent: &str) -> bool {
    asked.unwrap_or_else(|| ["curl", "Wget", "Mozilla"].iter().any(|name| agent.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_wins_over_protobuf_and_tables_over_plain() {
        let typed = negotiate(Some("application/vnd.kubernetes.protobuf,application/json"), false).unwrap();
        assert_eq!(typed, Accepted::JSON);
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(Some(kubectl), false).unwrap().form, Form::Table);
        let only = negotiate(Some("application/vnd.kubernetes.protobuf"), false).unwrap();
        assert_eq!(only.encoding, Encoding::Protobuf);
        assert_eq!(negotiate(None, false).unwrap(), Accepted::JSON);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        assert_eq!(negotiate(Some("application/xml"), false).unwrap_err().code, 406);
        assert_eq!(negotiate(Some("application/json;as=Chart;v=v1;g=meta.k8s.io"), false).unwrap_err().code, 406);
    }
}
