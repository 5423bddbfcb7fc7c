//! The box's name resolution as it was found, gathered once, and where
//! it is. Pure.

use std::path::PathBuf;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Paths {
    pub(super) root: PathBuf,
    /// `--data-dir`.
    pub data_dir: PathBuf,
}

impl Paths {
    /// Those of this box.
    pub fn of_box(data_dir: PathBuf) -> Paths {
        Paths { root: PathBuf::from("/"), data_dir }
    }

    pub(super) fn resolv_conf(&self) -> PathBuf {
        self.root.join("etc/resolv.conf")
    }

    pub(super) fn network_manager(&self) -> PathBuf {
        self.root.join("etc/NetworkManager/conf.d")
    }

    pub(super) fn network_manager_ours(&self) -> PathBuf {
        // Behind the administrator's own files: what is read last counts.
        self.network_manager().join("zz-edgesvc-dns.conf")
    }

    pub(super) fn openresolv(&self) -> PathBuf {
        self.root.join("etc/resolvconf.conf")
    }

    pub(super) fn debian(&self) -> PathBuf {
        self.root.join("etc/resolvconf/resolv.conf.d")
    }

    /// Read before all interfaces' servers, and behind all their domains.
    pub(super) fn debian_files(&self) -> [PathBuf; 2] {
        [self.debian().join("head"), self.debian().join("base")]
    }
}

/// Everything the plans and the report need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `/etc/resolv.conf`; none where there is no such file.
    pub resolv_conf: Option<ConfFile>,
    /// What is kept beside it.
    pub kept: Option<ConfFile>,
    /// The line `hosts:` of nsswitch.conf(5), without that word; none on musl.
    pub nsswitch: Option<String>,
    /// The C library is musl, and no glibc is there.
    pub musl: bool,
    /// systemd-resolved runs.
    pub resolved: bool,
    /// `resolvectl` can be called.
    pub resolvectl: bool,
    /// NetworkManager runs.
    pub network_manager: bool,
    /// `nmcli` can be called.
    pub nmcli: bool,
    /// NetworkManager's folder of configuration files exists.
    pub network_manager_conf: bool,
    /// Our file there.
    pub network_manager_ours: Option<String>,
    /// The program `resolvconf`, and whose it is.
    pub resolvconf: Option<Resolvconf>,
    /// Its configuration files that may hold lines of ours, with their texts.
    pub resolvconf_files: Vec<(PathBuf, Option<String>)>,
    /// Our link exists.
    pub link: bool,
    /// What systemd-resolved knows of our link.
    pub link_names: Option<LinkNames>,
    /// What is to be told to systemd-resolved at each start.
    pub record: Record,
}

/// A file and how it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfFile {
    /// Where the symbolic link leads, if it is one.
    pub link: Option<PathBuf>,
    /// Its text; empty where the link leads nowhere.
    pub text: String,
}

/// Whose `resolvconf` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolvconf {
    /// Debian's.
    Debian,
    /// openresolv.
    Openresolv,
}

/// Servers and domains of a link, as `resolvectl` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkNames {
    /// Servers.
    pub servers: Vec<String>,
    /// Domains.
    pub domains: Vec<String>,
}

/// The record of the way systemd-resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Record {
    /// There is none.
    #[default]
    Absent,
    /// We may not look.
    Hidden,
    /// Set up, with this namespace for names of one word.
    Namespace(String),
}
