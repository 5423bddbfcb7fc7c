//! Variables declared beside those of Services (spec/env.md section 4).

use super::Variable;

/// What to set in a program's environment: the declared variables with their
/// references resolved, then those of Services whose name nobody has taken.
/// `inherited` is what the program has anyway; like the entries of `envFrom` it
/// stands behind the declared and before the Services'.
pub fn merge(
    declared: &[(String, String)],
    inherited: impl Fn(&str) -> Option<String>,
    services: &[Variable],
) -> Vec<(String, String)> {
    let mut set: Vec<(String, String)> = Vec::new();
    for (name, value) in declared {
        let value = expand(value, |reference| {
            let before = set.iter().rev().find(|(name, _)| name == reference).map(|(_, value)| value.clone());
            let of_service = || services.iter().find(|variable| variable.name == reference);
            before.or_else(|| inherited(reference)).or_else(|| of_service().map(|variable| variable.value.clone()))
        });
        set.retain(|(before, _)| before != name);
        set.push((name.clone(), value));
    }
    let free = services.iter().filter(|variable| !declared.iter().any(|(name, _)| *name == variable.name));
    let free = free.filter(|variable| inherited(&variable.name).is_none());
    let rest: Vec<_> = free.map(|variable| (variable.name.clone(), variable.value.clone())).collect();
    set.extend(rest);
    set
}

/// Replaces `$(NAME)`; an unknown name stays as it is written, `$$` is a dollar.
fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        rest = match (after.strip_prefix('$'), reference) {
            (Some(after), _) => {
                out.push('$');
                after
            }
            (None, Some((name, after))) => {
                out.push_str(&value_of(name).unwrap_or_else(|| format!("$({name})")));
                after
            }
            (None, None) => {
                out.push('$');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_kubernetes_reads_them() {
        let value_of = |name: &str| (name == "A").then(|| "1".to_owned());
        let cases = [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$", "$"),
            ("$", "$"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("a$(A)$", "a1$"),
        ];
        for (text, wanted) in cases {
            assert_eq!(expand(text, value_of), wanted, "{text}");
        }
    }

    #[test]
    fn declared_wins_over_inherited_and_inherited_over_services() {
        let service = |name: &str| Variable { name: name.into(), value: "service".into(), service: "s".into() };
        let declared = [("A".to_owned(), "declared".to_owned()), ("D".to_owned(), "$(A) $(B) $(C)".to_owned())];
        let inherited = |name: &str| ["A", "B"].contains(&name).then(|| "inherited".to_owned());
        let set = merge(&declared, inherited, &[service("A"), service("B"), service("C")]);
        let set: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(set, [("A", "declared"), ("D", "declared inherited service"), ("C", "service")]);
    }

    #[test]
    fn the_later_of_two_declared_wins_and_may_refer_to_the_earlier() {
        let declared = [("A".to_owned(), "1".to_owned()), ("A".to_owned(), "$(A)2".to_owned())];
        assert_eq!(merge(&declared, |_| None, &[]), [("A".to_owned(), "12".to_owned())]);
    }
}
