//! Our own source files as text: where product code ends and test code begins,
//! and which rooms a file names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// One file below `src/`.
pub(crate) struct Source {
    /// From the repository's root: `src/api/mod.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Compiled for tests only.
    pub(crate) is_test: bool,
}

impl Source {
    pub(crate) fn of(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), is_test: false }
    }

    /// Every file of `src/`.
    pub(crate) fn all() -> Vec<Source> {
        let mut paths = Vec::new();
        collect(&root().join("src"), &mut paths);
        let mut files: Vec<Source> = paths
            .iter()
            .map(|path| {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                Source::of(name, &fs::read_to_string(path).unwrap())
            })
            .collect();
        assert!(files.len() > 20, "only {} files found in src/", files.len());
        let test_modules: Vec<String> = files.iter().flat_map(Source::test_modules).collect();
        for file in &mut files {
            file.is_test = test_modules
                .iter()
                .any(|module| file.path == format!("{module}.rs") || file.path.starts_with(&format!("{module}/")));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// The room the file stands in: `api` for `src/api/x.rs`, `clock` for `src/clock.rs`.
    pub(crate) fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.trim_end_matches(".rs"))
    }

    /// The text before the tests, which stand last (rule 9).
    pub(crate) fn product_text(&self) -> &str {
        let mut offset = 0;
        let mut gate = None;
        for line in self.text.split_inclusive('\n') {
            let trimmed = line.trim();
            if trimmed == "#[cfg(test)]" {
                gate = Some(offset);
            } else if trimmed.starts_with("mod ") && trimmed.ends_with('{') {
                if let Some(start) = gate {
                    return &self.text[..start];
                }
            } else if !trimmed.starts_with("#[") {
                gate = None;
            }
            offset += line.len();
        }
        &self.text
    }

    /// The product text without comment lines.
    pub(crate) fn product_code(&self) -> String {
        self.product_text().lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// The rooms named as `crate::room` or inside `crate::{...}`.
    pub(crate) fn imported_rooms(&self) -> BTreeSet<String> {
        let code = self.product_code();
        let mut names = Vec::new();
        for (at, found) in code.match_indices("crate::") {
            let is_whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
            let rest = &code[at + found.len()..];
            if !is_whole_word {
                continue;
            }
            match rest.strip_prefix('{') {
                Some(list) => names.extend(top_level_names(list)),
                None => names.push(first_word(rest)),
            }
        }
        // Rooms are lower case; what remains are items re-exported at the root.
        names.into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
    }

    /// What the file names of one room: `Store` for `crate::store::Store` and `crate::store::{Store}`.
    pub(crate) fn items_of(&self, room: &str) -> BTreeSet<String> {
        let code = self.product_code();
        let start = format!("crate::{room}::");
        let mut names = Vec::new();
        for (at, found) in code.match_indices(&start) {
            let rest = &code[at + found.len()..];
            match rest.strip_prefix('{') {
                Some(list) => names.extend(top_level_names(list)),
                None => names.push(first_word(rest)),
            }
        }
        names.into_iter().collect()
    }

    /// Modules declared under `#[cfg(test)]`, as paths without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let path = Path::new(&self.path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let parent = path.parent().unwrap().to_str().unwrap();
        let folder =
            if matches!(stem, "mod" | "lib" | "main") { parent.to_owned() } else { format!("{parent}/{stem}") };
        let mut found = Vec::new();
        let mut gated = false;
        for line in self.text.lines().map(str::trim) {
            if line == "#[cfg(test)]" {
                gated = true;
                continue;
            }
            let declared = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ");
            if let (true, Some(name)) = (gated, declared.and_then(|rest| rest.strip_suffix(';'))) {
                found.push(format!("{folder}/{name}"));
            }
            gated = gated && line.starts_with("#[");
        }
        found
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first word of each item of `a::{b, c}, d};...`.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut item, mut names) = (0_u32, String::new(), Vec::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(first_word(item.trim()));
                item.clear();
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            item.push(c);
        }
    }
    names.push(first_word(item.trim()));
    names.retain(|name| !name.is_empty());
    names
}
