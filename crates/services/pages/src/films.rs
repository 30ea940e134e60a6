//! What was dropped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::folder;
use crate::names::is_id;
use crate::viewer::Description;

/// A film or a picture that was dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Film {
    pub(crate) id: String,
    /// Its name, made safe.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) description: Description,
    /// When it came, in seconds since 1970.
    pub(crate) added: u64,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Films {
    root: PathBuf,
    known: Mutex<BTreeMap<String, Film>>,
}

impl Films {
    /// Those that are in `root`.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&root)? {
            let path = entry?.path();
            let film = folder::read::<Film>(&path.join(".film.json"));
            let same = |film: &Film| path.ends_with(&film.id) && is_id(&film.id);
            match film {
                Ok(film) if same(&film) => {
                    known.insert(film.id.clone(), film);
                }
                Ok(_) => tracing::warn!(path = %path.display(), "a film of another folder"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "not a film"),
            }
        }
        Ok(Self { root, known: Mutex::new(known) })
    }

    /// Takes the folder `from`, which holds `film` under its name.
    pub(crate) fn add(&self, from: &Path, film: Film) -> io::Result<Film> {
        folder::write(&from.join(".film.json"), &film)?;
        fs::rename(from, self.root.join(&film.id))?;
        self.known().insert(film.id.clone(), film.clone());
        Ok(film)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Film> {
        self.known().get(id).cloned()
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Film> {
        let mut all: Vec<Film> = self.known().values().cloned().collect();
        all.sort_by(|a, b| b.added.cmp(&a.added).then_with(|| a.name.cmp(&b.name)));
        all
    }

    /// The file itself.
    pub(crate) fn path(&self, film: &Film) -> PathBuf {
        self.root.join(&film.id).join(&film.name)
    }

    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        if self.known().remove(id).is_some() {
            fs::remove_dir_all(self.root.join(id))?;
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Film>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
