//! `parallax perceive`: what is in films and pictures, as vectors in a file and as a page to look at.

mod all;
mod args;
mod one;
mod progress;
mod seer;
mod written;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use parallax_media::{Tools, show_path};
use tokio_util::sync::CancellationToken;

pub(crate) use self::args::{PerceiveArgs, SeerArgs};
pub(crate) use self::seer::load;

use self::seer::Seer;
use crate::interruption::{self, INTERRUPTED};

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
    let mut seer = Seer::new(Tools::find()?, model);
    let stop = CancellationToken::new();
    let runtime = interruption::cancels(&stop)?;
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
