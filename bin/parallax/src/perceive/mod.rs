//! `parallax perceive`: what is in films and pictures, as vectors in a file and as a page to look at.

mod all;
mod one;
mod progress;
mod written;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use parallax_media::{Tools, show_path};
use parallax_perception::{Choice, Choosable, Embedder};
use parallax_process::Termination;
use tokio_util::sync::CancellationToken;

use crate::convert::ending::INTERRUPTED;
use crate::convert::options::{DamagedArgs, DeviceChoice};
use crate::weights::folder::folder;

/// What is added to the name of a film.
pub(crate) const ENDING: &str = ".perception.json";
/// The most frames a second that may be asked for.
const MOST_FPS: f64 = 240.0;

#[derive(Debug, Args)]
pub(crate) struct PerceiveArgs {
    /// The film or the picture (JPEG, PNG, WebP) to look at, or a folder of them, of which all are looked at
    /// that are not yet.
    input: PathBuf,

    /// The analysis to make (.json), with a vector for each frame. Defaults to the input's whole name with
    /// `.perception.json`, beside it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Make a page (.html) to look at, too: frames with their times, shots, and which frames look alike. It asks
    /// nobody for anything.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Frames a second that are looked at, more than 0 and up to 240; never more than the film has.
    #[arg(long, default_value_t = 2.0, value_name = "FPS", value_parser = rate)]
    frames: f64,

    /// Of a folder, look at what is in the folders below it, too.
    #[arg(long)]
    recursive: bool,

    #[command(flatten)]
    seer: SeerArgs,

    #[command(flatten)]
    damaged: DamagedArgs,

    /// Replace the files if they exist.
    #[arg(long)]
    overwrite: bool,

    /// Write events as JSON lines to standard output.
    #[arg(long)]
    json: bool,
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

/// What looks, once its files were examined; it is read when something is there to look at.
struct Seer {
    tools: Tools,
    model: Choosable,
    loaded: Option<Embedder>,
}

impl Seer {
    fn embedder(&mut self) -> Result<&Embedder> {
        if self.loaded.is_none() {
            self.loaded = Some(load(&self.model)?);
        }
        self.loaded.as_ref().context("no network")
    }
}

/// Reads a network.
pub(crate) fn load(model: &Choosable) -> Result<Embedder> {
    model.load().map_err(|failure| {
        let why = failure.detail.unwrap_or(failure.message);
        anyhow::anyhow!("{}: {why}", model.model)
    })
}

pub(crate) fn main(args: &PerceiveArgs) -> ExitCode {
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &PerceiveArgs) -> Result<ExitCode> {
    let shown = show_path(&args.input);
    let meta =
        std::fs::metadata(&args.input).with_context(|| format!("{shown}: cannot be read"))?;
    let is_folder = meta.is_dir();
    for (flag, given) in [("--output", &args.output), ("--report", &args.report)] {
        let one = given.is_none() || !is_folder;
        ensure!(one, "{flag} names one file, and {shown} is a folder: leave it out");
    }
    ensure!(is_folder || !args.recursive, "--recursive is for folders, and {shown} is a file");
    let model = args.seer.find(args.seer.model.as_deref())?;
    let tools = Tools::find()?;
    let mut seer = Seer { tools, model, loaded: None };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let heard = runtime.block_on(async { Termination::listen() })?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    runtime.spawn(async move {
        heard.once(i32::from(INTERRUPTED)).await;
        asked.cancel();
    });
    let done = if is_folder {
        all::perceive(args, &mut seer, &stop)
    } else {
        one::perceive(args, &args.input, &mut seer, &stop).map(|()| true)
    };
    runtime.shutdown_background();
    match done {
        _ if stop.is_cancelled() => {
            eprintln!("interrupted: nothing is left of what was not finished");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) => Err(error),
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
