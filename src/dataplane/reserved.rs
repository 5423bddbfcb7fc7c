//! Ports the kernel must not hand to outgoing connections: a node port is no
//! socket, so a connection of the box that got its number would hide it from
//! clients on that address.
//!
//! What we add to `ip_local_reserved_ports` is noted in the set `reserved-ports`, so
//! that the next process, or `dataplane cleanup`, can take it back.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;

use super::table::{SetName, Slot};
use crate::model::IpFamily;

const PATH: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

type Ports = BTreeSet<u16>;

/// Reserves node ports in place of those reserved by us before. Answers which
/// ones are reserved by us now.
pub(super) fn reserve(wanted: Option<&RangeInclusive<u16>>, before: &Ports) -> io::Result<Ports> {
    let now = parse(&std::fs::read_to_string(PATH)?);
    let (reserved, ours) = plan(&now, before, wanted);
    if reserved != now {
        std::fs::write(PATH, format(&reserved))?;
    }
    Ok(ours)
}

/// What is to be reserved, and what of it by us: nothing of others is taken over.
fn plan(now: &Ports, before: &Ports, wanted: Option<&RangeInclusive<u16>>) -> (Ports, Ports) {
    let others: Ports = now.difference(before).copied().collect();
    let wanted: Ports = wanted.into_iter().flat_map(|range| range.clone()).collect();
    let ours: Ports = wanted.difference(&others).copied().collect();
    (others.union(&ours).copied().collect(), ours)
}

/// `8080,9148-9150`; what is torn is left out.
fn parse(text: &str) -> Ports {
    let range = |part: &str| -> Option<RangeInclusive<u16>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn format(ports: &Ports) -> String {
    let texts: Vec<String> = ranges(ports).into_iter().map(|(first, last)| format!("{first}-{last}")).collect();
    // An empty write changes nothing; a line without a port clears the list.
    texts.join(",") + "\n"
}

fn ranges(ports: &Ports) -> Vec<(u16, u16)> {
    let mut found: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match found.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*port) => *last = *port,
            Some(_) | None => found.push((*port, *port)),
        }
    }
    found
}

/// The note of ports, in the IPv4 table: the kernel's list is one for both families.
pub(super) fn notes(ports: &Ports) -> BTreeSet<Slot> {
    let key = |(first, last): (u16, u16)| {
        let field = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
        Slot::new(IpFamily::V4, SetName::ReservedPorts, [field(first), field(last)].concat())
    };
    ranges(ports).into_iter().map(key).collect()
}

/// The ports of a note.
pub(super) fn noted(slots: impl IntoIterator<Item = Slot>) -> Ports {
    let range = |slot: Slot| {
        let port = |at: usize| Some(u16::from_be_bytes(slot.key.start.get(at..at + 2)?.try_into().ok()?));
        Some(port(0)?..=port(4)?)
    };
    slots.into_iter().filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written_as_the_kernel_does() {
        assert_eq!(format(&parse("8080,9148-9150,9151\n")), "8080-8080,9148-9151\n");
        assert!(parse("\n").is_empty() && parse("x,1-,70000").is_empty());
        assert_eq!(format(&Ports::new()), "\n");
    }

    #[test]
    fn what_others_reserved_stays_theirs() {
        let range = 100..=110;
        let (reserved, ours) = plan(&parse("90,105-106"), &Ports::new(), Some(&range));
        assert_eq!(format(&reserved), "90-90,100-110\n");
        assert_eq!(format(&ours), "100-104,107-110\n");
        assert_eq!(noted(notes(&ours)), ours);
        assert_eq!(plan(&reserved, &ours, Some(&range)), (reserved.clone(), ours.clone()), "the next process");
        let (reserved, ours) = plan(&reserved, &ours, None);
        assert_eq!(format(&reserved), "90-90,105-106\n", "all is taken back");
        assert!(ours.is_empty());
    }
}
