//! `resource.Quantity` in canonical form: `0.5Gi` is `512Mi`, `1500m` stays.

/// Powers of ten that are counted; beyond them a value is capped or vanishes.
const EXPONENT_MAX: i32 = 40;
/// Digits that are read; more cannot change what is kept.
const DIGITS_MAX: usize = 512;
/// Billionths in one: nothing finer is kept.
const NANO: i128 = 1_000_000_000;
/// The largest value, 2^63-1, in billionths.
const NANO_MAX: i128 = i64::MAX as i128 * NANO;

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Decimal,
    Exponent,
    Binary,
}

/// The canonical form, or nothing for what is no quantity.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') || number.len() > DIGITS_MAX {
        return None;
    }
    let (format, factor, exponent) = scale(suffix)?;
    let nanos = nanos(whole, fraction, factor, exponent);
    let sign = if negative && nanos != 0 { "-" } else { "" };
    Some(format!("{sign}{}", written(nanos, format)))
}

/// A suffix as format, binary factor and power of ten.
fn scale(suffix: &str) -> Option<(Format, i128, i32)> {
    if let Some(power) = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix) {
        return Some((Format::Binary, 1 << (10 * (power + 1)), 0));
    }
    let decimal = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            return Some((Format::Exponent, 1, exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX)));
        }
    };
    Some((Format::Decimal, 1, decimal))
}

/// The value in billionths, rounded away from zero, capped at 2^63-1.
fn nanos(whole: &str, fraction: &str, factor: i128, exponent: i32) -> i128 {
    let mut value: i128 = 0;
    let mut places = exponent + 9;
    let mut beyond = false;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = i128::from(digit - b'0');
        if index >= whole.len() {
            places -= 1;
        }
        match value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
            // Digits a binary factor could still lift above a billionth are kept.
            Some(next) if next < i128::MAX / 1_000_000_000_000_000_000_000 || index < whole.len() => value = next,
            Some(_) => {
                beyond |= digit != 0;
                places += 1;
            }
            None => return NANO_MAX,
        }
    }
    let Some(mut value) = value.checked_mul(factor) else { return NANO_MAX };
    while places > 0 && value != 0 {
        let Some(next) = value.checked_mul(10) else { return NANO_MAX };
        value = next;
        places -= 1;
    }
    while places < 0 && value != 0 {
        beyond |= value % 10 != 0;
        value /= 10;
        places += 1;
    }
    (value + i128::from(beyond)).min(NANO_MAX)
}

fn written(nanos: i128, format: Format) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    // Below 1024, or with a fraction, binary units would lose precision.
    if format == Format::Binary && nanos % NANO == 0 && nanos >= 1024 * NANO {
        let (mut value, mut power) = (nanos / NANO, 0_usize);
        while value % 1024 == 0 && power < 6 {
            value /= 1024;
            power += 1;
        }
        let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power).copied().unwrap_or_default();
        return format!("{value}{suffix}");
    }
    let (mut value, mut exponent) = (nanos, -9);
    while value % 1000 == 0 && exponent < 18 {
        value /= 1000;
        exponent += 3;
    }
    if format == Format::Exponent {
        return if exponent == 0 { value.to_string() } else { format!("{value}e{exponent}") };
    }
    let suffix = match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    };
    format!("{value}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_are_written_canonically() {
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("1.5", "1500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1024Ki", "1Mi"),
            ("1023Ki", "1023Ki"),
            ("0.5Ki", "512"),
            ("1000", "1k"),
            ("1000Mi", "1000Mi"),
            ("1e3", "1e3"),
            ("9E", "9E"),
            ("12E", "9223372036854775807"),
            ("1E3", "1e3"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("100m", "100m"),
            ("99999999999999999999", "9223372036854775807"),
            ("1e-40", "1e-9"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        for text in ["", "-", ".", "1.2.3", "1x", "Ki", "1 Ki", "1ki", "1K", "1e", "1ee3", "--1", "1Kib", "é"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
