//! Sums of resource quantities (`100m`, `64Mi`) and how Kubernetes writes them.

const BINARY: [(&str, i128); 6] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("Pi", 1 << 50), ("Ei", 1 << 60)];
const DECIMAL: [(&str, i128); 6] = [
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// An amount in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quantity {
    milli: i128,
    binary: bool,
}

impl Quantity {
    /// Understands a quantity; what is none counts nothing.
    pub(super) fn parse(text: &str) -> Quantity {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let known = |table: &[(&str, i128)]| table.iter().find(|(unit, _)| *unit == suffix).map(|(_, factor)| *factor);
        let (factor, binary) = match (suffix, known(&BINARY), known(&DECIMAL)) {
            ("", ..) => (1_000, false),
            ("m", ..) => (1, false),
            (_, Some(factor), _) => (factor * 1_000, true),
            (_, _, Some(factor)) => (factor * 1_000, false),
            _ => return Quantity::default(),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole = whole.parse::<i128>().unwrap_or_default() * factor;
        let tenths = part.chars().filter_map(|c| c.to_digit(10)).zip(1_u32..=18);
        let part: i128 = tenths.map(|(digit, at)| i128::from(digit) * factor / 10_i128.pow(at)).sum();
        Quantity { milli: whole + part, binary }
    }

    /// Adds another; the first that is not nothing says how the sum is written.
    pub(super) fn add(&mut self, other: Quantity) {
        if self.milli == 0 {
            self.binary = other.binary;
        }
        self.milli += other.milli;
    }

    /// How much of a whole this is, in percent.
    pub(super) fn percent_of(self, whole: Quantity) -> i128 {
        if whole.milli == 0 { 0 } else { self.milli * 100 / whole.milli }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.milli % 1_000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let units = self.milli / 1_000;
        let table = if self.binary { &BINARY } else { &DECIMAL };
        match table.iter().rev().find(|(_, factor)| units != 0 && units % factor == 0) {
            Some((suffix, factor)) => write!(f, "{}{suffix}", units / factor),
            None => write!(f, "{units}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        for (text, written) in [
            ("100m", "100m"),
            ("1", "1"),
            ("1.5", "1500m"),
            ("2000m", "2"),
            ("64Mi", "64Mi"),
            ("1024Mi", "1Gi"),
            ("1000", "1k"),
            ("0", "0"),
            ("nonsense", "0"),
        ] {
            assert_eq!(Quantity::parse(text).to_string(), written, "{text}");
        }
    }

    #[test]
    fn sums_and_shares() {
        let mut sum = Quantity::default();
        ["64Mi", "192Mi"].map(Quantity::parse).into_iter().for_each(|quantity| sum.add(quantity));
        assert_eq!(sum.to_string(), "256Mi");
        assert_eq!(sum.percent_of(Quantity::parse("1Gi")), 25);
        assert_eq!(sum.percent_of(Quantity::default()), 0);
    }
}
