//! Does the steps of a plan: all of them, or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;

use super::link::succeeded;
use super::plan::{Plan, Step};

/// Of a file that was not there: everybody reads how names resolve.
const FILE_MODE: u32 = 0o644;
/// Of the data directory, before the daemon's first start.
const FOLDER_MODE: u32 = 0o700;

/// Why a plan was not done.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {hint}")]
pub struct ActError {
    what: String,
    hint: String,
    /// What stood in the way.
    pub obstacle: Obstacle,
    /// What the system said.
    #[source]
    source: io::Error,
    /// What could not be put back as it was; empty where all is.
    pub left: Vec<String>,
}

/// What keeps a step from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The process may not.
    Privilege,
    /// Nobody may write there, for it is mounted so.
    ReadOnly,
    /// Nobody may write there, for the file is marked so.
    Immutable,
    /// Anything else.
    Other,
}

impl Obstacle {
    /// What an error means to a process that is root, or is not. Pure.
    pub(super) fn of(error: &io::Error, is_root: bool) -> Obstacle {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EROFS) => Obstacle::ReadOnly,
            // Root is refused so by the mark alone; others by who owns the file too.
            Some(Errno::EPERM) if is_root => Obstacle::Immutable,
            Some(Errno::EPERM | Errno::EACCES) => Obstacle::Privilege,
            _ => Obstacle::Other,
        }
    }
}

/// How to take a step back.
enum Back {
    Remove(PathBuf),
    Text(PathBuf, Vec<u8>),
    Link(PathBuf, PathBuf),
}

/// Does the plan.
///
/// # Errors
/// A step could not be done; those before it are taken back.
pub fn perform(plan: &Plan) -> Result<(), ActError> {
    let mut back = Vec::new();
    for step in &plan.steps {
        if let Err(source) = act(step, &mut back) {
            let mut left: Vec<String> = back.into_iter().rev().filter_map(|one| take_back(one).err()).collect();
            for amend in &plan.amends {
                let failed = act(amend, &mut Vec::new()).err();
                left.extend(failed.map(|error| format!("{amend}: {error}")));
            }
            let what = step.to_string().lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
            let obstacle = Obstacle::of(&source, nix::unistd::geteuid().is_root());
            return Err(ActError { what, hint: hint(step, obstacle), obstacle, source, left });
        }
    }
    Ok(())
}

fn act(step: &Step, back: &mut Vec<Back>) -> io::Result<()> {
    match step {
        Step::Keep { path, kept } => {
            keep(path, kept)?;
            back.push(Back::Remove(kept.clone()));
        }
        Step::Write { path, text, follow } => {
            let path = if *follow { path.canonicalize().unwrap_or_else(|_| path.clone()) } else { path.clone() };
            let former = former(&path)?;
            if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
                fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
            }
            write(&path, text.as_bytes())?;
            back.push(former);
        }
        Step::PutBack { kept, path } => put_back(kept, path)?,
        Step::Remove { path } => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        },
        Step::Call { program, words } => succeeded(program, words, Command::new(program).args(words).output()?)?,
    }
    Ok(())
}

fn former(path: &Path) -> io::Result<Back> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Back::Remove(path.to_owned())),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_symlink() => Ok(Back::Link(path.to_owned(), fs::read_link(path)?)),
        Ok(_) => Ok(Back::Text(path.to_owned(), fs::read(path)?)),
    }
}

fn take_back(one: Back) -> Result<(), String> {
    let (path, done) = match one {
        Back::Remove(path) => (path.clone(), fs::remove_file(&path)),
        Back::Text(path, bytes) => (path.clone(), write(&path, &bytes)),
        Back::Link(path, target) => (path.clone(), fs::remove_file(&path).and_then(|()| symlink(target, &path))),
    };
    done.map_err(|error| format!("{} could not be put back: {error}", path.display()))
}

/// A second name for the very file, be it a symbolic link: its owner, mode and
/// times come back with it. A copy where the file system gives none.
fn keep(path: &Path, kept: &Path) -> io::Result<()> {
    match fs::remove_file(kept) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if fs::hard_link(path, kept).is_ok() {
        return Ok(());
    }
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(path)?, kept);
    }
    fill(kept, &fs::read(path)?, &metadata)
}

/// At once: whoever reads meanwhile sees the former file or the new one. A file
/// that is mounted (in containers) cannot be replaced; it is written over.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.edgesvc-new"));
    let put = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => fill(&fresh, bytes, &metadata),
        Ok(_) => fill_new(&fresh, bytes, FILE_MODE),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fill_new(&fresh, bytes, FILE_MODE),
        Err(error) => Err(error),
    };
    let put = put.and_then(|()| match fs::rename(&fresh, path) {
        Err(error) if is_mounted(&error) => {
            fs::remove_file(&fresh)?;
            write_over(path, bytes)
        }
        other => other,
    });
    if put.is_err() {
        // It may not have come into being.
        drop(fs::remove_file(&fresh));
    }
    put?;
    // The name is on disk with its folder.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn put_back(kept: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(kept, path) {
        Err(error) if is_mounted(&error) => {
            write_over(path, &fs::read(kept)?)?;
            fs::remove_file(kept)
        }
        other => other,
    }
}

fn is_mounted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EBUSY as i32)
}

/// All of it, or what was there: it is not cut first, so that a disk without room still has
/// the room of the former text.
fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let former = fs::read(path)?;
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut put = |bytes: &[u8]| {
        file.rewind()?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    };
    put(bytes).inspect_err(|_| drop(put(&former)))
}

/// A new file with owner and mode of another.
fn fill(path: &Path, bytes: &[u8], like: &fs::Metadata) -> io::Result<()> {
    fill_new(path, bytes, like.mode() & 0o7777)?;
    // Not ours to give away: the text is what counts.
    drop(std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid())));
    Ok(())
}

fn fill_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // What a crash left there is ours.
    drop(fs::remove_file(path));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // Whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What mends it.
fn hint(step: &Step, obstacle: Obstacle) -> String {
    let path = match step {
        Step::Call { .. } => return "failed".to_owned(),
        Step::Write { path, .. } | Step::PutBack { path, .. } | Step::Remove { path } | Step::Keep { path, .. } => path,
    };
    let shown = path.display();
    match obstacle {
        Obstacle::ReadOnly => {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let mount = mount_of(&mounts, path);
            format!(
                "{mount} is mounted read-only: `mount -o remount,rw {mount}` first; in a container, tell its runtime whom to ask (--dns)"
            )
        }
        Obstacle::Immutable => format!(
            "not permitted to root either: the file or its folder is immutable (lsattr -d {shown}): `chattr -i {shown}` first"
        ),
        Obstacle::Privilege => "not permitted: needs root".to_owned(),
        Obstacle::Other => "failed".to_owned(),
    }
}

/// The mount that a path lies in, by the text of /proc/self/mountinfo: the last one there
/// hides those before. Pure.
pub(super) fn mount_of<'t>(mounts: &'t str, path: &Path) -> &'t str {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let over = points.filter(|point| path.starts_with(point));
    over.max_by_key(|point| point.len()).unwrap_or("/")
}
