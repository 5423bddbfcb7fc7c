//! The file system a machine starts with: an archive the kernel unpacks into
//! memory (cpio, format "newc").

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that is being written.
pub(crate) struct Archive<W> {
    out: W,
    entries: usize,
    /// Folders and files that are there already.
    paths: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Archive<W> {
        Archive { out, entries: 0, paths: BTreeSet::new() }
    }

    /// A file with its folders. The first of a name stays.
    pub(crate) fn file(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        if self.paths.contains(path) {
            return Ok(());
        }
        self.folder(path.parent().expect("a file stands in a folder"))?;
        self.entry(path, PROGRAM, content)
    }

    /// A file of this machine, elsewhere.
    pub(crate) fn copy(&mut self, from: &Path, path: &Path) -> io::Result<()> {
        let content = fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.file(path, &content)
    }

    /// A program and the libraries it is linked with, these at their own places.
    pub(crate) fn program(&mut self, from: &Path, path: &Path) -> io::Result<()> {
        let said = Command::new("ldd").arg(from).output().expect("ldd runs");
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            // `libc.so.6 => /lib/... (0x...)`, or the loader's path alone.
            if let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) {
                self.copy(Path::new(library), Path::new(library))?;
            }
        }
        self.copy(from, path)
    }

    /// A folder of this machine with all below it.
    pub(crate) fn tree(&mut self, from: &Path, path: &Path) -> io::Result<()> {
        self.folder(path)?;
        for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
            let entry = entry?;
            let (from, path) = (entry.path(), path.join(entry.file_name()));
            if from.is_dir() { self.tree(&from, &path) } else { self.copy(&from, &path) }?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.entry(Path::new("/TRAILER!!!"), 0, &[])?;
        self.out.flush()
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if path == Path::new("/") || self.paths.contains(path) {
            return Ok(());
        }
        self.folder(path.parent().expect("below the root"))?;
        self.entry(path, FOLDER, &[])
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        self.paths.insert(path.to_owned());
        let name = path.strip_prefix("/").expect("paths are absolute").to_str().expect("names are text");
        let links = 1;
        let fields = [self.entries, mode as usize, 0, 0, links, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.padded(&[name.as_bytes(), b"\0"].concat(), 110)?;
        self.padded(content, 0)
    }

    /// Bytes that follow `before` others, to a multiple of four.
    fn padded(&mut self, bytes: &[u8], before: usize) -> io::Result<()> {
        let filled = before + bytes.len();
        self.out.write_all(bytes)?;
        self.out.write_all(&[0; 3][..filled.next_multiple_of(4) - filled])
    }
}
