//! Variables as text, each form quoted by the rules of who reads it.

use super::{EnvError, Variable};

/// Who reads the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// export lines for a shell
    #[default]
    Sh,
    /// for EnvironmentFile= of a systemd unit
    Systemd,
    /// for --env-file of docker and podman
    Docker,
    /// one object of strings
    Json,
}

impl Format {
    /// The text, or which variable of which Service its reader would misread.
    pub fn text(self, variables: &[Variable]) -> Result<String, EnvError> {
        if self == Format::Json {
            return Ok(json(variables));
        }
        variables.iter().map(|variable| self.line(variable)).collect()
    }

    fn line(self, variable: &Variable) -> Result<String, EnvError> {
        let Variable { name, value, .. } = variable;
        let is_name = !name.starts_with(|c: char| c.is_ascii_digit());
        match self {
            Format::Sh if !is_name => Err(name_in(variable, "a shell")),
            Format::Systemd if !is_name => Err(name_in(variable, "systemd")),
            Format::Sh if value.contains('\0') => Err(value_in(variable, "a zero byte", "a shell")),
            // systemd drops such assignments with a line in the journal.
            Format::Systemd if value.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n')) => {
                Err(value_in(variable, "a control character", "systemd"))
            }
            // There is no quoting: a line is a variable, and a trailing CR is not part of it.
            Format::Docker if value.contains(['\n', '\r', '\0']) => {
                Err(value_in(variable, "a line break or zero byte", "docker's --env-file"))
            }
            Format::Sh => Ok(format!("export {name}='{}'\n", value.replace('\'', "'\\''"))),
            Format::Systemd => Ok(format!("{name}=\"{}\"\n", systemd_escaped(value))),
            Format::Docker | Format::Json => Ok(format!("{name}={value}\n")),
        }
    }
}

/// What a backslash makes literal between systemd's double quotes.
fn systemd_escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// An object whose members keep their order; serde_json's own would sort them.
fn json(variables: &[Variable]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let member = |variable: &Variable| format!("    {}: {}", quoted(&variable.name), quoted(&variable.value));
    let members: Vec<String> = variables.iter().map(member).collect();
    if members.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", members.join(",\n")) }
}

fn name_in(variable: &Variable, reader: &'static str) -> EnvError {
    EnvError::NameIn { service: variable.service.clone(), name: variable.name.clone(), reader }
}

fn value_in(variable: &Variable, what: &'static str, reader: &'static str) -> EnvError {
    EnvError::ValueIn { service: variable.service.clone(), name: variable.name.clone(), what, reader }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> [Variable; 1] {
        [Variable { name: name.to_owned(), value: value.to_owned(), service: "web".to_owned() }]
    }

    #[test]
    fn each_reader_gets_its_own_quotes() {
        let odd = of("A", "it's \"$x\" `y` \\");
        assert_eq!(Format::Sh.text(&odd).unwrap(), "export A='it'\\''s \"$x\" `y` \\'\n");
        assert_eq!(Format::Systemd.text(&odd).unwrap(), "A=\"it's \\\"\\$x\\\" \\`y\\` \\\\\"\n");
        assert_eq!(Format::Docker.text(&odd).unwrap(), "A=it's \"$x\" `y` \\\n");
        assert_eq!(Format::Json.text(&odd).unwrap(), "{\n    \"A\": \"it's \\\"$x\\\" `y` \\\\\"\n}\n");
    }

    #[test]
    fn nothing_gives_an_empty_text_or_object() {
        for format in [Format::Sh, Format::Systemd, Format::Docker] {
            assert_eq!(format.text(&[]).unwrap(), "");
        }
        assert_eq!(Format::Json.text(&[]).unwrap(), "{}\n");
    }

    #[test]
    fn a_name_with_a_leading_digit_is_refused_where_it_would_break_the_reader() {
        let digit = of("1ABC_PORT", "x");
        for format in [Format::Sh, Format::Systemd] {
            let said = format.text(&digit).unwrap_err().to_string();
            assert!(said.contains("\"web\"") && said.contains("1ABC_PORT"), "{said}");
        }
        assert_eq!(Format::Docker.text(&digit).unwrap(), "1ABC_PORT=x\n");
        assert!(Format::Json.text(&digit).is_ok());
    }

    #[test]
    fn a_value_its_reader_would_misread_is_refused_by_name() {
        let lines = of("A", "one\ntwo");
        let said = Format::Docker.text(&lines).unwrap_err().to_string();
        assert!(said.contains("\"web\"") && said.contains("of A") && said.contains("line break"), "{said}");
        assert_eq!(Format::Sh.text(&lines).unwrap(), "export A='one\ntwo'\n");
        assert_eq!(Format::Systemd.text(&lines).unwrap(), "A=\"one\ntwo\"\n");
        assert!(Format::Docker.text(&of("A", "one\r")).is_err());
        assert!(Format::Systemd.text(&of("A", "\u{1b}[m")).is_err());
    }
}
