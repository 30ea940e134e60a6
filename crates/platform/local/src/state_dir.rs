//! The folder that holds everything, and who may use it.
//!
//! The lock is the kernel's (`flock`), so it cannot be left behind by a process that died.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parallax_ports::{Error, Kind, Result};

use crate::error::io;

/// A locked state folder. Dropping it gives the lock back.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    exclusive: bool,
    _lock: File,
}

impl StateDir {
    /// Makes the folder if need be and takes it for this process alone.
    ///
    /// # Errors
    /// `Conflict`, naming the process, when another one uses it; otherwise as the filesystem says.
    pub fn open_exclusive(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (path, name, mut file) = prepare(path)?;
        file.try_lock().map_err(|error| refused(&path, &name, &mut file, error))?;
        let stamp = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            write!(file, "{}", std::process::id())
        };
        stamp(&mut file).map_err(|error| io("write", &name, error))?;
        Ok(Self { path, exclusive: true, _lock: file })
    }

    /// Makes the folder if need be and shares it with other processes that share it.
    ///
    /// # Errors
    /// `Conflict`, naming the process, when one has it for itself; otherwise as the filesystem
    /// says.
    pub fn open_shared(path: impl AsRef<Path>) -> Result<Self> {
        let (path, name, mut file) = prepare(path.as_ref())?;
        file.try_lock_shared().map_err(|error| refused(&path, &name, &mut file, error))?;
        Ok(Self { path, exclusive: false, _lock: file })
    }

    /// Whether this process is the only one.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database goes.
    pub fn database(&self) -> PathBuf {
        self.path.join("parallax.db")
    }

    /// Where the buckets go.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }
}

/// The absolute folder, its lock file's name and that file, open.
fn prepare(path: &Path) -> Result<(PathBuf, PathBuf, File)> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path).map_err(|error| io("make", path, error))?;
    let path = path.canonicalize().map_err(|error| io("find", path, error))?;
    let name = path.join("lock");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&name);
    let file = file.map_err(|error| io("open", &name, error))?;
    Ok((path, name, file))
}

fn refused(path: &Path, name: &Path, file: &mut File, error: TryLockError) -> Error {
    match error {
        TryLockError::Error(error) => io("lock", name, error),
        TryLockError::WouldBlock => {
            let mut text = String::new();
            // Empty in the moment between taking the lock and signing it, and for daemons that
            // share the folder after nobody had it alone.
            let _ = file.take(16).read_to_string(&mut text);
            let by = match text.trim().parse::<u32>() {
                Ok(pid) if alive(pid) => format!("process {pid}"),
                _ => "another process".to_owned(),
            };
            let text = format!("{} is in use by {by}", path.display());
            Error::new(Kind::Conflict, text)
        }
    }
}

/// Whether the process that signed the lock file is still there: after it, others may share the
/// folder without signing.
fn alive(pid: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}
