//! JSON values as YAML text, the way `kubectl -o yaml` prints them: sorted keys,
//! two spaces, lists not indented below their key, multi-line texts as blocks,
//! and quotes wherever any YAML reader could take a string for something else.

use serde_json::Value;

/// The value as YAML, ending in a line break.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => block(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0),
        _ => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

/// A mapping or a list that is not empty, each entry on its own line.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) => {
            for (at, (key, member)) in members.iter().enumerate() {
                // The first entry of a list item stands on the line of its dash.
                if at > 0 || !out.ends_with("- ") {
                    pad(out, indent);
                }
                text(out, key, None);
                out.push(':');
                below_key(out, member, indent);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 || !out.ends_with("- ") {
                    pad(out, indent);
                }
                out.push_str("- ");
                match item {
                    Value::Object(members) if !members.is_empty() => block(out, item, indent + 2),
                    Value::Array(items) if !items.is_empty() => block(out, item, indent + 2),
                    _ => {
                        scalar(out, item, indent);
                        out.push('\n');
                    }
                }
            }
        }
        _ => scalar(out, value, indent),
    }
}

fn below_key(out: &mut String, member: &Value, indent: usize) {
    match member {
        Value::Object(members) if !members.is_empty() => {
            out.push('\n');
            block(out, member, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, member, indent);
        }
        _ => {
            out.push(' ');
            scalar(out, member, indent);
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(word) => out.push_str(if *word { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(words) => text(out, words, Some(indent)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A string, plain where nobody can misread it; a block only where `indent` is known.
fn text(out: &mut String, words: &str, indent: Option<usize>) {
    if let Some(indent) = indent.filter(|_| fits_block(words)) {
        literal(out, words, indent + 2);
    } else if is_plain(words) {
        out.push_str(words);
    } else if words.chars().any(|c| c.is_control() || is_unprintable(c)) || words.is_empty() || reads_otherwise(words) {
        double_quoted(out, words);
    } else {
        out.push('\'');
        out.push_str(&words.replace('\'', "''"));
        out.push('\'');
    }
}

/// Lines of printable text; a first line with leading blanks would need an indentation mark.
fn fits_block(words: &str) -> bool {
    words.contains('\n')
        && !words.starts_with([' ', '\n', '\t'])
        && words.chars().all(|c| c == '\n' || !(c.is_control() || is_unprintable(c)))
        && words.lines().all(|line| !line.ends_with(' '))
}

fn literal(out: &mut String, words: &str, indent: usize) {
    out.push('|');
    let body = words.trim_end_matches('\n');
    let ends = words.len() - body.len();
    out.push_str(match ends {
        0 => "-",
        1 => "",
        _ => "+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

fn is_unprintable(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether the text means itself without quotes, to readers of YAML 1.1 and 1.2.
fn is_plain(words: &str) -> bool {
    let Some(first) = words.chars().next() else { return false };
    let marks = "!&*|>'\"%@`#,[]{}= ";
    let starts_badly = marks.contains(first)
        || words.starts_with("---")
        || words.starts_with("...")
        || (matches!(first, '-' | '?' | ':') && words.chars().nth(1).is_none_or(|c| c == ' '));
    !starts_badly
        && !words.ends_with([' ', ':'])
        && !words.contains(": ")
        && !words.contains(" #")
        && !words.chars().any(|c| c.is_control() || is_unprintable(c))
        && !reads_otherwise(words)
}

/// Whether some reader takes the bare word for a boolean, a null, a number or a date.
fn reads_otherwise(words: &str) -> bool {
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "<<", "=", ".nan", ".inf"];
    let bare = words.strip_prefix(['+', '-']).unwrap_or(words);
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(words) || word.eq_ignore_ascii_case(bare)) {
        return true;
    }
    let digit_first = bare.starts_with(|c: char| c.is_ascii_digit())
        || (bare.starts_with('.') && bare.chars().nth(1).is_some_and(|c| c.is_ascii_digit()));
    // Numbers in any base, with exponents, `_`, base 60 (1:30) and dates are all
    // made of these; an address such as 10.43.0.1 is not a number to anybody.
    digit_first
        && bare.chars().all(|c| {
            c.is_ascii_hexdigit()
                || matches!(c, '.' | '_' | '+' | '-' | ':' | 'x' | 'X' | 'o' | 'O' | 'T' | 't' | 'Z' | 'z' | ' ')
        })
        && !is_address_or_name(bare)
}

/// Digits and dots with at least two dots (an address, a version), or hexadecimal
/// letters that make no number (`5f4dcc`), or a uid: safe without quotes for every reader.
fn is_address_or_name(bare: &str) -> bool {
    if is_uuid(bare) {
        return true;
    }
    if bare.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return bare.bytes().filter(|&b| b == b'.').count() >= 2;
    }
    let radix = bare.starts_with("0x") || bare.starts_with("0X") || bare.starts_with("0o") || bare.starts_with("0O");
    !radix
        && bare.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b'/'))
        && bare.bytes().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E' | b'b' | b'B'))
}

fn is_uuid(bare: &str) -> bool {
    bare.len() == 36
        && bare.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn double_quoted(out: &mut String, words: &str) {
    out.push('"');
    for c in words.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || is_unprintable(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_is_printed_as_kubectl_prints_it() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "labels": {}, "annotations": {"a/b": "true", "note": "x: y", "n": "80"}},
            "spec": {"clusterIP": "10.43.0.17", "ports": [{"port": 80, "name": "http"}, {"port": 443}], "clusterIPs": ["10.43.0.17", "fd00::1"]},
            "status": {"loadBalancer": {}}, "list": [], "nothing": null, "deep": [[1, 2], [{"a": 1}]],
        });
        assert_eq!(
            to_string(&service),
            "apiVersion: v1\ndeep:\n- - 1\n  - 2\n- - a: 1\nkind: Service\nlist: []\nmetadata:\n  annotations:\n    a/b: \"true\"\n    \"n\": \"80\"\n    note: 'x: y'\n  labels: {}\n  name: web\nnothing: null\nspec:\n  clusterIP: 10.43.0.17\n  clusterIPs:\n  - 10.43.0.17\n  - fd00::1\n  ports:\n  - name: http\n    port: 80\n  - port: 443\nstatus:\n  loadBalancer: {}\n"
        );
    }

    #[rustfmt::skip]
    const TRICKY: &[&str] = &[
        "", " ", "a", "y", "Y", "no", "Off", "null", "~", "80", "0777", "0x1F", "0o17", "1e3", "1_000", "-1", "+5",
        ".5", "-.inf", ".NaN", "1:30", "2001-01-01", "2001-01-01T00:00:00Z", "10.43.0.1", "1.2", "1.2.3",
        "fd00::1", "::1", "a: b", "a:", ":", "- a", "-", "-a", "? x", "#a", "a #b", "*x", "&x", "!x", "%x", "@x",
        "`x`", "'x'", "\"x\"", "it's", "{a}", "[a]", "a,b", "|", ">", "=", "<<", "---", "--- a", "...", "a\nb",
        "a\nb\n", "a\n\n", "\na", " a\nb", "a \nb", "a\tb", "tab\t\nx", "\u{7f}", "\u{85}", "\u{2028}", "é", "日本",
        "a\r\nb", "5f4dcc", "1b", "12e03", "0b11", "{\"a\":1}\n", "trailing ", "line1\n  indented\nline3",
        "#!/bin/sh\nexit 0\n", "\\", "a\\nb",
    ];

    #[test]
    fn every_string_comes_back_as_itself() {
        for &words in TRICKY {
            let value = json!({"key": words, "list": [words], words: "as a key"});
            let printed = to_string(&value);
            let back =
                yaml::from_slice(printed.as_bytes()).unwrap_or_else(|fault| panic!("{words:?}: {fault}\n{printed}"));
            assert_eq!(back.value, value, "{words:?} printed as\n{printed}");
        }
    }

    #[test]
    fn a_uid_stands_without_quotes_as_kubectl_prints_it() {
        for uid in ["71ba66ce-fdaa-4431-a375-eeb43cf732fd", "12345678-1234-1234-1234-123456789012"] {
            assert_eq!(to_string(&json!({"uid": uid})), format!("uid: {uid}\n"));
            assert_eq!(yaml::from_slice(format!("uid: {uid}\n").as_bytes()).unwrap().value, json!({"uid": uid}));
        }
        assert_eq!(to_string(&json!("2001-01-01")), "\"2001-01-01\"\n");
    }

    #[test]
    fn lone_values_are_one_line() {
        assert_eq!(to_string(&json!(null)), "null\n");
        assert_eq!(to_string(&json!([])), "[]\n");
        assert_eq!(to_string(&json!("a")), "a\n");
        assert_eq!(to_string(&json!(1.5)), "1.5\n");
    }
}
