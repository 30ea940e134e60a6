//! What `parallax perceive` may be told.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use parallax_perception::{Choice, Choosable};

use crate::convert::options::{DamagedArgs, DeviceChoice};
use crate::weights::folder::folder;

/// What is added to the name of a film.
pub(super) const ENDING: &str = ".perception.json";
/// The most frames a second that may be asked for.
const MOST_FPS: f64 = 240.0;

#[derive(Debug, Args)]
pub(crate) struct PerceiveArgs {
    /// The film or the picture (JPEG, PNG, WebP) to look at, or a folder of them, of which all are looked at
    /// that are not yet.
    pub(super) input: PathBuf,

    /// The analysis to make (.json), with a vector for each frame. Defaults to the input's whole name with
    /// `.perception.json`, beside it.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Make a page (.html) to look at, too: frames with their times, shots, and which frames look alike. It asks
    /// nobody for anything.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,

    /// Frames a second that are looked at, more than 0 and up to 240; never more than the film has.
    #[arg(long, default_value_t = 2.0, value_name = "FPS", value_parser = rate)]
    pub(super) frames: f64,

    /// Of a folder, look at what is in the folders below it, too.
    #[arg(long)]
    pub(super) recursive: bool,

    #[command(flatten)]
    pub(super) seer: SeerArgs,

    #[command(flatten)]
    pub(super) damaged: DamagedArgs,

    /// Replace the files if they exist.
    #[arg(long)]
    pub(super) overwrite: bool,

    /// Write events as JSON lines to standard output.
    #[arg(long)]
    pub(super) json: bool,
}

/// What looks.
#[derive(Debug, Args)]
pub(crate) struct SeerArgs {
    /// The network, by the name of `parallax weights fetch`. Defaults to the first DINOv3 whose weights are there.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// The folder of all models, each in a folder of its repository's name. Defaults to that of `weights
    /// fetch`.
    #[arg(long, alias = "weights-dir", env = "WEIGHTS_DIR", value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,

    /// Where the network computes.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Cpu)]
    pub(crate) device: DeviceChoice,
}

impl SeerArgs {
    /// The network called `name`, or the first that is there.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Choosable> {
        let device = match self.device {
            DeviceChoice::Cpu => Choice::Cpu,
            DeviceChoice::Cuda => Choice::Cuda,
        };
        Ok(Choosable::find(&folder(self.weights.as_ref())?, name, device)?)
    }
}

fn rate(text: &str) -> Result<f64> {
    match text.parse() {
        Ok(fps) if fps > 0.0 && fps <= MOST_FPS => Ok(fps),
        _ => bail!("allowed is more than 0 and up to {MOST_FPS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bounded() {
        for good in ["0.1", "2", "240"] {
            assert!(rate(good).is_ok(), "{good}");
        }
        for bad in ["0", "-1", "240.1", "nan", "inf", "x", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
