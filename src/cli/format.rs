//! `-o`: how objects are printed.

use serde_json::Value;

use super::exit::{Code, Failure};
use super::jsonpath::{Template, go_text};
use super::tabs;

/// Bytes of a template in a file: what a person writes is far below.
const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;

/// `-o`, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Format {
    /// Columns.
    #[default]
    Table,
    /// Columns, the less important ones too.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `TYPE/NAME`, a line each.
    Name,
    /// What a template makes of the object.
    JsonPath(Template, String),
    /// What a template finds, as a JSON list.
    JsonPathJson(Template, String),
    /// Columns the user chose.
    Custom(CustomColumns),
}

/// Words of `-o` that take an argument behind `=`.
const WITH_ARGUMENT: [&str; 5] =
    ["jsonpath", "jsonpath-as-json", "jsonpath-file", "custom-columns", "custom-columns-file"];

impl Format {
    /// Understands `-o` and `--template`.
    pub(super) fn parse(output: Option<&str>, template: Option<&str>) -> Result<Format, Failure> {
        let usage = |message: String| Err(Failure::new(Code::Usage, message));
        let Some(output) = output.filter(|text| !text.is_empty()) else {
            return match template {
                Some(_) => usage(no_go_templates()),
                None => Ok(Format::Table),
            };
        };
        let (word, argument) = match output.split_once('=') {
            Some((word, argument)) if is_word(word) => (word, Some(argument)),
            _ => (output, None),
        };
        let argument = argument.or(template).filter(|text| !text.is_empty());
        match (word, argument) {
            ("wide", None) => Ok(Format::Wide),
            ("yaml", None) => Ok(Format::Yaml),
            ("json", None) => Ok(Format::Json),
            ("name", None) => Ok(Format::Name),
            ("custom-columns" | "custom-columns-file", None) => {
                usage(format!("error: {word} format specified but no custom columns given"))
            }
            (word, None) if WITH_ARGUMENT.contains(&word) => {
                usage("error: template format specified but no template given".to_owned())
            }
            ("jsonpath", Some(text)) => Ok(Format::JsonPath(path(text)?, text.to_owned())),
            ("jsonpath-as-json", Some(text)) => Ok(Format::JsonPathJson(path(text)?, text.to_owned())),
            ("jsonpath-file", Some(file)) => {
                let text = file_text(file)?;
                Ok(Format::JsonPath(path(&text)?, text))
            }
            ("custom-columns", Some(text)) => CustomColumns::parse(text).map(Format::Custom),
            ("custom-columns-file", Some(file)) => CustomColumns::of_lines(&file_text(file)?).map(Format::Custom),
            ("go-template" | "go-template-file" | "template" | "templatefile", _) => usage(no_go_templates()),
            _ => usage(format!(
                "error: unable to match a printer suitable for the output format {output:?}, allowed formats are: custom-columns,custom-columns-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,wide,yaml"
            )),
        }
    }

    /// Whether the server's table is wanted.
    pub(super) fn is_table(&self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }
}

fn is_word(word: &str) -> bool {
    WITH_ARGUMENT.contains(&word) || matches!(word, "go-template" | "go-template-file" | "template" | "templatefile")
}

fn no_go_templates() -> String {
    "error: Go templates (-o go-template, --template) are not supported here: use -o jsonpath or -o custom-columns"
        .to_owned()
}

fn path(text: &str) -> Result<Template, Failure> {
    Template::parse(text)
        .map_err(|error| Failure::new(Code::Usage, format!("error: error parsing jsonpath {text}, {error}")))
}

fn file_text(name: &str) -> Result<String, Failure> {
    use std::io::Read as _;
    let fault = |error: std::io::Error| Failure::from_error(Code::Io, name, &error);
    let mut text = String::new();
    std::fs::File::open(name).map_err(fault)?.take(TEMPLATE_BYTES_MAX).read_to_string(&mut text).map_err(fault)?;
    Ok(text)
}

/// What a template makes of a value, with kubectl's words for its slips.
pub(super) fn filled(template: &Template, text: &str, value: &Value) -> Result<String, Failure> {
    template.text(value).map_err(|error| failed(text, &error))
}

/// What a template finds, as kubectl's `jsonpath-as-json` prints it.
pub(super) fn filled_json(template: &Template, text: &str, value: &Value) -> Result<Value, Failure> {
    let found = template.values(value).map_err(|error| failed(text, &error))?;
    Ok(Value::Array(found.into_iter().map(std::borrow::Cow::into_owned).collect()))
}

fn failed(text: &str, error: &str) -> Failure {
    let message = format!("error: error executing jsonpath {text:?}: Error executing template: {error}");
    Failure::new(Code::Refused, message)
}

/// `-o custom-columns=NAME:.metadata.name,…`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CustomColumns(Vec<(String, Template)>);

impl CustomColumns {
    /// `HEADER:PATH,HEADER:PATH`
    fn parse(text: &str) -> Result<CustomColumns, Failure> {
        let columns = text.split(',').map(|part| {
            let wrong = format!("error: unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>");
            let (header, path) = part.split_once(':').ok_or_else(|| Failure::new(Code::Usage, wrong))?;
            column(header, path)
        });
        columns.collect::<Result<_, _>>().map(CustomColumns)
    }

    /// A line of headers over a line of paths.
    fn of_lines(text: &str) -> Result<CustomColumns, Failure> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let headers: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        let paths: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        if headers.len() != paths.len() || headers.is_empty() {
            let message = format!(
                "error: number of headers ({}) and field specifications ({}) don't match",
                headers.len(),
                paths.len()
            );
            return Err(Failure::new(Code::Usage, message));
        }
        headers
            .iter()
            .zip(paths)
            .map(|(header, path)| column(header, path))
            .collect::<Result<_, _>>()
            .map(CustomColumns)
    }

    /// The rows of some objects, with the headers over them when asked.
    pub(super) fn render(&self, objects: &[Value], header: bool) -> Result<String, Failure> {
        let mut text = String::new();
        if header {
            text.push_str(&self.0.iter().map(|(header, _)| header.as_str()).collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
        for object in objects {
            let cells = self.0.iter().map(|(_, template)| {
                let found =
                    template.values(object).map_err(|error| Failure::new(Code::Refused, format!("error: {error}")))?;
                let words: Vec<String> = found.iter().map(|value| go_text(value)).collect();
                Ok(if words.is_empty() { "<none>".to_owned() } else { tabs::harmless(&words.join(",")).into_owned() })
            });
            text.push_str(&cells.collect::<Result<Vec<_>, Failure>>()?.join("\t"));
            text.push('\n');
        }
        Ok(tabs::align(&text, 6, 3))
    }
}

fn column(header: &str, path: &str) -> Result<(String, Template), Failure> {
    let template = Template::relaxed(path).map_err(|error| Failure::new(Code::Usage, format!("error: {error}")))?;
    Ok((header.to_owned(), template))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_format_is_known_by_kubectls_word() {
        assert_eq!(Format::parse(None, None).unwrap(), Format::Table);
        assert_eq!(Format::parse(Some("wide"), None).unwrap(), Format::Wide);
        assert!(Format::parse(Some("jsonpath={.a,}"), None).is_err());
        assert!(matches!(Format::parse(Some("jsonpath={.a}"), None).unwrap(), Format::JsonPath(..)));
        assert!(matches!(Format::parse(Some("jsonpath"), Some("{.a}")).unwrap(), Format::JsonPath(..)));
        for (output, words) in [
            ("go-template={{.a}}", "Go templates"),
            ("foo", "output format \"foo\""),
            ("jsonpath", "no template given"),
            ("custom-columns", "no custom columns given"),
            ("custom-columns=A", "expected <header>:<json-path-expr>"),
        ] {
            let failure = Format::parse(Some(output), None).unwrap_err();
            assert_eq!(failure.code, Code::Usage);
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }

    #[test]
    fn custom_columns_join_what_they_find() {
        let columns = CustomColumns::parse("NAME:.metadata.name,P:.ports[*].port,NO:.x").unwrap();
        let object = json!({"metadata": {"name": "a"}, "ports": [{"port": 80}, {"port": 81}]});
        assert_eq!(columns.render(&[object], true).unwrap(), "NAME   P       NO\na      80,81   <none>\n");
        assert!(CustomColumns::of_lines("A B\n.a\n").is_err());
        assert!(CustomColumns::of_lines("A B\n.a  .b\n").is_ok());
    }
}
