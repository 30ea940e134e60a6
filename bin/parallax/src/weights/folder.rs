//! Where the models lie.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder that was named, or the user's own for such data.
pub(crate) fn folder(named: Option<&PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = named {
        return Ok(dir.clone());
    }
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| Some(set("HOME")?.join(".local/share")))
        .context("no folder for weights: name one, or set WEIGHTS_DIR")?;
    Ok(data.join("parallax").join("weights"))
}
