//! What a model is, as its family's crate writes it down.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::header::Entry;

/// A published model.
#[derive(Debug, Clone, Copy)]
pub struct Manifest {
    /// Short name for command lines.
    pub name: &'static str,
    /// `owner/name` on the hub.
    pub repository: &'static str,
    /// For each file that is read the paths under which it may be found, best first.
    pub files: &'static [&'static [&'static str]],
}

impl Manifest {
    /// The folder of the model among others: its repository's name.
    pub fn folder(&self) -> &'static str {
        self.repository.split_once('/').map_or(self.repository, |(_, name)| name)
    }
}

/// Says in a few words what a set of tensors makes up; `None` for networks that it does not know.
pub type Recognise = fn(&BTreeMap<String, Entry>) -> Option<String>;

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it is called in messages.
    pub name: &'static str,
    /// Sub-folder (empty for the folder itself) and file that marks it, in order of preference.
    pub places: &'static [(&'static str, &'static str)],
}

impl Part {
    fn find(self, root: &Path) -> Result<(PathBuf, PathBuf), Error> {
        for (folder, file) in self.places {
            let dir = if folder.is_empty() { root.to_owned() } else { root.join(folder) };
            let marker = dir.join(file);
            if marker.is_file() {
                return Ok((dir, marker));
            }
        }
        let tried = self.places.iter().map(|(folder, file)| root.join(folder).join(file)).collect();
        Err(Error::NoPart { part: self.name, root: root.to_owned(), tried })
    }
}

/// The folder of a part of the model at `root`.
///
/// # Errors
/// When no place of it has its mark.
pub fn part_dir(root: &Path, part: Part) -> Result<PathBuf, Error> {
    Ok(part.find(root)?.0)
}

/// The configuration of a part of the model at `root`.
///
/// # Errors
/// When it is missing, cannot be read or is none of a `T`.
pub fn config<T: DeserializeOwned>(root: &Path, part: Part) -> Result<T, Error> {
    let path = part.find(root)?.1;
    let text =
        fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    serde_json::from_str(&text)
        .map_err(|e| Error::Malformed { path, why: format!("{} configuration: {e}", part.name) })
}
