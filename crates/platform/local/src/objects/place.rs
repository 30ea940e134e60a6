//! From an address to a file, and never to one outside of the root.
//!
//! Addresses come from messages. Their parts are checked as text, and the folders on the way as
//! they are on the disk: a symbolic link below the root is refused, wherever it points. Whoever
//! can put links there while the store runs owns the store already.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use parallax_job::{Bucket, Uri};
use parallax_ports::{Error, Kind, Result};

use crate::error::io;

/// The folder of unfinished files in each bucket.
pub(super) const PARTIAL: &str = ".partial";
/// S3's own limit.
const MAX_KEY: usize = 1024;

/// The store's root.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// As it was given, made absolute: addresses may spell it so.
    given: PathBuf,
    /// Without links.
    real: PathBuf,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) path: PathBuf,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(|error| io("make", path, error))?;
        let given = std::path::absolute(path).map_err(|error| io("find", path, error))?;
        let real = path.canonicalize().map_err(|error| io("find", path, error))?;
        Ok(Self { given, real })
    }

    pub(super) fn bucket(&self, name: &str) -> Result<Bucket> {
        if !is_plain(name) || name.starts_with('.') {
            let text = format!("bucket {name:?}: expected a plain name");
            return Err(Error::new(Kind::Rejected, text));
        }
        let path = self.real.join(name);
        make_folder(&path)?;
        Ok(Bucket::Folder { root: self.real.clone(), name: name.to_owned() })
    }

    pub(super) fn place(&self, uri: &Uri) -> Result<Place> {
        let refuse = |why| Err(Error::new(Kind::Rejected, format!("{uri}: {why}")));
        let Uri::File(path) = uri else { return refuse("not a file") };
        let inside = path.strip_prefix(&self.real).or_else(|_| path.strip_prefix(&self.given));
        let Ok(inside) = inside else { return refuse("not in this object store") };
        let mut parts = Vec::new();
        for part in inside.components() {
            match part {
                Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
                _ => return refuse("relative parts are not allowed"),
            }
        }
        let [bucket, key @ ..] = &parts[..] else { return refuse("no bucket") };
        if key.is_empty() {
            return refuse("no key");
        }
        if !parts.iter().all(|part| is_plain(part)) || parts.iter().any(|part| is_reserved(part)) {
            return refuse("a part of the name is not allowed");
        }
        let key = key.join("/");
        if key.len() > MAX_KEY {
            return refuse("the key is longer than 1024 bytes");
        }
        let path = self.real.join(bucket).join(&key);
        Ok(Place { bucket: (*bucket).to_owned(), key, path })
    }

    /// Looks at an object's file; `None` when there is none. A folder is no object.
    pub(super) fn look(&self, place: &Place) -> Result<Option<Metadata>> {
        let mut path = self.real.clone();
        let inside = place.path.strip_prefix(&self.real).unwrap_or(&place.path);
        let mut found = None;
        for part in inside.components() {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => return Err(linked(&path)),
                Ok(meta) => found = Some(meta),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(io("look at", &path, error)),
            }
        }
        Ok(found.filter(Metadata::is_file))
    }

    /// Makes the folders that the object needs and returns the one for its unfinished file.
    pub(super) fn prepare(&self, place: &Place) -> Result<PathBuf> {
        let mut path = self.real.clone();
        let folder = place.path.parent().unwrap_or(&place.path);
        for part in folder.strip_prefix(&self.real).unwrap_or(folder).components() {
            path.push(part);
            make_folder(&path)?;
        }
        match fs::symlink_metadata(&place.path) {
            Ok(meta) if meta.is_symlink() => return Err(linked(&place.path)),
            Ok(meta) if meta.is_dir() => {
                let text = format!("{}: other objects lie below this name", place.path.display());
                return Err(Error::new(Kind::Rejected, text));
            }
            _ => {}
        }
        let partial = self.real.join(&place.bucket).join(PARTIAL);
        make_folder(&partial)?;
        Ok(partial)
    }

    pub(super) fn sweep(&self, age: Duration) -> Result<usize> {
        let limit = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let list = |path: &Path| match fs::read_dir(path) {
            Ok(entries) => Ok(entries.flatten().collect::<Vec<_>>()),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(io("list", path, error)),
        };
        let mut removed = 0;
        for bucket in list(&self.real)? {
            for entry in list(&bucket.path().join(PARTIAL))? {
                let old = entry.metadata().and_then(|meta| meta.modified());
                if old.is_ok_and(|modified| modified <= limit)
                    && fs::remove_file(entry.path()).is_ok()
                {
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

fn is_plain(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\\', '\0'])
}

fn linked(path: &Path) -> Error {
    let text = format!("{} is a symbolic link: refused in an object store", path.display());
    Error::new(Kind::Rejected, text)
}

/// Makes one folder, durably, unless it is there.
fn make_folder(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(path).map_err(|error| io("look at", path, error))?;
            if meta.is_symlink() {
                return Err(linked(path));
            }
            if !meta.is_dir() {
                let text = format!("{}: an object has the name of this folder", path.display());
                return Err(Error::new(Kind::Rejected, text));
            }
            Ok(())
        }
        Err(error) => Err(io("make", path, error)),
    }
}

/// Makes a change of names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| io("sync", path, error))
}

/// Whether a bucket or key part would meet the store's own files.
fn is_reserved(part: &str) -> bool {
    part == PARTIAL
}
