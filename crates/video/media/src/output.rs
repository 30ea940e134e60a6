//! Files that appear whole or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::error::{Error, Result};

/// A file in the making beside its final name: `NAME.partial-xxxxxx`. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    temp: TempPath,
    target: PathBuf,
}

impl Partial {
    /// Creates an empty partial file for `target`.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| Error::input(target, "not a file name"))?;
        let mut prefix = name.to_os_string();
        prefix.push(".partial-");
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .tempfile_in(folder)
            .map_err(|e| Error::io("create", target, e))?;
        open_up(file.as_file(), target)?;
        Ok(Self { temp: file.into_temp_path(), target: target.to_owned() })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.temp
    }

    /// Makes the content durable and gives it its name, replacing what was there.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { temp, target } = self;
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        sync(&temp).map_err(|e| Error::io("write", &target, e))?;
        temp.persist(&target).map_err(|e| Error::io("rename to", &target, e.error))?;
        Ok(())
    }
}

/// Temporary files are private; a result has the permissions of any new file, under an umask of
/// 022, which cannot be read without changing it.
fn open_up(file: &File, target: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
        .map_err(|e| Error::io("create", target, e))
}
