//! A file that is always whole: whoever opens it sees the text before or after.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A new file's mode: variables of Services are no secret.
const MODE: u32 = 0o644;
/// Mode bits that are kept.
const MODE_BITS: u32 = 0o7777;

/// Makes the file hold `text`; false when it did already. A link is followed, so
/// that what it points to is replaced; mode and owner are kept.
pub(super) fn write_if_changed(path: &Path, text: &str) -> io::Result<bool> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    let before = match fs::metadata(&target) {
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // The length first: a large file put there by mistake is not read.
    if before.as_ref().is_some_and(|known| known.len() == text.len() as u64) && fs::read(&target)? == text.as_bytes() {
        return Ok(false);
    }
    replace(&target, text, before.as_ref())?;
    Ok(true)
}

fn replace(target: &Path, text: &str, before: Option<&fs::Metadata>) -> io::Result<()> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (new, mut file) = beside(folder)?;
    let written = (|| {
        file.write_all(text.as_bytes())?;
        let ours = file.metadata()?;
        if let Some(before) = before
            && (before.uid(), before.gid()) != (ours.uid(), ours.gid())
        {
            std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        // After the owner: a change of owner clears bits.
        file.set_permissions(Permissions::from_mode(before.map_or(MODE, |before| before.mode() & MODE_BITS)))?;
        file.sync_all()?;
        fs::rename(&new, target)
    })();
    if let Err(error) = written {
        // The first fault is the one to tell.
        drop(fs::remove_file(&new));
        return Err(error);
    }
    // Without it the name may be lost with the power, though not the text.
    File::open(folder)?.sync_all()
}

/// A new file in the folder that nobody else has, or can have opened.
fn beside(folder: &Path) -> io::Result<(PathBuf, File)> {
    let name = format!(".edgesvc-env-{}-{:08x}", std::process::id(), fastrand::u32(..));
    let path = folder.join(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_new_file_is_for_everybody_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.env");
        assert!(write_if_changed(&path, "A=1\n").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "A=1\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & MODE_BITS, 0o644);
        assert_eq!(names(folder.path()), ["a.env"]);
    }

    #[test]
    fn the_same_text_writes_nothing_and_another_keeps_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.env");
        write_if_changed(&path, "A=1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        assert!(!write_if_changed(&path, "A=1\n").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert!(write_if_changed(&path, "A=2\n").unwrap());
        let after = fs::metadata(&path).unwrap();
        assert_ne!(after.ino(), inode);
        assert_eq!(after.mode() & MODE_BITS, 0o640);
    }

    #[test]
    fn a_link_stays_and_what_it_points_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        assert!(write_if_changed(&link, "new").unwrap());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_replaced_is_left_alone_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        let said = write_if_changed(&folder.path().join("d"), "x").unwrap_err().to_string();
        assert!(said.contains("no regular file"), "{said}");
        assert!(write_if_changed(&folder.path().join("none/a.env"), "x").is_err());
        assert!(write_if_changed(Path::new("/dev/null"), "x").is_err());
        assert_eq!(names(folder.path()), ["d"]);
    }
}
