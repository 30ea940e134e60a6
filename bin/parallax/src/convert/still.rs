//! One picture through an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use parallax_conversion::convert_still;
use parallax_media::{Damaged, Picture, Tools, read_still, show_path, write_still};
use parallax_stereo::Run;
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::model::{self, Model};
use super::name::beside;
use super::options::{CodecChoice, Interlaced};
use super::progress::Reporter;
use super::request::{Drawing, brought, check_output, source_file};
use crate::cli::ConvertArgs;
use crate::interruption;

/// Pixels on a side of the largest picture that encoders of JPEG make.
const JPEG_SIDE: u32 = 65_500;

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
    let runtime = interruption::cancels(&cancel)?;
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
    let (result, scaled) = args.part.size.of(args.layout, &format, ((1, 1), false));
    fits(output, (result.width, result.height))?;
    let mut said = Vec::new();
    let selected = model::selected(args, &mut said)?;
    said.iter().for_each(|line| reporter.remark(line));
    let (brought, _) = brought(args, &selected, &tools, (size, 1), cancel)?;
    let Model { engine, licences, .. } = model::open(args, &selected, brought, size)?;
    licences.iter().for_each(|line| reporter.warning(line));
    let Drawing { geometry, rendering, staging } = Drawing::check(args, &*engine, size.0)?;
    let (seed, cancel) = (args.seed, cancel.clone());
    let run = Run { geometry, rendering, staging, seed, cancel, ..Run::default() };
    reporter.picture((input, output), engine.name(), args.layout);
    let made = convert_still(&*engine, &run, still.frame.clone(), args.layout)
        .with_context(|| show_path(input))?;
    let sharp = args.layout.is_anaglyph() || args.pictures.full_chroma;
    let lost = write_still(&tools, (&made, scaled), &still, output, sharp, &run.cancel)?;
    lost.iter().for_each(|lost| reporter.warning(lost));
    Ok(())
}

/// Refuses a size that the kind of file does not hold, before any work is done for it.
fn fits(output: &Path, (width, height): (u32, u32)) -> Result<()> {
    let jpeg = output.extension().is_some_and(|end| !end.eq_ignore_ascii_case("png"));
    ensure!(
        !jpeg || width.max(height) <= JPEG_SIDE,
        "{}: the result has {width}x{height} pixels, and a JPEG at most {JPEG_SIDE} on a side: pass -o NAME.png \
         or --max-width",
        show_path(output)
    );
    Ok(())
}

/// Refuses what says something of films, where no folder holds any. How much is done at once, and in which
/// steps, nobody sees in a picture.
///
/// # Errors
/// Names the option.
pub(super) fn alone(args: &ConvertArgs) -> Result<()> {
    let said = [
        ("--resume", args.resume),
        ("--restart", args.restart),
        ("--state-dir", args.state_dir.is_some()),
        ("--codec", args.codec != CodecChoice::Auto),
        ("--interlaced", args.pictures.interlaced != Interlaced::Refuse),
        ("--damaged", args.damaged.damaged != Damaged::default()),
    ];
    refuse(args, &said)
}

/// Refuses what says something of films that would show in the picture.
fn only_for_films(args: &ConvertArgs) -> Result<()> {
    refuse(args, &of_films(args))
}

/// The first option said that is for films and would show in a picture.
pub(super) fn option_of_films(args: &ConvertArgs) -> Option<&'static str> {
    of_films(args).into_iter().find_map(|(flag, said)| said.then_some(flag))
}

/// What says something of films that would show in a picture, and whether it is said.
fn of_films(args: &ConvertArgs) -> [(&'static str, bool); 6] {
    [
        ("--start", args.part.start.is_some()),
        ("--end", args.part.end.is_some()),
        ("--fps", args.part.fps.is_some()),
        ("--without", !args.without.is_empty()),
        ("--crop-bars", args.pictures.crop_bars),
        ("--source-layout", args.pictures.source_layout.is_some()),
    ]
}

/// Refuses the first option that is said.
fn refuse(args: &ConvertArgs, said: &[(&str, bool)]) -> Result<()> {
    if let Some((flag, _)) = said.iter().find(|(_, said)| *said) {
        bail!("{flag} is for films, and {} is a picture: leave it out", show_path(&args.input));
    }
    Ok(())
}

/// Where the picture goes: beside its source, in the source's own format where that keeps every sample.
fn output(args: &ConvertArgs, kind: Picture, input: &Path) -> Result<PathBuf> {
    let endings = ["png", "jpg", "jpeg"];
    let named = match &args.output {
        Some(output) => output.clone(),
        None => beside(&args.input, args.layout, &args.pictures.name, kind.extension())?,
    };
    let output = check_output(&named, input, args, &endings)?;
    // Of a film, --resume may find its result there; a picture has nothing to go on from.
    ensure!(
        args.overwrite || !output.exists(),
        "{}: exists already; pass --overwrite to replace it",
        show_path(&output)
    );
    Ok(output)
}
