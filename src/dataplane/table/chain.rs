//! The chains that come and go with the Services that need them, by their names. Pure.
//!
//! A name says all of a chain: the stages a connection still has to pass, what chooses
//! among how many slots, and whose chain it is where it cannot be shared. Each stage
//! leads to the chain without it, so Services that ask for the same share chains, and a
//! new stage or choice multiplies nothing.

use std::fmt;
use std::net::IpAddr;

use super::hooked::Hooked;
use super::set::SetName;
use crate::model::Protocol;

/// A chain, in the order of creation: one goes only to chains before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum ChainName {
    /// Leads to an endpoint.
    Way(Way),
    /// Remembers the endpoint.
    Remember(Remember),
    /// Sees every packet.
    Hooked(Hooked),
}

/// What is still to be done until the endpoint is chosen. The stages come in the order of
/// the fields, and a chain without one is before the chain with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) struct Way {
    /// `f`: only clients of the source ranges pass.
    pub(in crate::dataplane) filter: bool,
    /// Whose slots, and how many.
    pub(in crate::dataplane) side: Side,
    /// A client keeps the endpoint it had.
    pub(in crate::dataplane) affinity: Option<Affinity>,
    /// What chooses the slot.
    pub(in crate::dataplane) how: How,
    /// `p`: by the box's own addresses.
    pub(in crate::dataplane) node_port: bool,
}

/// How a client is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum Affinity {
    /// `a`: by the very address and port, which the packet tells. Not of node ports.
    Own,
    /// `b-...-PLACE`, and `c` for endpoints of policy Local: with all frontends of the owner,
    /// whose name is in the rules.
    Shared(Owner),
}

/// Whose clients they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) struct Owner {
    pub(in crate::dataplane) place: Place,
    /// Bound to endpoints of this box alone.
    pub(in crate::dataplane) local: bool,
}

/// A chain that remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) struct Remember {
    /// `tl-S-PLACE`: clients inside and others apart.
    pub(in crate::dataplane) both: bool,
    /// `t-S`; `tb-S-PLACE` and `tc-S-PLACE` with all frontends of the owner.
    pub(in crate::dataplane) affinity: Affinity,
    pub(in crate::dataplane) seconds: u32,
}

/// The slots in question; the numbers are never 0 but where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum Side {
    /// `-K`: those of the frontend.
    Others(u32),
    /// `w-M`: those of clients inside alone.
    Inside(u32),
    /// `l-K-M`: M for clients inside, K for others (0: they are dropped).
    Both { others: u32, inside: u32 },
}

/// What chooses a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) enum How {
    /// Chance.
    Random,
    /// `s`: the client's address.
    SourceHash,
    /// `d`: the address connected to.
    DestinationHash,
    /// `r-...-PLACE`: the next in turn. The turn is kept by the rule itself, so every
    /// frontend needs a chain of its own.
    Turn(Place),
    /// `o-...-PLACE`: the next in turn, where turns are written ahead by how many
    /// connections are open.
    Live(Place),
}

/// A frontend in the name of a chain; without an address it is a node port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataplane) struct Place {
    pub(in crate::dataplane) addr: Option<IpAddr>,
    pub(in crate::dataplane) protocol: Protocol,
    pub(in crate::dataplane) port: u16,
}

impl Way {
    /// The map of its slots.
    pub(in crate::dataplane) fn slots(self) -> SetName {
        match (self.how, self.node_port) {
            (How::Live(_), false) => SetName::LiveEndpoints,
            (How::Live(_), true) => SetName::NodePortLiveEndpoints,
            (_, false) => SetName::Endpoints,
            (_, true) => SetName::NodePortEndpoints,
        }
    }

    fn next(self) -> Vec<Way> {
        if self.filter {
            return vec![Way { filter: false, ..self }];
        }
        if let Side::Both { others, inside } = self.side {
            let others = (others != 0).then_some(Side::Others(others));
            // Policy Local does not bind clients inside.
            let affinity = self.affinity.map(|affinity| affinity.with(false));
            let first = Way { side: Side::Inside(inside), affinity, ..self };
            return std::iter::once(first).chain(others.map(|side| Way { side, ..self })).collect();
        }
        self.affinity.map(|_| Way { affinity: None, ..self }).into_iter().collect()
    }
}

impl Affinity {
    /// The same of the other side.
    fn with(self, local: bool) -> Affinity {
        match self {
            Affinity::Own => Affinity::Own,
            Affinity::Shared(owner) => Affinity::Shared(Owner { local, ..owner }),
        }
    }

    /// By which of the letters a, b and c was read; `None` if a name is wrong.
    fn parse<'a>(
        [own, shared, local]: [bool; 3],
        parts: &mut impl Iterator<Item = &'a str>,
    ) -> Option<Option<Affinity>> {
        if shared || local {
            return Some(Some(Affinity::Shared(Owner { place: Place::parse(parts)?, local })));
        }
        Some(own.then_some(Affinity::Own))
    }

    fn letter(self) -> &'static str {
        match self {
            Affinity::Own => "a",
            Affinity::Shared(Owner { local: false, .. }) => "b",
            Affinity::Shared(Owner { local: true, .. }) => "c",
        }
    }

    fn owner(self) -> String {
        match self {
            Affinity::Own => String::new(),
            Affinity::Shared(owner) => format!("-{}", owner.place),
        }
    }
}

impl Remember {
    fn next(self) -> Vec<Remember> {
        let side = |local| Remember { both: false, affinity: self.affinity.with(local), ..self };
        if self.both { [false, true].map(side).to_vec() } else { Vec::new() }
    }
}

impl ChainName {
    /// Chains of every form, callees first.
    pub(in crate::dataplane) fn samples(number: u32) -> Vec<ChainName> {
        let mut found = Vec::new();
        let place = Place { addr: None, protocol: Protocol::Tcp, port: 1 };
        let shared = Affinity::Shared(Owner { place, local: true });
        for node_port in [false, true] {
            for how in [How::Random, How::SourceHash, How::DestinationHash, How::Turn(place), How::Live(place)] {
                let side = Side::Both { others: number, inside: number };
                for affinity in [None, Some(Affinity::Own).filter(|_| !node_port), Some(shared)] {
                    found.extend(ChainName::Way(Way { filter: !node_port, side, affinity, how, node_port }).reach());
                }
            }
        }
        for (both, affinity) in [(false, Affinity::Own), (true, shared)] {
            found.extend(ChainName::Remember(Remember { both, affinity, seconds: number }).reach());
        }
        found.extend(Hooked::ALL.map(ChainName::Hooked));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The chains this one goes to. Of a chain for both sides the first is that of
    /// clients inside, and the second, if any, that of others.
    pub(in crate::dataplane) fn next(self) -> Vec<ChainName> {
        match self {
            ChainName::Way(way) => way.next().into_iter().map(ChainName::Way).collect(),
            ChainName::Remember(remember) => remember.next().into_iter().map(ChainName::Remember).collect(),
            ChainName::Hooked(_) => Vec::new(),
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
        if let Some(hooked) = Hooked::parse(text) {
            return Some(ChainName::Hooked(hooked));
        }
        let mut parts = text.split('-');
        let mut letters = parts.next()?.chars().peekable();
        let mut take = |letter| letters.next_if_eq(&letter).is_some();
        let node_port = take('p');
        let remembers = take('t');
        let (filter, local) = (take('f'), take('l'));
        let whole = take('w');
        let affinities = ['a', 'b', 'c'].map(&mut take);
        let [source, destination, turn, live] = ['s', 'd', 'r', 'o'].map(&mut take);
        let _random = take('n');
        let mut number = || parts.next()?.parse().ok();
        if remembers {
            let seconds = number()?;
            let affinities = if local { [false, false, true] } else { affinities };
            let affinity = Affinity::parse(affinities, &mut parts)?.unwrap_or(Affinity::Own);
            return as_written(ChainName::Remember(Remember { both: local, affinity, seconds }), text);
        }
        let side = match local {
            true => Side::Both { others: number()?, inside: number()? },
            false if whole => Side::Inside(number()?),
            false => Side::Others(number()?),
        };
        let how = match (source, destination, turn, live) {
            (true, ..) => How::SourceHash,
            (_, true, ..) => How::DestinationHash,
            (_, _, true, _) => How::Turn(Place::parse(&mut parts)?),
            (.., true) => How::Live(Place::parse(&mut parts)?),
            (false, false, false, false) => How::Random,
        };
        let affinity = Affinity::parse(affinities, &mut parts)?;
        as_written(ChainName::Way(Way { filter, side, affinity, how, node_port }), text)
    }
}

/// A name that is not written as we write it is somebody else's.
fn as_written(name: ChainName, text: &str) -> Option<ChainName> {
    (name.to_string() == text).then_some(name)
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self {
            ChainName::Way(way) => way,
            ChainName::Remember(Remember { both, affinity, seconds }) => {
                let how = match affinity {
                    _ if *both => "l",
                    Affinity::Own => "",
                    Affinity::Shared(_) => affinity.letter(),
                };
                return write!(f, "t{how}-{seconds}{}", affinity.owner());
            }
            ChainName::Hooked(hooked) => return f.write_str(hooked.as_str()),
        };
        let side = match way.side {
            Side::Others(_) => "",
            Side::Inside(_) => "w",
            Side::Both { .. } => "l",
        };
        let how = match way.how {
            How::Random => "",
            How::SourceHash => "s",
            How::DestinationHash => "d",
            How::Turn(_) => "r",
            How::Live(_) => "o",
        };
        let affinity = way.affinity.map(Affinity::letter).unwrap_or_default();
        let stages = [letter(way.node_port, "p"), letter(way.filter, "f"), side, affinity, how].concat();
        write!(f, "{}", if stages.is_empty() { "n" } else { &stages })?;
        match way.side {
            Side::Others(count) | Side::Inside(count) => write!(f, "-{count}")?,
            Side::Both { others, inside } => write!(f, "-{others}-{inside}")?,
        }
        match way.how {
            How::Turn(place) | How::Live(place) => write!(f, "-{place}")?,
            How::Random | How::SourceHash | How::DestinationHash => {}
        }
        f.write_str(&way.affinity.map(Affinity::owner).unwrap_or_default())
    }
}

fn letter(on: bool, letter: &'static str) -> &'static str {
    if on { letter } else { "" }
}

impl Place {
    fn parse<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Place> {
        let first = parts.next()?;
        let known = |word: &str| [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| name(*p) == word);
        let (addr, protocol) = match known(first) {
            Some(protocol) => (None, protocol),
            None => (Some(address(first)?), known(parts.next()?)?),
        };
        Some(Place { addr, protocol, port: parts.next()?.parse().ok()? })
    }
}

/// `10.43.0.7`, and of IPv6, whose colons nft takes in no name, eight words between dots.
fn address(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<u16>> = text.split('.').map(|word| u16::from_str_radix(word, 16).ok()).collect();
    match <[u16; 8]>::try_from(words?) {
        Ok(words) => Some(words.into()),
        Err(_) => text.parse().ok(),
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            None => {}
            Some(IpAddr::V4(addr)) => write!(f, "{addr}-")?,
            Some(IpAddr::V6(addr)) => {
                let words: Vec<String> = addr.segments().iter().map(|word| format!("{word:x}")).collect();
                write!(f, "{}-", words.join("."))?;
            }
        }
        write!(f, "{}-{}", name(self.protocol), self.port)
    }
}
