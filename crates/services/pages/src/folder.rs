//! The folder that everything is kept in.
//!
//! ```text
//! films/<id>/.film.json, films/<id>/<name>    what was dropped
//! jobs/<id>.json                              the queue
//! results/<id>/<name>                         what was made, and the work that is kept to go on from
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How the names of folders begin that uploads come into.
pub(crate) const INCOMING: &str = ".incoming-";

/// Left free on the disk, whatever is uploaded.
pub(crate) const RESERVE: u64 = 1 << 30;

/// A folder that is this process's alone.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Makes it, or opens what an earlier process left.
    ///
    /// # Errors
    /// When it cannot be written to, or another process has it.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        // What stands under these names already is somebody else's, or an earlier process's: it stays as it is.
        let mut own = fs::DirBuilder::new();
        own.recursive(true).mode(0o700);
        for part in ["films", "jobs", "results"] {
            own.create(root.join(part))?;
        }
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(root.join("lock"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            let error = io::Error::from(errno);
            match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!("{}: another `parallax serve` uses it", root.display()),
                ),
                _ => error,
            }
        })?;
        let folder = Self { root, _lock: lock };
        folder.sweep()?;
        Ok(folder)
    }

    /// Removes uploads that nobody finished.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.films())? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(INCOMING.as_bytes()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn films(&self) -> PathBuf {
        self.root.join("films")
    }

    pub(crate) fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    pub(crate) fn result(&self, job: &str) -> PathBuf {
        self.root.join("results").join(job)
    }

    /// Bytes that may still be written there.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = statvfs(&self.root)?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        Ok(free.saturating_sub(RESERVE))
    }
}

/// Writes `value` to `path`; the file is there whole or as it was.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What `write` wrote.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_server_and_unfinished_uploads_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let left = folder.films().join(".incoming-1");
        let others = [folder.films().join(".git"), root.path().join("lock")];
        fs::create_dir(&left).unwrap();
        fs::create_dir(&others[0]).unwrap();
        fs::write(&others[1], "somebody's").unwrap();
        let second = Folder::open(root.path()).unwrap_err();
        assert!(second.to_string().contains("another `parallax serve`"), "{second}");
        assert!(left.exists(), "it is the first one's");
        drop(folder);
        Folder::open(root.path()).unwrap();
        assert!(!left.exists());
        assert!(others[0].exists(), "no upload");
        assert_eq!(fs::read(&others[1]).unwrap(), b"somebody's");
    }
}
