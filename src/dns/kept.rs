//! What `edgesvc dns setup` leaves at the box's resolv.conf: a line that says the
//! file is ours, and the former file beside it, which says who answers the rest.
//! Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How the line begins that says a resolv.conf(5) is ours.
pub const MARK: &str = "# edgesvc-dns:";
/// Said behind [`MARK`] where the former file went on being kept up to date by
/// somebody else, in a place of his.
pub const MARK_LIVE: &str = "networkmanager";

/// Where the former file is kept.
pub fn kept_path(path: &Path) -> PathBuf {
    let mut kept = OsString::from(path);
    kept.push(".edgesvc");
    kept.into()
}

/// The words of the line that says a text is ours.
pub fn mark(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(MARK)).map(str::trim)
}

/// Texts in the order in which they say who answers other names: the former file
/// in the place of ours, and ours, which names the same servers behind us, last.
/// `read` gives the text of what is kept beside a path.
pub(crate) fn in_force(files: Vec<(&Path, String)>, read: impl Fn(&Path) -> String) -> Vec<String> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (path, text) in files {
        let Some(mark) = mark(&text) else {
            first.push(text);
            continue;
        };
        let kept = read(&kept_path(path));
        // An old copy must not hide what is kept up to date elsewhere.
        let live = mark.split_whitespace().next() == Some(MARK_LIVE);
        if live {
            last.push(kept)
        } else {
            first.push(kept)
        }
        last.push(text);
    }
    first.extend(last);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_file_stands_in_for_ours() {
        let path = Path::new("/etc/resolv.conf");
        let order = |ours: &str| {
            let files = vec![(path, ours.to_owned()), (Path::new("/run/live"), "live".to_owned())];
            in_force(files, |kept| {
                assert_eq!(kept, Path::new("/etc/resolv.conf.edgesvc"));
                "kept".to_owned()
            })
        };
        let (plain, live) = ("# x\n# edgesvc-dns: file 00\n", "# edgesvc-dns: networkmanager 00\n");
        assert_eq!(order(plain), ["kept", "live", plain]);
        assert_eq!(order(live), ["live", "kept", live]);
        assert_eq!(order("nameserver 192.0.2.1\n"), ["nameserver 192.0.2.1\n", "live"]);
    }
}
