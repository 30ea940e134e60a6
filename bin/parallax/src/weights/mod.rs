//! `parallax weights`: bring the models here, and tell whether they are what they should be.

mod check;
mod demand;
mod fetch;
mod progress;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::WeightsCommand;

pub(crate) fn main(command: &WeightsCommand) -> ExitCode {
    match command {
        WeightsCommand::Fetch(args) => fetch::main(args),
        WeightsCommand::Check(args) => check::main(args),
    }
}

/// The folder that was named, or the user's own for such data.
fn folder(named: Option<&PathBuf>) -> Result<PathBuf> {
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
