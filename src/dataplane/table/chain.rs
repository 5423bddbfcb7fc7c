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
    /// `a-K`: the endpoint the client had, or one of K.
    Affine(u32),
    /// `pa-K`: the same of a node port.
    AffineNodePort(u32),
    /// `f-K`: clients of the source ranges only.
    Filter(u32),
    /// `fa-K`: the same with affinity.
    FilterAffine(u32),
    /// `t-S`: remembers the endpoint for S seconds.
    Remember(u32),
    /// `pt-S`: the same of a node port.
    RememberNodePort(u32),
}

impl ChainName {
    /// One of each, callees first.
    pub(in crate::dataplane) fn samples(number: u32) -> [ChainName; 8] {
        [
            ChainName::Pick(number),
            ChainName::PickNodePort(number),
            ChainName::Affine(number),
            ChainName::AffineNodePort(number),
            ChainName::Filter(number),
            ChainName::FilterAffine(number),
            ChainName::Remember(number),
            ChainName::RememberNodePort(number),
        ]
    }

    /// The chain this one goes to.
    pub(in crate::dataplane) fn next(self) -> Option<ChainName> {
        match self {
            ChainName::Affine(k) | ChainName::Filter(k) => Some(ChainName::Pick(k)),
            ChainName::AffineNodePort(k) => Some(ChainName::PickNodePort(k)),
            ChainName::FilterAffine(k) => Some(ChainName::Affine(k)),
            ChainName::Pick(_) | ChainName::PickNodePort(_) => None,
            ChainName::Remember(_) | ChainName::RememberNodePort(_) => None,
        }
    }

    /// Reads the name of a chain; `None` for the static ones.
    pub(in crate::dataplane) fn parse(text: &str) -> Option<ChainName> {
        let (prefix, number) = text.rsplit_once('-')?;
        let number: u32 = number.parse().ok()?;
        let name = match prefix {
            "n" => ChainName::Pick(number),
            "p" => ChainName::PickNodePort(number),
            "a" => ChainName::Affine(number),
            "pa" => ChainName::AffineNodePort(number),
            "f" => ChainName::Filter(number),
            "fa" => ChainName::FilterAffine(number),
            "t" => ChainName::Remember(number),
            "pt" => ChainName::RememberNodePort(number),
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
            ChainName::Affine(k) => write!(f, "a-{k}"),
            ChainName::AffineNodePort(k) => write!(f, "pa-{k}"),
            ChainName::Filter(k) => write!(f, "f-{k}"),
            ChainName::FilterAffine(k) => write!(f, "fa-{k}"),
            ChainName::Remember(seconds) => write!(f, "t-{seconds}"),
            ChainName::RememberNodePort(seconds) => write!(f, "pt-{seconds}"),
        }
    }
}
