//! Which way, and which steps. Pure.

use std::fmt;
use std::path::PathBuf;

use super::facts::{Facts, Paths, Record};
use super::resolv_conf::{owner, parsed};
use super::ways;
use super::wish::Wish;
use crate::dataplane::LINK_NAME;
use crate::dns::MARK_LIVE;

/// Who keeps resolv.conf on many boxes.
const NETWORK_MANAGER: &str = "NetworkManager's";
const RESOLVCONF: &str = "resolvconf's";
const RESOLVED: &str = "systemd-resolved's";

/// How the box is told of edgesvc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Settings of our link in systemd-resolved: it asks edgesvc for names of
    /// Services, and others for all others.
    SystemdResolved,
    /// NetworkManager leaves resolv.conf to us, and goes on keeping its servers in a
    /// file of its own, which edgesvc forwards to.
    NetworkManager,
    /// Lines in the configuration of resolvconf or openresolv.
    Resolvconf,
    /// resolv.conf itself.
    File,
}

impl Way {
    /// All, in the order in which they are looked for.
    pub const ALL: [Way; 4] = [Way::SystemdResolved, Way::NetworkManager, Way::Resolvconf, Way::File];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Way::SystemdResolved => "systemd-resolved",
            Way::NetworkManager => MARK_LIVE,
            Way::Resolvconf => "resolvconf",
            Way::File => "file",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is done to the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keeps a file under another name, whatever it is, in place of what was kept.
    Keep {
        /// The file, which stays.
        path: PathBuf,
        /// Its second name.
        kept: PathBuf,
    },
    /// Writes a file as a whole. A symbolic link is replaced, or followed.
    Write {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// Whether the file that a link leads to is written.
        follow: bool,
    },
    /// Gives a kept file its place back.
    PutBack {
        /// Where it is kept.
        kept: PathBuf,
        /// Its place.
        path: PathBuf,
    },
    /// Removes a file.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// Calls a program.
    Call {
        /// Its name.
        program: &'static str,
        /// Its words.
        words: Vec<String>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Keep { path, kept } => write!(f, "keep {} as {}", path.display(), kept.display()),
            Step::Write { path, text, .. } => {
                write!(f, "write {}:", path.display())?;
                text.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Step::PutBack { kept, path } => write!(f, "put {} back as {}", kept.display(), path.display()),
            Step::Remove { path } => write!(f, "remove {}", path.display()),
            Step::Call { program, words } => write!(f, "call {program} {}", words.join(" ")),
        }
    }
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which way.
    pub way: Way,
    /// Why this one.
    pub why: String,
    /// In this order; empty where all is as it should be.
    pub steps: Vec<Step>,
    /// After files are back, if a step fails.
    pub amends: Vec<Step>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// This way and no other.
    pub with: Option<Way>,
    /// Name edgesvc alone in resolv.conf.
    pub alone: bool,
    /// Even over others' changes.
    pub force: bool,
    /// The cluster DNS answers now.
    pub answers: bool,
}

/// The ways that are set up, by what they left.
pub fn ways_set_up(facts: &Facts) -> Vec<Way> {
    let marked = facts.resolv_conf.as_ref().and_then(|file| owner(&file.text).mark()).map(|mark| mark.way);
    let live = facts.network_manager_ours.is_some() || marked.as_deref() == Some(MARK_LIVE);
    let has = |way: &Way| match way {
        Way::SystemdResolved => matches!(facts.record, Record::Namespace(_)),
        Way::NetworkManager => live,
        Way::Resolvconf => ways::has_lines(facts),
        Way::File => !live && (marked.is_some() || facts.kept.is_some()),
    };
    Way::ALL.into_iter().filter(has).collect()
}

/// Plans `setup`.
///
/// # Errors
/// It cannot be done, or would destroy what others did.
pub fn plan_setup(facts: &Facts, paths: &Paths, wish: &Wish, asked: &Asked) -> Result<Plan, Refusal> {
    let there = ways_set_up(facts);
    let (way, why) = match (there.first(), asked.with) {
        (Some(known), Some(wanted)) if there != [wanted] => {
            return Err(Refusal(format!("is set up with {known}: `edgesvc dns undo` first, then --with {wanted}")));
        }
        (Some(known), _) => (*known, "is set up with it".to_owned()),
        (None, Some(wanted)) => (wanted, "was asked for".to_owned()),
        (None, None) => detected(facts),
    };
    let mut plan = match way {
        Way::SystemdResolved => ways::resolved_setup(facts, paths, wish)?,
        Way::NetworkManager => ways::network_manager_setup(facts, paths, wish, asked)?,
        Way::Resolvconf => ways::resolvconf_setup(facts, wish)?,
        Way::File => ways::file_setup(facts, paths, wish, asked)?,
    };
    if there.len() > 1 {
        let others: Vec<&str> = there.iter().skip(1).map(|way| way.as_str()).collect();
        plan.notes.push(format!("is also set up with {}: `edgesvc dns undo` takes back all of it", others.join(", ")));
    }
    if !asked.answers {
        let at = wish.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        plan.notes.push(format!("edgesvc does not answer at {at} now: names of Services resolve when it runs"));
    }
    plan.why = why;
    Ok(plan)
}

/// Plans `undo`: of every way that left something.
///
/// # Errors
/// It would destroy what others did.
pub fn plan_undo(facts: &Facts, paths: &Paths, force: bool) -> Result<Vec<Plan>, Refusal> {
    let undo = |way: Way| match way {
        Way::SystemdResolved => Ok(ways::resolved_undo(facts, paths)),
        Way::NetworkManager => ways::network_manager_undo(facts, paths, force),
        Way::Resolvconf => ways::resolvconf_undo(facts),
        Way::File => ways::file_undo(facts, paths, way, force),
    };
    ways_set_up(facts).into_iter().map(undo).collect()
}

/// The way of whoever keeps resolv.conf.
fn detected(facts: &Facts) -> (Way, String) {
    let text = facts.resolv_conf.as_ref().map(|file| file.text.as_str()).unwrap_or_default();
    let stub = parsed(text).server().is_some_and(ways::is_resolved);
    if facts.resolved && facts.resolvectl && (stub || ways::asks_resolved_itself(facts)) {
        let why = if stub { "/etc/resolv.conf names systemd-resolved" } else { "nsswitch.conf names systemd-resolved" };
        return (Way::SystemdResolved, why.to_owned());
    }
    match keeper(facts) {
        Some(NETWORK_MANAGER) => (Way::NetworkManager, "NetworkManager writes /etc/resolv.conf".to_owned()),
        Some(RESOLVCONF) if facts.resolvconf.is_some() => {
            (Way::Resolvconf, "resolvconf writes /etc/resolv.conf".to_owned())
        }
        _ => (Way::File, "nobody who is known keeps /etc/resolv.conf".to_owned()),
    }
}

/// Who writes resolv.conf, by its link and its first lines.
pub(super) fn keeper(facts: &Facts) -> Option<&'static str> {
    let file = facts.resolv_conf.as_ref()?;
    let leads = file.link.as_ref().map(|link| link.display().to_string()).unwrap_or_default();
    let known = [
        ("run/NetworkManager/", NETWORK_MANAGER),
        ("resolvconf/", RESOLVCONF),
        ("run/systemd/resolve/", RESOLVED),
        ("run/connman/", "connman"),
    ];
    if let Some((_, name)) = known.iter().find(|(folder, _)| leads.contains(folder)) {
        return Some(name);
    }
    file.text.lines().take(2).find_map(|line| {
        if line.starts_with("# Generated by NetworkManager") {
            return Some(NETWORK_MANAGER);
        }
        is_of_resolvconf(line).then_some(RESOLVCONF)
    })
}

fn is_of_resolvconf(line: &str) -> bool {
    line.starts_with('#') && (line.ends_with("enerated by resolvconf") || line.contains("generated by resolvconf(8)"))
}

/// Said where a way needs our link and it is not there.
pub(super) fn without_link() -> String {
    format!("{LINK_NAME} is not there: takes effect when `edgesvc run` makes it")
}
