//! One file: a film, or a picture.

use std::process::ExitCode;
use std::sync::Arc;

use parallax_media::Picture;
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::progress::Reporter;
use super::{film, still};
use crate::cli::ConvertArgs;
use crate::interruption::INTERRUPTED;

pub(super) fn main(args: &ConvertArgs) -> ExitCode {
    let reporter = Arc::new(Reporter::new(args.json));
    if args.recursive {
        reporter.error(&format!("--recursive: {} is not a folder", args.input.display()));
        return ExitCode::FAILURE;
    }
    if Picture::of(&args.input).is_some()
        && let Err(error) = still::alone(args)
    {
        reporter.error(&format!("{error:#}"));
        return ExitCode::FAILURE;
    }
    match convert(args, &reporter, &CancellationToken::new()) {
        Ending::Completed => ExitCode::SUCCESS,
        Ending::Interrupted => ExitCode::from(INTERRUPTED),
        Ending::Failed(_) => ExitCode::FAILURE,
    }
}

/// Converts the file that `args` name, and tells how that ended.
pub(super) fn convert(
    args: &ConvertArgs,
    reporter: &Arc<Reporter>,
    stop: &CancellationToken,
) -> Ending {
    let picture = Picture::of(&args.input);
    let ending = match picture {
        Some(kind) => still::run(args, kind, reporter, stop),
        None => film::run(args, reporter, stop),
    };
    let ending = ending.unwrap_or_else(|error| Ending::Failed(format!("{error:#}")));
    match &ending {
        Ending::Completed => {}
        Ending::Failed(why) => reporter.error(why),
        Ending::Interrupted => reporter.interrupted(args, picture.is_none()),
    }
    ending
}
