//! One picture through an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use parallax_conversion::convert_still;
use parallax_media::{Picture, Tools, read_still, show_path, write_still};
use parallax_process::Termination;
use parallax_stereo::Run;
use tokio_util::sync::CancellationToken;

use super::ending::{Ending, INTERRUPTED};
use super::model::{self, Model};
use super::name::beside;
use super::progress::Reporter;
use super::request::{Drawing, brought, check_output, source_file};
use crate::cli::ConvertArgs;

/// Converts the picture of `kind` that `args` name, until it is finished or `stop` is asked for.
///
/// # Errors
/// What stands in the way, naming the file or the option.
pub(super) fn run(
    args: &ConvertArgs,
    kind: Picture,
    reporter: &Arc<Reporter>,
    stop: &CancellationToken,
) -> Result<Ending> {
    only_for_films(args)?;
    let input = source_file(&args.input)?;
    let output = output(args, kind, &input)?;
    let cancel = stop.child_token();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let heard = runtime.block_on(async { Termination::listen() })?;
    let asked = cancel.clone();
    runtime.spawn(async move {
        heard.once(i32::from(INTERRUPTED)).await;
        asked.cancel();
    });
    let made = convert(args, kind, (&input, &output), reporter, &cancel);
    runtime.shutdown_background();
    match made {
        // Whatever it says, it says so because it was stopped.
        Err(_) if cancel.is_cancelled() => Ok(Ending::Interrupted),
        Err(error) => Err(error),
        Ok(()) => {
            reporter.completed(&output);
            Ok(Ending::Completed)
        }
    }
}

fn convert(
    args: &ConvertArgs,
    kind: Picture,
    (input, output): (&Path, &Path),
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<()> {
    let tools = Tools::find()?;
    let still = read_still(&tools, input, kind, cancel)?;
    still.lost.iter().for_each(|lost| reporter.warning(lost));
    let format = still.frame.format().clone();
    let size = (format.width, format.height);
    let mut said = Vec::new();
    let selected = model::selected(args, &mut said)?;
    said.iter().for_each(|line| reporter.warning(line));
    let (brought, _) = brought(args, &selected, &tools, (size, 1), cancel)?;
    let Model { engine, licences, .. } = model::open(args, &selected, brought, size)?;
    licences.iter().for_each(|line| reporter.warning(line));
    let Drawing { geometry, rendering, staging } = Drawing::check(args, &*engine, size.0)?;
    let (seed, cancel) = (args.seed, cancel.clone());
    let run = Run { geometry, rendering, staging, seed, cancel, ..Run::default() };
    reporter.picture((input, output), engine.name(), args.layout);
    let (_, scaled) = args.part.size.of(args.layout, &format, ((1, 1), false));
    let made = convert_still(&*engine, &run, still.frame.clone(), args.layout)
        .with_context(|| show_path(input))?;
    let sharp = args.layout.is_anaglyph() || args.pictures.full_chroma;
    Ok(write_still(&tools, (&made, scaled), &still, output, sharp, &run.cancel)?)
}

/// Refuses what says something of films.
fn only_for_films(args: &ConvertArgs) -> Result<()> {
    let said = [
        ("--start", args.part.start.is_some()),
        ("--end", args.part.end.is_some()),
        ("--fps", args.part.fps.is_some()),
        ("--without", !args.without.is_empty()),
        ("--crop-bars", args.pictures.crop_bars),
        ("--source-layout", args.pictures.source_layout.is_some()),
    ];
    if let Some((flag, _)) = said.into_iter().find(|(_, said)| *said) {
        bail!("{flag} is for films, and {} is a picture: leave it out", show_path(&args.input));
    }
    Ok(())
}

/// Where the picture goes: beside its source, in the source's own format where that keeps every sample.
fn output(args: &ConvertArgs, kind: Picture, input: &Path) -> Result<PathBuf> {
    let endings = ["png", "jpg", "jpeg"];
    if let Some(output) = &args.output {
        return check_output(output, input, args, &endings);
    }
    let beside = beside(&args.input, args.layout, &args.pictures.name, kind.extension())?;
    check_output(&beside, input, args, &endings)
}
