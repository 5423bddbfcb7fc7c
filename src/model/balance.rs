//! How connections are spread over endpoints, as annotations say it: the words
//! of IPVS (`ipvsadm -s`), and a few more.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// On a Service: the [`Schedule`] of its connections.
pub const BALANCE_ANNOTATION: &str = "edgesvc.io/balance";
/// On a Service: who carries its connections, [`RELAY`].
pub const PROXY_MODE_ANNOTATION: &str = "edgesvc.io/proxy-mode";
/// The only value of [`PROXY_MODE_ANNOTATION`]: the userspace relay, whatever carries the others.
pub const RELAY: &str = "relay";
/// On a Pod, an EndpointSlice or Endpoints: the [`Weights`] of its endpoints.
pub const WEIGHT_ANNOTATION: &str = "edgesvc.io/weight";

/// On an EndpointSlice: addresses, the oldest Pod's first, for [`Schedule::Leader`].
/// Without it the order in the slice stands for the age.
pub const AGE_ANNOTATION: &str = "edgesvc.io/oldest-first";

/// Who gets the next connection. Weight 0 takes an endpoint out of every schedule:
/// it keeps what it has and gets nothing new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// Any, all equally likely.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
    /// By the client's address: a client stays where it is while the endpoints stay.
    SourceHash,
    /// By the address connected to.
    DestinationHash,
    /// One after the other, each as often as its weight says.
    Weighted,
    /// The one with the fewest open connections; weights have no say.
    LeastConnection,
    /// The one with the shortest expected delay: (open connections + 1) / weight.
    ShortestDelay,
    /// An idle one if there is any, else the one with the shortest expected delay.
    NeverQueue,
    /// The first ready endpoint by age, and no other.
    Leader,
}

impl Schedule {
    /// Every schedule, in the order messages name them.
    pub const ALL: [Schedule; 9] = [
        Schedule::Random,
        Schedule::RoundRobin,
        Schedule::SourceHash,
        Schedule::DestinationHash,
        Schedule::Weighted,
        Schedule::LeastConnection,
        Schedule::ShortestDelay,
        Schedule::NeverQueue,
        Schedule::Leader,
    ];

    /// The word of the annotation.
    pub fn as_str(self) -> &'static str {
        match self {
            Schedule::Random => "random",
            Schedule::RoundRobin => "rr",
            Schedule::SourceHash => "sh",
            Schedule::DestinationHash => "dh",
            Schedule::Weighted => "weighted",
            Schedule::LeastConnection => "lc",
            Schedule::ShortestDelay => "sed",
            Schedule::NeverQueue => "nq",
            Schedule::Leader => "leader",
        }
    }

    /// The schedule of a word.
    pub fn parse(word: &str) -> Option<Schedule> {
        Schedule::ALL.into_iter().find(|schedule| schedule.as_str() == word)
    }
}

/// What is wrong with a weight.
pub const WEIGHT_FAULT: &str = "must be a whole number from 0 to 65535";
/// What is wrong with the weights of a slice.
pub const WEIGHTS_FAULT: &str =
    "must be a whole number from 0 to 65535, or a list like 10.0.0.1=3,10.0.0.2=0 with each address once";

/// The weights of the endpoints of one object: one number for all, or a number for each address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The same for every endpoint.
    All(u16),
    /// By address; an endpoint that is not named has weight 1.
    Each(BTreeMap<IpAddr, u16>),
}

impl Weights {
    /// Reads the annotation of a slice: `3`, or `10.0.0.1=3,10.0.0.2=0`.
    pub fn parse(text: &str) -> Option<Weights> {
        if let Some(weight) = parse_weight(text) {
            return Some(Weights::All(weight));
        }
        let mut each = BTreeMap::new();
        for entry in text.split(',') {
            let (addr, weight) = entry.split_once('=')?;
            if each.insert(addr.trim().parse().ok()?, parse_weight(weight.trim())?).is_some() {
                return None;
            }
        }
        Some(Weights::Each(each))
    }

    /// The weight of an endpoint.
    pub fn of(&self, addr: IpAddr) -> u16 {
        match self {
            Weights::All(weight) => *weight,
            Weights::Each(each) => each.get(&addr).copied().unwrap_or(1),
        }
    }
}

/// Reads the annotation of a Pod: a number in plain digits.
pub fn parse_weight(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_reads_its_own_word_and_no_other() {
        for schedule in Schedule::ALL {
            assert_eq!(Schedule::parse(schedule.as_str()), Some(schedule));
        }
        for other in ["", "RR", "wlc", "rr "] {
            assert_eq!(Schedule::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn weights_are_one_number_or_one_for_each_address() {
        let (first, second): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fd00::2".parse().unwrap());
        assert_eq!(Weights::parse("3").unwrap().of(first), 3);
        let each = Weights::parse("10.0.0.1=65535, fd00::2=0").unwrap();
        assert_eq!((each.of(first), each.of(second), each.of("10.0.0.9".parse().unwrap())), (65535, 0, 1));
        for bad in
            ["", "-1", "+1", "65536", "1.5", "10.0.0.1", "10.0.0.1=", "a=1", "10.0.0.1=1,", "10.0.0.1=1,10.0.0.1=2"]
        {
            assert_eq!(Weights::parse(bad), None, "{bad:?}");
        }
    }
}
