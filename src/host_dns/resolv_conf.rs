//! resolv.conf(5) with edgesvc in it: made from the former one, and known again.
//! Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use ring::digest::{SHA256, digest};

use super::wish::Wish;
use crate::dns::{MARK, mark};

/// Servers the C library asks (MAXNS); what stands behind them is not read.
const SERVERS_MAX: usize = 3;
/// Domains and bytes of a search list that C libraries before glibc 2.26, and musl,
/// read (MAXDNSRCH, and the length of their line).
const SEARCH_MAX: usize = 6;
const SEARCH_BYTES_MAX: usize = 256;
/// Bytes of the checksum that are written: it tells edits, not forgeries.
const CHECKSUM_BYTES: usize = 8;
/// Said in the mark where there was no file before, and where edgesvc is the only server.
const ABSENT: &str = "absent";
const ALONE: &str = "alone";
/// Before the namespace of names of one word.
const NAMESPACE: &str = "namespace=";

/// What a resolv.conf says that we carry on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed<'t> {
    pub(super) servers: Vec<&'t str>,
    /// The last list counts.
    pub(super) search: Vec<&'t str>,
    /// Options and all that is neither of them; without comments.
    rest: Vec<&'t str>,
}

/// Reads it as the C library does.
pub(super) fn parsed(text: &str) -> Parsed<'_> {
    let mut found = Parsed::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            None => {}
            Some("nameserver") => found.servers.extend(words.next()),
            Some("search" | "domain") => found.search = words.collect(),
            Some(word) if word.starts_with(['#', ';']) => {}
            Some(_) => found.rest.push(line.trim()),
        }
    }
    found
}

impl Parsed<'_> {
    /// The C library takes turns among the servers.
    fn rotates(&self) -> bool {
        let mut words = self.rest.iter().filter(|line| line.starts_with("options")).flat_map(|l| l.split_whitespace());
        words.any(|word| word == "rotate")
    }

    /// The first server.
    pub(super) fn server(&self) -> Option<IpAddr> {
        self.servers.first()?.parse().ok()
    }
}

/// How the file shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// The way's word, for the mark.
    pub(super) way: &'static str,
    /// Only edgesvc is named, and no former server behind it.
    pub(super) alone: bool,
}

/// The file that stands in for the former one; `None` where there was none.
pub(super) fn written(former: Option<&str>, wish: &Wish, manner: Manner) -> String {
    let was = parsed(former.unwrap_or_default());
    let ours: Vec<String> = wish.servers.iter().map(IpAddr::to_string).collect();
    let mut search = wish.search();
    for domain in &was.search {
        if !search.iter().any(|known| known == domain) {
            search.push((*domain).to_owned());
        }
    }
    let mut body = format!("search {}\n", search.join(" "));
    if let Some(server) = wish.server() {
        writes(&mut body, format_args!("nameserver {server}"));
    }
    let mut behind: Vec<&str> = Vec::new();
    for server in &was.servers {
        if !ours.iter().any(|own| own == server) && !behind.contains(server) && behind.len() + 1 < SERVERS_MAX {
            behind.push(server);
        }
    }
    // Whoever takes turns would ask the former servers for Services.
    if !manner.alone && !was.rotates() && !behind.is_empty() {
        body.push_str("# Asked while edgesvc does not answer:\n");
        behind.iter().for_each(|server| writes(&mut body, format_args!("nameserver {server}")));
    }
    was.rest.iter().for_each(|line| writes(&mut body, format_args!("{line}")));
    let namespace = format!("{NAMESPACE}{}", wish.namespace);
    let (absent, sum) = (former.is_none().then_some(ABSENT), checksum(&body));
    let words = [Some(manner.way), Some(&namespace), manner.alone.then_some(ALONE), absent, Some(&sum)];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    let words = words.join(" ");
    format!("# Written by `edgesvc dns setup`; `edgesvc dns undo` brings back what was here.\n{MARK} {words}\n{body}")
}

/// Writing to a text cannot fail.
fn writes(text: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(text, "{line}");
    debug_assert!(written.is_ok());
}

/// What users of a search list of this length may not see of it.
pub(super) fn too_long(text: &str) -> Option<String> {
    let search = parsed(text).search;
    let bytes = search.join(" ").len();
    (search.len() > SEARCH_MAX || bytes > SEARCH_BYTES_MAX).then(|| {
        format!(
            "the search list has {} domains in {bytes} bytes: musl, and glibc before 2.26, read {SEARCH_MAX} in {SEARCH_BYTES_MAX}",
            search.len()
        )
    })
}

/// Whose a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Another's.
    Other,
    /// Ours, as we wrote it.
    Ours(Mark),
    /// Ours, and changed since.
    Edited(Mark),
}

/// What our mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The way's word.
    pub(super) way: String,
    /// The namespace of names of one word.
    pub(super) namespace: String,
    /// There was no file before.
    pub(super) absent: bool,
    /// edgesvc is the only server.
    pub(super) alone: bool,
}

impl Owner {
    /// Our mark, if it is ours.
    pub(super) fn mark(self) -> Option<Mark> {
        match self {
            Owner::Other => None,
            Owner::Ours(mark) | Owner::Edited(mark) => Some(mark),
        }
    }
}

/// Whose it is.
pub(super) fn owner(text: &str) -> Owner {
    let Some(words) = mark(text) else { return Owner::Other };
    let words: Vec<&str> = words.split_whitespace().collect();
    let found = Mark {
        way: words.first().copied().unwrap_or_default().to_owned(),
        namespace: words.iter().find_map(|word| word.strip_prefix(NAMESPACE)).unwrap_or("default").to_owned(),
        absent: words.contains(&ABSENT),
        alone: words.contains(&ALONE),
    };
    let body = text.split_inclusive('\n').skip_while(|line| !line.starts_with(MARK)).skip(1).collect::<String>();
    if words.last().copied() == Some(checksum(&body).as_str()) { Owner::Ours(found) } else { Owner::Edited(found) }
}

fn checksum(body: &str) -> String {
    let sum = digest(&SHA256, body.as_bytes());
    sum.as_ref().iter().take(CHECKSUM_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
