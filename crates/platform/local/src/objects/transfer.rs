//! Bytes into unfinished files, unfinished files under their names, and objects out again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parallax_ports::{Error, Kind, Result};
use tempfile::TempPath;

use super::place::sync_folder;
use crate::error;

/// How files come in and go out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transfer {
    /// Bytes are copied; on filesystems that can share blocks between files, the kernel does that
    /// instead. A file is independent of the object that it was or became.
    #[default]
    Copy,
    /// Where the filesystem allows it, file and object are two names of the same bytes: a film of
    /// 50 GB comes in and goes out in no time and takes no space. Neither an uploaded nor a
    /// downloaded file may then be written to in place; replacing or removing it is safe. Where it
    /// cannot be done, bytes are copied.
    Link,
}

/// Between two looks at whether anybody still waits.
const STRIDE: u64 = 64 << 20;

/// Tells a copy on another thread that nobody waits for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

/// Stops when it is dropped.
#[derive(Debug)]
pub(super) struct StopGuard(Stop);

impl Stop {
    pub(super) fn guard(&self) -> StopGuard {
        StopGuard(self.clone())
    }

    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Cancelled, "nobody waits for this transfer"));
        }
        Ok(())
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A new unfinished file with `bytes` in it.
pub(super) fn from_bytes(bytes: &[u8], partial: &Path) -> Result<TempPath> {
    let mut file = create(partial)?;
    file.write_all(bytes).map_err(|error| error::io("write", file.path(), error))?;
    Ok(file.into_temp_path())
}

/// A new unfinished file with what `from` holds.
pub(super) fn from_file(
    transfer: Transfer,
    from: &Path,
    partial: &Path,
    stop: &Stop,
) -> Result<TempPath> {
    let source = File::open(from).map_err(|error| error::io("open", from, error))?;
    let meta = source.metadata().map_err(|error| error::io("look at", from, error))?;
    if !meta.is_file() {
        let text = format!("{} is not a file", from.display());
        return Err(Error::new(Kind::Rejected, text));
    }
    if transfer == Transfer::Link {
        // The name may be a symbolic link, and a link to that would not be the bytes.
        let real = from.canonicalize().map_err(|error| error::io("find", from, error))?;
        let linked = tempfile::Builder::new().make_in(partial, |path| fs::hard_link(&real, path));
        if let Ok(linked) = linked {
            return Ok(linked.into_temp_path());
        }
    }
    let mut file = create(partial)?;
    let path = file.path().to_owned();
    copy(&source, from, file.as_file_mut(), &path, stop)?;
    Ok(file.into_temp_path())
}

/// Gives an unfinished file its name, durably, and returns its size. When it fails, the name is as
/// it was and the unfinished file is gone.
pub(super) fn publish(
    file: TempPath,
    path: &Path,
    modified: SystemTime,
    stop: &Stop,
) -> Result<u64> {
    let failed = |what, error| error::io(what, path, error);
    let synced = File::open(&file).and_then(|open| {
        // The kernel's own stamp may be a few milliseconds older than a clock that was read
        // before. A linked file is somebody's: its stamp is not ours to change.
        if open.metadata()?.nlink() == 1 {
            open.set_modified(modified)?;
        }
        open.sync_all()?;
        open.metadata()
    });
    let size = synced.map_err(|error| failed("write", error))?.len();
    stop.check()?;
    fs::rename(&file, path).map_err(|error| failed("name", error))?;
    // Where both were names of the same file, renaming did nothing; dropping removes the other.
    drop(file);
    sync_folder(path.parent().unwrap_or(path))?;
    Ok(size)
}

/// Makes `to` a file with the object's bytes.
pub(super) fn to_file(
    transfer: Transfer,
    from: File,
    object: &Path,
    to: &Path,
    stop: &Stop,
) -> Result<()> {
    let failed = |what, error| error::io(what, to, error);
    // Never write into what is there: it may be an object's other name.
    match fs::remove_file(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("replace", error)),
        _ => {}
    }
    if transfer == Transfer::Link && fs::hard_link(object, to).is_ok() {
        return Ok(());
    }
    let mut file = File::create_new(to).map_err(|error| failed("make", error))?;
    copy(&from, object, &mut file, to, stop)
}

fn create(partial: &Path) -> Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    #[cfg(unix)]
    builder.permissions(mode);
    builder.tempfile_in(partial).map_err(|error| error::io("make a file in", partial, error))
}

fn copy(from: &File, source: &Path, to: &mut File, path: &Path, stop: &Stop) -> Result<()> {
    loop {
        stop.check()?;
        match io::copy(&mut from.take(STRIDE), to) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Which side failed is not told; only writing runs out of space.
            Err(error) => {
                let what = format!("copy {} to", source.display());
                return Err(error::io(&what, path, error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_disk_full;

    #[test]
    fn a_full_disk_is_named_and_can_be_told() {
        let from = File::open("/dev/zero").unwrap();
        let full = Path::new("/dev/full");
        let mut to = File::options().write(true).open(full).unwrap();
        let error = copy(&from, Path::new("film"), &mut to, full, &Stop::default());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(is_disk_full(&error) && error.is_retryable());
        assert!(error.chain().contains("/dev/full"), "{}", error.chain());
    }

    #[test]
    fn a_copy_that_nobody_waits_for_stops() {
        let (from, mut to) = (File::open("/dev/zero").unwrap(), File::create("/dev/null").unwrap());
        let stop = Stop::default();
        let guard = stop.guard();
        let copying = std::thread::spawn(move || {
            copy(&from, Path::new("endless"), &mut to, Path::new("/dev/null"), &stop)
        });
        drop(guard);
        assert_eq!(copying.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    }
}
