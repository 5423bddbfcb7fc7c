//! The chains that come and go with the Services that need them. Pure.

use std::fmt;

/// A chain per endpoint count or per affinity timeout, in the order of creation:
/// a chain goes only to chains before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum ChainName {
    /// `n-K`: one of K endpoints of a virtual address.
    Pick(u32),
    /// `p-K`: one of K endpoints of a node port.
    PickNodePort(u32),
    /// `w-M`: one of the M endpoints for clients inside.
    Whole(u32),
    /// `pw-M`: the same of a node port.
    WholeNodePort(u32),
    /// `a-K`: the endpoint the client had, or one of K.
    Affine(u32),
    /// `pa-K`: the same of a node port.
    AffineNodePort(u32),
    /// `wa-M`: the endpoint the client inside had, or one of M.
    AffineWhole(u32),
    /// `pwa-M`: the same of a node port.
    AffineWholeNodePort(u32),
    /// `l-K-M`: one of M for clients inside, one of K for others (none: dropped).
    Local(u32, u32),
    /// `pl-K-M`: the same of a node port.
    LocalNodePort(u32, u32),
    /// `la-K-M`: the same with affinity.
    LocalAffine(u32, u32),
    /// `pla-K-M`: the same of a node port.
    LocalAffineNodePort(u32, u32),
    /// `f-K`: clients of the source ranges only.
    Filter(u32),
    /// `fa-K`: the same with affinity.
    FilterAffine(u32),
    /// `fl-K-M`: the same where clients inside go elsewhere.
    FilterLocal(u32, u32),
    /// `fla-K-M`: the same with affinity.
    FilterLocalAffine(u32, u32),
    /// `t-S`: remembers the endpoint for S seconds.
    Remember(u32),
    /// `pt-S`: the same of a node port.
    RememberNodePort(u32),
}

impl ChainName {
    /// One of each, callees first.
    pub(in crate::dataplane) fn samples(number: u32) -> [ChainName; 18] {
        [
            ChainName::Pick(number),
            ChainName::PickNodePort(number),
            ChainName::Whole(number),
            ChainName::WholeNodePort(number),
            ChainName::Affine(number),
            ChainName::AffineNodePort(number),
            ChainName::AffineWhole(number),
            ChainName::AffineWholeNodePort(number),
            ChainName::Local(number, number),
            ChainName::LocalNodePort(number, number),
            ChainName::LocalAffine(number, number),
            ChainName::LocalAffineNodePort(number, number),
            ChainName::Filter(number),
            ChainName::FilterAffine(number),
            ChainName::FilterLocal(number, number),
            ChainName::FilterLocalAffine(number, number),
            ChainName::Remember(number),
            ChainName::RememberNodePort(number),
        ]
    }

    /// The chains this one goes to. For one of `Local` the first is that of clients
    /// inside, and the second, if any, that of others.
    pub(in crate::dataplane) fn next(self) -> Vec<ChainName> {
        let local = |inside, others, count| if count == 0 { vec![inside] } else { vec![inside, others] };
        match self {
            ChainName::Affine(k) | ChainName::Filter(k) => vec![ChainName::Pick(k)],
            ChainName::AffineNodePort(k) => vec![ChainName::PickNodePort(k)],
            ChainName::AffineWhole(m) => vec![ChainName::Whole(m)],
            ChainName::AffineWholeNodePort(m) => vec![ChainName::WholeNodePort(m)],
            ChainName::Local(k, m) => local(ChainName::Whole(m), ChainName::Pick(k), k),
            ChainName::LocalNodePort(k, m) => local(ChainName::WholeNodePort(m), ChainName::PickNodePort(k), k),
            ChainName::LocalAffine(k, m) => local(ChainName::AffineWhole(m), ChainName::Affine(k), k),
            ChainName::LocalAffineNodePort(k, m) => {
                local(ChainName::AffineWholeNodePort(m), ChainName::AffineNodePort(k), k)
            }
            ChainName::FilterAffine(k) => vec![ChainName::Affine(k)],
            ChainName::FilterLocal(k, m) => vec![ChainName::Local(k, m)],
            ChainName::FilterLocalAffine(k, m) => vec![ChainName::LocalAffine(k, m)],
            ChainName::Pick(_)
            | ChainName::PickNodePort(_)
            | ChainName::Whole(_)
            | ChainName::WholeNodePort(_)
            | ChainName::Remember(_)
            | ChainName::RememberNodePort(_) => Vec::new(),
        }
    }

    /// This chain and every one it leads to.
    pub(in crate::dataplane) fn reach(self) -> Vec<ChainName> {
        let mut found = vec![self];
        for next in self.next() {
            found.extend(next.reach());
        }
        found
    }

    /// Reads the name of a chain; `None` for the static ones.
    pub(in crate::dataplane) fn parse(text: &str) -> Option<ChainName> {
        let mut parts = text.split('-');
        let prefix = parts.next()?;
        let numbers: Vec<u32> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let name = match (prefix, numbers.as_slice()) {
            ("n", &[k]) => ChainName::Pick(k),
            ("p", &[k]) => ChainName::PickNodePort(k),
            ("w", &[m]) => ChainName::Whole(m),
            ("pw", &[m]) => ChainName::WholeNodePort(m),
            ("a", &[k]) => ChainName::Affine(k),
            ("pa", &[k]) => ChainName::AffineNodePort(k),
            ("wa", &[m]) => ChainName::AffineWhole(m),
            ("pwa", &[m]) => ChainName::AffineWholeNodePort(m),
            ("l", &[k, m]) => ChainName::Local(k, m),
            ("pl", &[k, m]) => ChainName::LocalNodePort(k, m),
            ("la", &[k, m]) => ChainName::LocalAffine(k, m),
            ("pla", &[k, m]) => ChainName::LocalAffineNodePort(k, m),
            ("f", &[k]) => ChainName::Filter(k),
            ("fa", &[k]) => ChainName::FilterAffine(k),
            ("fl", &[k, m]) => ChainName::FilterLocal(k, m),
            ("fla", &[k, m]) => ChainName::FilterLocalAffine(k, m),
            ("t", &[seconds]) => ChainName::Remember(seconds),
            ("pt", &[seconds]) => ChainName::RememberNodePort(seconds),
            _ => return None,
        };
        Some(name)
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainName::Pick(k) => write!(f, "n-{k}"),
            ChainName::PickNodePort(k) => write!(f, "p-{k}"),
            ChainName::Whole(m) => write!(f, "w-{m}"),
            ChainName::WholeNodePort(m) => write!(f, "pw-{m}"),
            ChainName::Affine(k) => write!(f, "a-{k}"),
            ChainName::AffineNodePort(k) => write!(f, "pa-{k}"),
            ChainName::AffineWhole(m) => write!(f, "wa-{m}"),
            ChainName::AffineWholeNodePort(m) => write!(f, "pwa-{m}"),
            ChainName::Local(k, m) => write!(f, "l-{k}-{m}"),
            ChainName::LocalNodePort(k, m) => write!(f, "pl-{k}-{m}"),
            ChainName::LocalAffine(k, m) => write!(f, "la-{k}-{m}"),
            ChainName::LocalAffineNodePort(k, m) => write!(f, "pla-{k}-{m}"),
            ChainName::Filter(k) => write!(f, "f-{k}"),
            ChainName::FilterAffine(k) => write!(f, "fa-{k}"),
            ChainName::FilterLocal(k, m) => write!(f, "fl-{k}-{m}"),
            ChainName::FilterLocalAffine(k, m) => write!(f, "fla-{k}-{m}"),
            ChainName::Remember(seconds) => write!(f, "t-{seconds}"),
            ChainName::RememberNodePort(seconds) => write!(f, "pt-{seconds}"),
        }
    }
}
