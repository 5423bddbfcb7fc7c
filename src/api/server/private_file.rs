//! Files that only their owner may read: keys, certificates, tokens. Blocking.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The content; `None` when there is no such file, or it is larger than any of ours.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(found) if found.len() > bytes_max => Ok(None),
        Ok(_) => fs::read(path).map(Some),
    }
}

/// Replaces a file as a whole, durably; unchanged content is not written again,
/// so that a start costs the flash nothing.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    fs::rename(&fresh, path)?;
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::File::open(parent).and_then(|dir| dir.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_private_whole_and_not_written_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read(&path, 10).unwrap(), None);
        fs::write(dir.path().join("f.new"), "left by a crash").unwrap();
        write(&path, b"one").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        write(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"one");
        assert_eq!(read(&path, 2).unwrap(), None);
    }
}
