//! Looks at the box's name resolution. Judges nothing, changes nothing.

use std::path::{Path, PathBuf};

use super::facts::{ConfFile, Facts, Paths, Resolvconf};
use super::link;
use crate::dataplane::LINK_NAME;
use crate::dns::kept_path;

/// Bytes read of a file: longer ones are no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Where programs of the administrator are, whatever PATH says.
const SBIN: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Looks.
pub fn look(paths: &Paths) -> Facts {
    let resolvectl = program(link::RESOLVECTL).is_some();
    let resolved = paths.root.join("run/systemd/resolve").exists();
    let link = nix::net::if_::if_nametoindex(LINK_NAME).is_ok();
    let files = [vec![paths.openresolv()], paths.debian_files().to_vec()].concat();
    Facts {
        resolv_conf: conf_file(&paths.resolv_conf()),
        kept: conf_file(&kept_path(&paths.resolv_conf())),
        nsswitch: text(&paths.root.join("etc/nsswitch.conf")).as_deref().and_then(hosts_line),
        musl: is_musl(&paths.root),
        resolved,
        resolvectl,
        network_manager: paths.root.join("run/NetworkManager").exists(),
        nmcli: program("nmcli").is_some(),
        network_manager_conf: paths.network_manager().is_dir(),
        network_manager_ours: text(&paths.network_manager_ours()),
        resolvconf: resolvconf(paths),
        resolvconf_files: files.into_iter().map(|path| (path.clone(), text(&path))).collect(),
        link,
        link_names: if resolved && resolvectl && link { link::names() } else { None },
        record: link::read_record(&paths.data_dir),
    }
}

fn conf_file(path: &Path) -> Option<ConfFile> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    let link = if metadata.is_symlink() { std::fs::read_link(path).ok() } else { None };
    Some(ConfFile { link, text: text(path).unwrap_or_default() })
}

fn text(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn hosts_line(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.trim().strip_prefix("hosts:")).map(|rest| rest.trim().to_owned())
}

/// Where a program is that can be called by its name.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(SBIN.map(PathBuf::from)).collect();
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// systemd-resolved brings a program of that name too, which keeps no records.
fn resolvconf(paths: &Paths) -> Option<Resolvconf> {
    let real = program("resolvconf")?.canonicalize().ok()?;
    if real.file_name().is_some_and(|name| name == link::RESOLVECTL) {
        return None;
    }
    let debian = !paths.openresolv().exists() && paths.debian().is_dir();
    Some(if debian { Resolvconf::Debian } else { Resolvconf::Openresolv })
}

/// By the loaders of programs: both are there on few boxes, and glibc's programs are
/// the system's then.
fn is_musl(root: &Path) -> bool {
    let has = |folder: &str, start: &str| {
        let entries = std::fs::read_dir(root.join(folder));
        entries.is_ok_and(|found| found.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(start)))
    };
    let glibc = ["lib", "lib64", "usr/lib64"].iter().any(|folder| has(folder, "ld-linux"));
    !glibc && ["lib", "usr/lib"].iter().any(|folder| has(folder, "ld-musl-"))
}
