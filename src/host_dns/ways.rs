//! The steps of each way. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::block;
use super::facts::{Facts, Paths, Record, Resolvconf};
use super::link;
use super::plan::{Asked, Plan, Refusal, Step, Way, without_link};
use super::resolv_conf::{Manner, Mark, Owner, owner, too_long, written};
use super::wish::Wish;
use crate::dns::kept_path;

const NMCLI: &str = "nmcli";
const RESOLVCONF: &str = "resolvconf";
/// systemd-resolved's stubs.
const STUBS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];
/// What NetworkManager is told: its servers stay in /run/NetworkManager/no-stub-resolv.conf.
const NETWORK_MANAGER_CONF: &str =
    "# Written by `edgesvc dns setup`; `edgesvc dns undo` removes it.\n[main]\nrc-manager=unmanaged\n";

pub(super) fn is_resolved(addr: IpAddr) -> bool {
    STUBS.iter().any(|stub| IpAddr::V4(*stub) == addr)
}

/// Programs ask systemd-resolved without a look at resolv.conf.
pub(super) fn asks_resolved_itself(facts: &Facts) -> bool {
    let line = facts.nsswitch.as_deref().unwrap_or_default();
    line.split_whitespace().take_while(|word| *word != "dns").any(|word| word == "resolve")
}

fn plan(way: Way, steps: Vec<Step>) -> Plan {
    Plan { way, why: String::new(), steps, amends: Vec::new(), notes: Vec::new() }
}

pub(super) fn resolved_setup(facts: &Facts, paths: &Paths, wish: &Wish) -> Result<Plan, Refusal> {
    if !facts.resolved || !facts.resolvectl {
        let what = if facts.resolved { "resolvectl is not on PATH" } else { "systemd-resolved does not run" };
        return Err(Refusal(format!("{what}: choose another way, --with networkmanager, resolvconf or file")));
    }
    let text = link::record_text(wish);
    let mut steps = Vec::new();
    if facts.record != Record::Namespace(wish.namespace.clone()) {
        steps.push(Step::Write { path: link::record_path(&paths.data_dir), text, follow: true });
    }
    let known = facts.link_names.as_ref().is_some_and(|names| link::knows(names, wish));
    let mut plan = plan(Way::SystemdResolved, steps);
    if facts.link && !known {
        let call = |words| Step::Call { program: link::RESOLVECTL, words };
        plan.steps.extend(link::calls(wish).into_iter().map(call));
        plan.amends.push(call(link::revert()));
    }
    if !facts.link {
        plan.notes.push(without_link());
    }
    if asks_resolved_itself(facts) {
        plan.notes.push("nsswitch.conf asks systemd-resolved itself (nss-resolve), which searches single words only: call Services of other namespaces by their whole name, or take `resolve` out there".to_owned());
    }
    let stub = facts.resolv_conf.as_ref().and_then(|file| super::resolv_conf::parsed(&file.text).server());
    if !stub.is_some_and(is_resolved) && !asks_resolved_itself(facts) {
        plan.notes.push("/etc/resolv.conf does not name systemd-resolved: programs do not ask it; make it a link to /run/systemd/resolve/stub-resolv.conf, or --with file".to_owned());
    }
    Ok(plan)
}

pub(super) fn resolved_undo(facts: &Facts, paths: &Paths) -> Plan {
    let mut steps = Vec::new();
    if facts.link && facts.resolved && facts.resolvectl {
        steps.push(Step::Call { program: link::RESOLVECTL, words: link::revert() });
    }
    steps.push(Step::Remove { path: link::record_path(&paths.data_dir) });
    plan(Way::SystemdResolved, steps)
}

fn reload() -> Step {
    Step::Call { program: NMCLI, words: ["general", "reload"].map(str::to_owned).to_vec() }
}

pub(super) fn network_manager_setup(facts: &Facts, paths: &Paths, wish: &Wish, asked: &Asked) -> Result<Plan, Refusal> {
    if !facts.network_manager_conf {
        let folder = paths.network_manager();
        return Err(Refusal(format!("{} is not there: NetworkManager is not installed", folder.display())));
    }
    let mut plan = conf_setup(facts, paths, wish, asked, Way::NetworkManager)?;
    if facts.network_manager_ours.as_deref() != Some(NETWORK_MANAGER_CONF) {
        // Before resolv.conf: NetworkManager would write over it.
        let mut first = vec![Step::Write {
            path: paths.network_manager_ours(),
            text: NETWORK_MANAGER_CONF.to_owned(),
            follow: true,
        }];
        if facts.nmcli {
            first.push(reload());
            plan.amends.push(reload());
        } else {
            plan.notes.push(
                "nmcli is not on PATH: reload NetworkManager yourself, before the next change of its connections"
                    .to_owned(),
            );
        }
        first.append(&mut plan.steps);
        plan.steps = first;
    }
    Ok(plan)
}

pub(super) fn network_manager_undo(facts: &Facts, paths: &Paths, force: bool) -> Result<Plan, Refusal> {
    let mut plan = file_undo(facts, paths, Way::NetworkManager, force)?;
    if facts.network_manager_ours.is_some() {
        plan.steps.push(Step::Remove { path: paths.network_manager_ours() });
        if facts.nmcli {
            plan.steps.push(reload());
        }
    }
    Ok(plan)
}

/// resolv.conf is ours, be it changed since.
pub(super) fn is_ours(facts: &Facts) -> bool {
    facts.resolv_conf.as_ref().is_some_and(|file| owner(&file.text) != Owner::Other)
}

/// The namespace of names of one word that the box was set up with.
pub fn namespace(facts: &Facts) -> Option<String> {
    let of_conf = || facts.resolv_conf.as_ref().and_then(|file| owner(&file.text).mark()).map(|mark| mark.namespace);
    let of_lines = || {
        let texts = facts.resolvconf_files.iter().filter_map(|(_, text)| block::lines(text.as_deref()?));
        texts.flat_map(|lines| lines.split([' ', '"', '\n'])).find_map(|word| {
            let (namespace, _) = word.split_once(".svc.")?;
            Some(namespace.to_owned())
        })
    };
    match &facts.record {
        Record::Namespace(namespace) => Some(namespace.clone()),
        Record::Absent | Record::Hidden => of_conf().or_else(of_lines),
    }
}

pub(super) fn has_lines(facts: &Facts) -> bool {
    let ours = |text: &Option<String>| text.as_deref().is_some_and(|text| block::without(text) != Ok(None));
    facts.resolvconf_files.iter().any(|(_, text)| ours(text))
}

pub(super) fn resolvconf_setup(facts: &Facts, wish: &Wish) -> Result<Plan, Refusal> {
    let Some(flavour) = facts.resolvconf else {
        return Err(Refusal("resolvconf is not on PATH: choose another way, --with file".to_owned()));
    };
    let (search, server) = (wish.search().join(" "), wish.server().map(|at| at.to_string()).unwrap_or_default());
    // Former values are read by the shell, so that the administrator's stay in effect.
    let openresolv = vec![
        format!("name_servers=\"{server}${{name_servers:+ $name_servers}}\""),
        format!("search_domains=\"{search}${{search_domains:+ $search_domains}}\""),
    ];
    let lines = match flavour {
        Resolvconf::Openresolv => vec![openresolv, vec![], vec![]],
        Resolvconf::Debian => vec![vec![], vec![format!("nameserver {server}")], vec![format!("search {search}")]],
    };
    let mut plan = plan(Way::Resolvconf, Vec::new());
    for ((path, text), lines) in facts.resolvconf_files.iter().zip(lines).filter(|(_, lines)| !lines.is_empty()) {
        let wanted = block::with(text.as_deref(), &lines).map_err(|block::Broken| broken(path))?;
        if text.as_ref() != Some(&wanted) {
            plan.steps.push(Step::Write { path: path.clone(), text: wanted, follow: true });
        }
    }
    if !plan.steps.is_empty() {
        plan.steps.push(update());
        plan.amends.push(update());
    }
    if flavour == Resolvconf::Debian {
        plan.notes.push("resolvconf puts the domains of Services behind those of the links".to_owned());
    }
    Ok(plan)
}

pub(super) fn resolvconf_undo(facts: &Facts) -> Result<Plan, Refusal> {
    let mut plan = plan(Way::Resolvconf, Vec::new());
    for (path, text) in &facts.resolvconf_files {
        let former = block::without(text.as_deref().unwrap_or_default()).map_err(|block::Broken| broken(path))?;
        match former {
            None => {}
            Some(None) => plan.steps.push(Step::Remove { path: path.clone() }),
            Some(Some(text)) => plan.steps.push(Step::Write { path: path.clone(), text, follow: true }),
        }
    }
    if facts.resolvconf.is_some() {
        plan.steps.push(update());
    }
    Ok(plan)
}

fn update() -> Step {
    Step::Call { program: RESOLVCONF, words: vec!["-u".to_owned()] }
}

fn broken(path: &Path) -> Refusal {
    Refusal(format!("{}: the lines of edgesvc begin and do not end; take them out by hand", path.display()))
}

pub(super) fn file_setup(facts: &Facts, paths: &Paths, wish: &Wish, asked: &Asked) -> Result<Plan, Refusal> {
    let mut plan = conf_setup(facts, paths, wish, asked, Way::File)?;
    if facts.resolved && asks_resolved_itself(facts) {
        plan.notes.push("nsswitch.conf asks systemd-resolved before resolv.conf is looked at".to_owned());
    }
    Ok(plan)
}

/// resolv.conf, by whichever way.
fn conf_setup(facts: &Facts, paths: &Paths, wish: &Wish, asked: &Asked, way: Way) -> Result<Plan, Refusal> {
    let (path, kept) = (paths.resolv_conf(), kept_path(&paths.resolv_conf()));
    // musl asks all servers at once and takes the first answer, a denial too.
    let before = facts.resolv_conf.as_ref().and_then(|file| owner(&file.text).mark());
    let alone = asked.alone || facts.musl || before.is_some_and(|mark| mark.alone);
    if alone && !asked.answers && !asked.force {
        return Err(Refusal(
            "edgesvc does not answer, and shall be the only server: the box would have no names; start it first, or --force".to_owned(),
        ));
    }
    let mark = |file: &super::facts::ConfFile| owner(&file.text);
    let (former, keep) = match facts.resolv_conf.as_ref().map(|file| (file, mark(file))) {
        None => (None, false),
        Some((file, Owner::Other)) => (Some(file.text.as_str()), true),
        Some((_, Owner::Edited(_))) if !asked.force => return Err(edited(&path)),
        Some((_, Owner::Ours(mark) | Owner::Edited(mark))) => (former_of(facts, &mark, &path, &kept)?, false),
    };
    let text = written(former, wish, Manner { way: way.as_str(), alone });
    let mut plan = plan(way, Vec::new());
    if facts.resolv_conf.as_ref().map(|file| &file.text) != Some(&text) {
        if keep {
            plan.steps.push(Step::Keep { path: path.clone(), kept });
        }
        plan.notes.extend(too_long(&text));
        plan.steps.push(Step::Write { path, text, follow: false });
    }
    if facts.musl {
        plan.notes.push(
            "musl asks all servers at once: edgesvc is the only one, and while it does not run the box has no names"
                .to_owned(),
        );
    }
    Ok(plan)
}

/// The former file; none where there was none.
fn former_of<'f>(facts: &'f Facts, mark: &Mark, path: &Path, kept: &Path) -> Result<Option<&'f str>, Refusal> {
    match &facts.kept {
        Some(file) => Ok(Some(file.text.as_str())),
        None if mark.absent => Ok(None),
        None => Err(Refusal(format!(
            "{} is ours, and what was there before is no longer in {}: write {} as it shall be without edgesvc, then set up again",
            path.display(),
            kept.display(),
            path.display()
        ))),
    }
}

fn edited(path: &Path) -> Refusal {
    Refusal(format!(
        "{} was changed by somebody else since `edgesvc dns setup`: --force does it all the same, and that change is lost",
        path.display()
    ))
}

pub(super) fn file_undo(facts: &Facts, paths: &Paths, way: Way, force: bool) -> Result<Plan, Refusal> {
    let (path, kept) = (paths.resolv_conf(), kept_path(&paths.resolv_conf()));
    let back = || Step::PutBack { kept: kept.clone(), path: path.clone() };
    let steps = match (facts.resolv_conf.as_ref().map(|file| owner(&file.text)), &facts.kept) {
        (Some(Owner::Edited(_)), _) if !force => return Err(edited(&path)),
        (Some(Owner::Ours(mark) | Owner::Edited(mark)), None) if mark.absent => vec![Step::Remove { path }],
        (Some(Owner::Ours(mark) | Owner::Edited(mark)), None) => {
            // Says what to do; there is nothing to bring back.
            former_of(facts, &mark, &path, &kept)?;
            vec![]
        }
        (Some(Owner::Ours(_) | Owner::Edited(_)), Some(_)) => vec![back()],
        (_, None) => vec![],
        // A setup that ended halfway.
        (Some(Owner::Other), Some(file)) if facts.resolv_conf.as_ref() == Some(file) => {
            vec![Step::Remove { path: kept }]
        }
        (_, Some(_)) if force => vec![back()],
        (_, Some(_)) => return Err(written_anew(&path, &kept)),
    };
    Ok(plan(way, steps))
}

fn written_anew(path: &Path, kept: &Path) -> Refusal {
    Refusal(format!(
        "{} was written anew by somebody else since `edgesvc dns setup`: --force puts back {} all the same; if {} is right as it is, remove {}",
        path.display(),
        kept.display(),
        path.display(),
        kept.display()
    ))
}
