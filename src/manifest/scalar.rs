//! What a plain word of YAML means: the rules of the library inside kubectl and
//! Kubernetes' own server (YAML 1.1, with some of 1.2), so that a manifest means
//! here what it means there. `yes` is true, `010` is eight, `1:30` is a text, and
//! a key is a text whatever it looks like: `yes: a` is `"true": a`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

/// From here on a whole float is no integer any more.
const WHOLE_MAX: f64 = 9_223_372_036_854_775_808.0;

/// A word by its form.
#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    Null,
    Bool(bool),
    Int(i64),
    /// Above the largest signed number.
    Large(u64),
    Float(f64),
    Text,
}

/// The value of a scalar. `tag` is the name behind `!!`; quoted texts without one are texts.
pub(super) fn value(text: &str, plain: bool, tag: Option<&str>) -> Result<Value, String> {
    match meaning(text, plain, tag)? {
        Meaning::Null => Ok(Value::Null),
        Meaning::Bool(value) => Ok(Value::Bool(value)),
        Meaning::Int(number) => Ok(number.into()),
        Meaning::Large(number) => float(as_float(number)),
        Meaning::Float(number) => float(number),
        Meaning::Text if tag == Some("binary") => decoded(text).map(Value::String),
        Meaning::Text => Ok(Value::String(text.to_owned())),
    }
}

/// The text of a key.
pub(super) fn key(text: &str, plain: bool, tag: Option<&str>) -> Result<String, String> {
    match meaning(text, plain, tag)? {
        Meaning::Null => Err("a key may not be null: put it in quotes".to_owned()),
        Meaning::Bool(value) => Ok(value.to_string()),
        Meaning::Int(number) => Ok(number.to_string()),
        Meaning::Large(_) => Err("a key may not be such a large number: put it in quotes".to_owned()),
        Meaning::Float(number) => Ok(short(number)),
        Meaning::Text if tag == Some("binary") => decoded(text),
        Meaning::Text => Ok(text.to_owned()),
    }
}

/// Numbers as JSON has them behind kubectl: `1.0` and `1e3` are whole, and what no
/// signed number holds is a float.
pub(super) fn normal(number: Number) -> Number {
    let float = if number.is_f64() {
        number.as_f64()
    } else {
        number.as_u64().filter(|n| i64::try_from(*n).is_err()).map(as_float)
    };
    match float {
        Some(float) => whole(float).map(Number::from).or_else(|| Number::from_f64(float)).unwrap_or(number),
        None => number,
    }
}

fn float(number: f64) -> Result<Value, String> {
    let number = Number::from_f64(number).ok_or_else(|| "infinity and .nan are not JSON".to_owned())?;
    Ok(Value::Number(normal(number)))
}

#[allow(clippy::cast_precision_loss, reason = "JSON readers in Go lose it too")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_possible_truncation, reason = "whole and within the range of i64")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < WHOLE_MAX).then_some(number as i64)
}

fn decoded(text: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(text.split_whitespace().collect::<String>());
    let bytes = bytes.map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "!!binary value is not UTF-8 text".to_owned())
}

fn meaning(text: &str, plain: bool, tag: Option<&str>) -> Result<Meaning, String> {
    let found = match tag {
        None if !plain => return Ok(Meaning::Text),
        None | Some("bool" | "int" | "float" | "null" | "timestamp") => resolved(text),
        Some(_) => return Ok(Meaning::Text),
    };
    match (tag, &found) {
        (None, _)
        | (Some("null"), Meaning::Null)
        | (Some("bool"), Meaning::Bool(_))
        | (Some("int"), Meaning::Int(_) | Meaning::Large(_))
        | (Some("float"), Meaning::Float(_))
        | (Some("timestamp"), Meaning::Text) => Ok(found),
        #[allow(clippy::cast_precision_loss, reason = "the tag asks for it")]
        (Some("float"), Meaning::Int(number)) => Ok(Meaning::Float(*number as f64)),
        (Some(tag), _) => Err(format!("`{text}` is no !!{tag}")),
    }
}

fn resolved(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => decimal(text),
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")),
        _ => None,
    }
    .unwrap_or(Meaning::Text)
}

fn number(text: &str) -> Option<Meaning> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let radixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (digits, radix) = radixes
        .iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, *radix)))
        .or_else(|| lower.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|rest| (rest, 8)))
        .unwrap_or((&lower, 10));
    // `from_str_radix` takes a sign, which here would be a second one.
    let magnitude = if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() };
    let whole = magnitude.and_then(|magnitude| match negative {
        true => 0_i64.checked_sub_unsigned(magnitude).map(Meaning::Int),
        false => Some(i64::try_from(magnitude).map_or(Meaning::Large(magnitude), Meaning::Int)),
    });
    // An unsigned number has no sign of its own.
    let whole = whole.filter(|whole| !(matches!(whole, Meaning::Large(_)) && text.starts_with('+')));
    whole.or_else(|| decimal(text))
}

/// A float in digits, with a point or an exponent or none; one that is too large is a text.
fn decimal(text: &str) -> Option<Meaning> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match bare.find(['e', 'E']) {
        Some(at) => (bare.get(..at)?, Some(bare.get(at + 1..)?)),
        None => (bare, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let sound = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    let number: f64 = (sound && exponent).then(|| text.parse().ok()).flatten()?;
    number.is_finite().then_some(Meaning::Float(number))
}

/// A float as kubectl writes it into a key: with the digits of 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "kubectl's keys have these digits and no more")]
fn short(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    let narrow = number as f32;
    if narrow.is_infinite() {
        return if narrow > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{narrow:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Go's %g turns to exponents there.
    if (-4..6).contains(&exponent) {
        return narrow.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What kubectl 1.32 makes of the words, as a value and as a key.
    #[rustfmt::skip]
    #[test]
    fn plain_words_mean_what_they_mean_to_kubectl() {
        for (text, as_value, as_key) in [
            ("n", json!(false), "false"), ("Y", json!(true), "true"), ("NO", json!(false), "false"),
            ("on", json!(true), "true"), ("Off", json!(false), "false"), ("oN", json!("oN"), "oN"),
            ("tRue", json!("tRue"), "tRue"), ("0o17", json!(15), "15"), ("0O17", json!(15), "15"),
            ("0x1f", json!(31), "31"), ("-0x1f", json!(-31), "-31"), ("0b11", json!(3), "3"), ("-0b1", json!(-1), "-1"),
            ("010", json!(8), "8"), ("+010", json!(8), "8"), ("08", json!(8), "8"), ("00", json!(0), "0"),
            ("1_000", json!(1000), "1000"), ("1__0", json!(10), "10"), ("1_", json!(1), "1"), ("_1", json!("_1"), "_1"),
            ("0x1_0", json!(16), "16"), ("0x", json!("0x"), "0x"), ("0o8", json!("0o8"), "0o8"),
            ("1:30", json!("1:30"), "1:30"), ("190:20:30", json!("190:20:30"), "190:20:30"),
            ("2001-01-01", json!("2001-01-01"), "2001-01-01"), ("1.", json!(1), "1"), (".5", json!(0.5), "0.5"),
            ("+.5", json!(0.5), "0.5"), (".", json!("."), "."), ("..", json!(".."), ".."), ("+", json!("+"), "+"),
            ("--1", json!("--1"), "--1"), ("1e3", json!(1000), "1000"), ("1.5e-3", json!(0.0015), "0.0015"),
            ("1e", json!("1e"), "1e"), ("e1", json!("e1"), "e1"), ("1e400", json!("1e400"), "1e400"),
            ("1.10", json!(1.1), "1.1"), ("1.0", json!(1), "1"), ("-0.0", json!(0), "-0"), ("10.0.0.1", json!("10.0.0.1"), "10.0.0.1"),
            ("123456789.5", json!(123_456_789.5), "1.2345679e+08"), ("12e03", json!(12000), "12000"),
            ("685.230_15e+03", json!(685_230.15), "685230.1"), ("0.000001", json!(0.000_001), "1e-06"),
            ("1e20", json!(1e20), "1e+20"), ("-9223372036854775809", json!(-9_223_372_036_854_775_809.0), "-9.223372e+18"),
            ("-9223372036854775808", json!(i64::MIN), "-9223372036854775808"), ("=", json!("="), "="), ("<<", json!("<<"), "<<"),
        ] {
            assert_eq!(value(text, true, None).unwrap(), as_value, "{text}");
            assert_eq!(key(text, true, None).unwrap(), as_key, "{text}");
            assert_eq!(value(text, false, None).unwrap(), json!(text));
        }
        assert_eq!(value("12345678901234567890", true, None).unwrap(), json!(12_345_678_901_234_567_890.0));
        assert!(key("12345678901234567890", true, None).is_err() && key("~", true, None).is_err());
        assert!(value(".inf", true, None).is_err());
        assert_eq!(key("-.INF", true, None).unwrap(), "-.inf");
    }

    #[test]
    fn a_tag_decides() {
        for (text, plain, tag, wanted) in [
            ("5", true, "str", json!("5")),
            ("5", false, "int", json!(5)),
            ("5", true, "float", json!(5)),
            ("yes", false, "bool", json!(true)),
            ("", false, "null", json!(null)),
            ("2001-01-01", true, "timestamp", json!("2001-01-01")),
            ("aGVs\nbG8=", true, "binary", json!("hello")),
            ("5", true, "other", json!("5")),
        ] {
            assert_eq!(value(text, plain, Some(tag)).unwrap(), wanted, "!!{tag} {text}");
        }
        for (text, tag) in [("a", "int"), ("1.5", "int"), ("a", "bool"), ("a", "null"), ("%", "binary")] {
            assert!(value(text, true, Some(tag)).is_err(), "!!{tag} {text}");
        }
    }
}
