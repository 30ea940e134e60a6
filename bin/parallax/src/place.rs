//! Where an output goes, looked at before any work is done for it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The absolute name of a file to be made at `output`, in a folder that can be written to.
///
/// # Errors
/// What stands in the way, naming the file or its folder.
pub(crate) fn writable(output: &Path) -> Result<PathBuf> {
    let shown = output.display();
    let name = output.file_name().with_context(|| format!("{shown}: has no file name"))?;
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder =
        folder.canonicalize().with_context(|| format!("{shown}: its folder cannot be opened"))?;
    let output = folder.join(name);
    ensure!(!output.is_dir(), "{shown}: is a folder");
    // The file has no name, so that nothing is left of it.
    tempfile::tempfile_in(&folder).with_context(|| {
        format!("{}: cannot be written to (--output names another place)", folder.display())
    })?;
    Ok(output)
}
