//! A repository, and which of its files are wanted.

use crate::pins::{Pin, Pins};

/// A repository, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Short name for command lines.
    pub name: String,
    /// `owner/name` on the hub.
    pub repository: String,
    /// Sub-folder of the target folder.
    pub folder: String,
    /// Branch, tag or commit. `None` is the commit that the folder's record names, or else `main`.
    pub revision: Option<String>,
    /// For each file the paths under which it may be found, best first.
    pub files: Vec<Vec<String>>,
    /// What they must be.
    pub(crate) pins: Option<Pins>,
}

impl Model {
    /// The newest commit of `repository`, `owner/name`, into a folder of its name; for each of `files` the
    /// paths under which it may be found, best first.
    pub fn new(name: &str, repository: &str, files: &[&[&str]]) -> Self {
        Self {
            name: name.to_owned(),
            repository: repository.to_owned(),
            folder: repository.split_once('/').map_or(repository, |(_, name)| name).to_owned(),
            revision: None,
            files: files
                .iter()
                .map(|paths| paths.iter().map(|&p| p.to_owned()).collect())
                .collect(),
            pins: None,
        }
    }

    /// The same at `commit`, where each of `files` has this SHA-256, whatever a hub says.
    #[must_use]
    pub fn pinned(self, commit: &str, files: &[(&str, &str)]) -> Self {
        Self { pins: Some(Pins::of(commit, files)), ..self }
    }

    /// The same files from another repository, of which nothing is known.
    #[must_use]
    pub fn from(self, repository: String) -> Self {
        Self { repository, pins: None, ..self }
    }

    /// What the file at `path` must be.
    pub(crate) fn pin(&self, path: &str) -> Option<&Pin> {
        self.pins.as_ref()?.files.get(path)
    }

    /// Whether its names stay within the target folder and the hub's address.
    ///
    /// # Errors
    /// Names what is not allowed.
    pub fn check(&self) -> Result<(), String> {
        let (owner, name) = self.repository.split_once('/').unwrap_or_default();
        let word = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !text.is_empty() && text.chars().all(allowed) && !text.starts_with('.')
        };
        if !word(owner) || !word(name) {
            return Err(format!("repository {:?}: allowed is owner/name", self.repository));
        }
        if !word(&self.folder) {
            return Err(format!("folder {:?}: allowed is one plain name", self.folder));
        }
        if let Some(why) = self.pins.as_ref().and_then(Pins::fault) {
            return Err(format!("{}: {why}", self.repository));
        }
        for path in self.files.iter().flatten() {
            if !path.split('/').all(word) {
                return Err(format!("{}: file name {path:?} is not allowed", self.repository));
            }
        }
        match &self.revision {
            Some(r) if r.is_empty() || r.contains("..") || r.chars().any(char::is_control) => {
                Err(format!("revision {r:?}: allowed are a branch, a tag and a commit"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let model = || Model::new("tiny", "someone/tiny-model", &[&["unet/config.json"]]);
        assert_eq!(model().check(), Ok(()));
        assert_eq!(model().folder, "tiny-model");
        for bad in ["../x", "a/../../x", "/etc/x", "a//b", "", ".hidden", "a\\b", "a/\0"] {
            let wrong = Model { files: vec![vec![bad.to_owned()]], ..model() };
            assert!(wrong.check().is_err(), "{bad:?}");
        }
        for bad in ["../x", "a", "a/b/c", "", "..", "/"] {
            assert!(Model { repository: bad.into(), ..model() }.check().is_err(), "{bad:?}");
        }
        for bad in ["..", "a/b", "", "/"] {
            assert!(Model { folder: bad.into(), ..model() }.check().is_err(), "{bad:?}");
        }
        for bad in ["", "a/../b", "x\n"] {
            assert!(Model { revision: Some(bad.into()), ..model() }.check().is_err(), "{bad:?}");
        }
        let branch = Some("refs/pr/1".to_owned());
        assert!(Model { revision: branch, ..model() }.check().is_ok());
    }
}
