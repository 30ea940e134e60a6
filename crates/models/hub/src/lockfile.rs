//! The lock file that the first fetch writes: what every file was, and must be from then on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::Model;
use crate::partial::Digest;
use crate::pins::{Pins, sha256};

/// Name of the lock file in the target folder.
pub(crate) const NAME: &str = "weights.lock";

/// `weights.lock`: by repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lockfile {
    pub(crate) models: BTreeMap<String, Pins>,
}

impl Lockfile {
    /// The one at `path`; an empty one where there is none and none was `named`.
    ///
    /// # Errors
    /// `Settings` for a file that is not one: it is not overwritten, and nothing is believed without it.
    pub(crate) fn read(path: &Path, named: bool) -> Result<Self, Error> {
        let fail = |why: String| Err(Error::Settings(format!("{}: {why}", path.display())));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
                return Ok(Self::default());
            }
            Err(error) => return fail(error.to_string()),
        };
        let lock: Self = match serde_json::from_str(&text) {
            Ok(lock) => lock,
            Err(error) => return fail(error.to_string()),
        };
        match lock.models.iter().find_map(|(name, pins)| Some((name, pins.fault()?))) {
            Some((name, why)) => fail(format!("{name}: {why}")),
            None => Ok(lock),
        }
    }

    /// Replaces the file at `path` at one stroke.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let write = || -> std::io::Result<()> {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|source| Error::Io { path: path.to_owned(), source })
    }

    /// `model` with what is known of it: its manifest's pins, and this file's, at the commit that they name.
    /// Whoever asks for another revision, by name, is not held by them.
    ///
    /// # Errors
    /// `Changed` where the two do not agree.
    pub(crate) fn pin(&self, model: &Model) -> Result<Model, Error> {
        let mut model = model.clone();
        let meant = |pins: &Pins| model.revision.as_ref().is_none_or(|at| *at == pins.commit);
        let of_manifest = model.pins.clone().filter(|pins| meant(pins));
        // A newer manifest than the file names another commit: it is the one that is meant.
        let of_file = self.models.get(&model.repository).cloned();
        let of_file = of_file.filter(|pins| {
            meant(pins) && of_manifest.as_ref().is_none_or(|own| own.commit == pins.commit)
        });
        model.pins = match (of_manifest, of_file) {
            (Some(own), Some(mut file)) => {
                for (path, pin) in own.files {
                    let known = file.files.entry(path.clone()).or_insert_with(|| pin.clone());
                    if known.sha256 != pin.sha256 {
                        let what = format!("{}/{path} in {NAME}", model.repository);
                        let (expected, found) = (pin.sha256, known.sha256.clone());
                        return Err(Error::Changed { what, expected, found });
                    }
                }
                Some(file)
            }
            (one, other) => one.or(other),
        };
        if let Some(pins) = &model.pins {
            model.revision = Some(pins.commit.clone());
        }
        Ok(model)
    }
}

/// Files in `dir`, the folder of all models, that are not those of `lock`: one sentence each. Sizes are
/// compared, and with `bytes` what is in them. What is not there is not looked at.
///
/// # Errors
/// [`Error::Settings`] for a lock file that is none.
pub fn unlike_the_lock(dir: &Path, lock: Option<&Path>, bytes: bool) -> Result<Vec<String>, Error> {
    let path = lock.map_or_else(|| dir.join(NAME), PathBuf::from);
    let mut unlike = Vec::new();
    for (repository, pins) in Lockfile::read(&path, lock.is_some())?.models {
        let folder = repository.split_once('/').map_or(repository.as_str(), |(_, name)| name);
        for (name, pin) in pins.files {
            let file = dir.join(folder).join(&name);
            let Ok(meta) = fs::metadata(&file) else { continue };
            let io = |source| Error::Io { path: file.clone(), source };
            let long = pin.size.is_none_or(|size| size == meta.len());
            let same = |found: String| found == pin.sha256;
            let nothing = Digest::Git(String::new());
            if !long || (bytes && !same(sha256(&file, &nothing).map_err(io)?)) {
                unlike.push(format!("{}: not the file of {NAME}", file.display()));
            }
        }
    }
    Ok(unlike)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const SHA: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    fn model() -> Model {
        Model::new("tiny", "someone/tiny", &[&["config.json"]])
    }

    fn lock(commit: &str, sha256: &str) -> Lockfile {
        let pins = Pins::of(commit, &[("config.json", sha256)]);
        Lockfile { models: [("someone/tiny".to_owned(), pins)].into() }
    }

    #[test]
    fn a_model_is_held_at_the_commit_of_its_pins_unless_another_is_named() {
        let lock = lock(COMMIT, SHA);
        let held = lock.pin(&model()).unwrap();
        assert_eq!(held.revision.as_deref(), Some(COMMIT));
        assert_eq!(held.pins.unwrap().files["config.json"].sha256, SHA);
        let named = Model { revision: Some("v2".to_owned()), ..model() };
        assert_eq!(lock.pin(&named).unwrap(), named);
        assert_eq!(Lockfile::default().pin(&model()).unwrap(), model());
        let elsewhere = Model { repository: "other/tiny".to_owned(), ..model() };
        assert_eq!(lock.pin(&elsewhere).unwrap().pins, None);
    }

    #[test]
    fn a_manifest_and_the_file_agree_or_one_is_wrong() {
        let own = model().pinned(COMMIT, &[("config.json", SHA)]);
        assert!(Lockfile::default().pin(&own).unwrap().pins.is_some());
        assert!(lock(COMMIT, SHA).pin(&own).is_ok());
        let error = lock(COMMIT, &SHA.replace('5', "6")).pin(&own).unwrap_err();
        assert!(
            matches!(&error, Error::Changed { found, .. } if found.starts_with("689")),
            "{error}"
        );
        // A newer manifest.
        let other = COMMIT.replace('0', "f");
        let pins = lock(&other, &SHA.replace('5', "6")).pin(&own).unwrap().pins.unwrap();
        assert_eq!(pins.commit, COMMIT);
        assert_eq!(own.check(), Ok(()));
        for wrong in [own.clone().pinned("main", &[]), own.pinned(COMMIT, &[("a", "b")])] {
            assert!(wrong.check().is_err());
        }
    }

    #[test]
    fn a_file_that_is_no_lock_is_refused_and_a_lock_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(Lockfile::read(&path, false).unwrap(), Lockfile::default());
        assert!(matches!(Lockfile::read(&path, true), Err(Error::Settings(_))), "it was named");
        let lock = lock(COMMIT, SHA);
        lock.write(&path).unwrap();
        assert_eq!(Lockfile::read(&path, true).unwrap(), lock);
        let text = fs::read_to_string(&path).unwrap();
        for wrong in
            ["", "{}", "{\"models\": 1}", &text.replace(COMMIT, "main"), &text.replace(SHA, "1")]
        {
            fs::write(&path, wrong).unwrap();
            let error = Lockfile::read(&path, false).unwrap_err().to_string();
            assert!(error.contains(NAME), "{error}");
        }
    }
}
