//! Where the models lie.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder that was named, or the user's own for such data.
pub(crate) fn folder(named: Option<&PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = named {
        return Ok(dir.clone());
    }
    data_folder("weights").context("no folder for weights: name one, or set WEIGHTS_DIR")
}

/// A folder of this program among the user's data; `None` without a home.
pub(crate) fn data_folder(name: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("parallax").join(name))
}
