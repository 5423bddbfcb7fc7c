//! Checks of the program's own state: configuration, daemon, disk, clock, certificates.

use time::Duration;

use super::facts::{Daemon, Facts};
use super::{Finding, failure, ok, unknown, warning};

/// Below this the store may not be able to rewrite itself.
const FREE_BYTES_MIN: u64 = 16 << 20;
/// The daemon renews certificates a month before their end.
const RENEWAL: Duration = Duration::days(30);

pub(super) fn configuration(facts: &Facts) -> Finding {
    match &facts.config_fault {
        None => ok("configuration", "valid"),
        Some(fault) => failure(
            "configuration",
            fault,
            "correct it; `edgesvc check` shows what is in effect. The checks below look at the defaults",
        ),
    }
}

pub(super) fn daemon(facts: &Facts) -> Finding {
    match &facts.daemon {
        Daemon::Absent(why) => {
            warning("daemon", format!("nobody answers: {why}"), "systemctl start edgesvc, or `edgesvc run`")
        }
        Daemon::Denied(why) => unknown("daemon", why),
        Daemon::Answers { failing, .. } if failing.is_empty() => ok("daemon", "runs and is ready"),
        Daemon::Answers { failing, .. } => failure(
            "daemon",
            format!("runs and is not ready: {}", failing.join("; ")),
            "its log says why: journalctl -u edgesvc",
        ),
    }
}

pub(super) fn versions(facts: &Facts) -> Finding {
    match &facts.daemon {
        Daemon::Answers { version, .. } if version != facts.version => warning(
            "versions",
            format!("the daemon is {version}, this program {}", facts.version),
            "systemctl restart edgesvc (no connection is cut)",
        ),
        Daemon::Answers { version, .. } => ok("versions", format!("daemon and this program are {version}")),
        Daemon::Absent(_) | Daemon::Denied(_) => ok("versions", format!("this program is {}", facts.version)),
    }
}

/// The daemon's own privileges are its unit's; what it lacks it says at its start.
pub(super) fn privileges(facts: &Facts) -> Finding {
    let lacks: Vec<&str> = [(facts.net_admin, "CAP_NET_ADMIN"), (facts.net_bind, "CAP_NET_BIND_SERVICE")]
        .into_iter()
        .filter_map(|(held, name)| (!held).then_some(name))
        .collect();
    if lacks.is_empty() {
        return ok("privileges", "CAP_NET_ADMIN and CAP_NET_BIND_SERVICE are held");
    }
    if facts.runs() {
        return unknown("privileges", format!("this command lacks {}; the daemon runs with its own", lacks.join(", ")));
    }
    warning(
        "privileges",
        format!("{} missing: a daemon started like this could not change the kernel or serve DNS", lacks.join(", ")),
        "start it as root, or by its systemd unit (AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE)",
    )
}

pub(super) fn data_dir(facts: &Facts) -> Finding {
    let disk = &facts.data_dir;
    let (name, path) = ("data directory", &disk.path);
    if let Some(fault) = &disk.fault {
        return unknown(name, format!("{path}: {fault}"));
    }
    if disk.read_only {
        let mend = "mount it read-write, or name another --data-dir";
        return failure(name, format!("{path} is on a read-only file system: nothing can be stored"), mend);
    }
    if disk.free_files == Some(0) {
        return failure(
            name,
            format!("{path}: no file can be made (no inodes left)"),
            "remove files from that file system",
        );
    }
    let free_mib = disk.free_bytes >> 20;
    match disk.free_bytes {
        0 => failure(
            name,
            format!("{path}: the disk is full: writes are refused"),
            "free space there; edgesvc goes on by itself",
        ),
        FREE_BYTES_MIN.. => ok(name, format!("{path}: {free_mib} MiB free")),
        _ => warning(name, format!("{path}: only {free_mib} MiB free"), "free space there"),
    }
}

pub(super) fn clock(facts: &Facts) -> Finding {
    if facts.now >= facts.built {
        return ok("clock", format!("{}", facts.now.date()));
    }
    warning(
        "clock",
        format!(
            "{} is before this program was made ({}): the device has forgotten the time",
            facts.now.date(),
            facts.built.date()
        ),
        "set it: timedatectl set-ntp true, or a real-time clock. Services work meanwhile",
    )
}

pub(super) fn certificates(facts: &Facts) -> Finding {
    let name = "certificates";
    if facts.certificates.is_empty() {
        return ok(name, "none yet; the first start makes them");
    }
    let mut first: Option<(&str, time::OffsetDateTime)> = None;
    for (file, read) in &facts.certificates {
        let (from, until) = match read {
            Ok(validity) => *validity,
            Err(why) => return unknown(name, format!("{file}: {why}")),
        };
        let mend = "the daemon issues new ones at its start and at the next connection: systemctl restart edgesvc";
        if until <= facts.now {
            return failure(name, format!("{file} ended on {}", until.date()), mend);
        }
        if from > facts.now {
            return failure(
                name,
                format!("{file} begins on {}: it was made by a clock that ran ahead", from.date()),
                mend,
            );
        }
        if until - facts.now < RENEWAL {
            return warning(name, format!("{file} ends on {}", until.date()), mend);
        }
        if first.is_none_or(|(_, known)| until < known) {
            first = Some((file, until));
        }
    }
    let (file, until) = first.unwrap_or(("", facts.now));
    ok(name, format!("the first to end is {file}, on {}", until.date()))
}
