//! `parallax preview`: one sheet of pictures that shows what a conversion will look like.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use parallax_conversion::{
    DepthFrom, Preview, PreviewDepth, SourceLayout, Views, one_view, preview,
};
use parallax_engine_spec::{Choice, Choices};
use parallax_media::{Packets, Tools, probe, scan};
use parallax_stereo::Geometry;
use tokio_util::sync::CancellationToken;

use crate::convert::network::{AUTOMATIC, Estimator, NetworkArgs, open_estimator, weights_folder};
use crate::convert::options::{DepthArgs, DeviceChoice, DrawingArgs};
use crate::convert::staging::{Disparity, parse_depth};
use crate::place;

/// How far a network looks back before each frame.
const SECOND: Duration = Duration::from_secs(1);
/// Frames of one sheet at most.
const MOST: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The video.
    input: PathBuf,

    /// The PNG to make. Defaults to the input's name with `_preview`, beside it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Frames to show, counted from 0, separated by commas.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', conflicts_with_all = ["times", "count"])]
    frames: Vec<usize>,

    /// Moments to show, in seconds from the film's beginning, separated by commas.
    #[arg(long, value_name = "S,S,...", value_delimiter = ',', conflicts_with = "count")]
    times: Vec<f64>,

    /// Frames to show, evenly over the film, where nothing else is said.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,

    /// Width of one picture of the sheet.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u32).range(16..=4096))]
    width: u32,

    /// Strength, as for `convert`.
    #[arg(long, default_value = "2%", value_name = "RANGE")]
    disparity: Disparity,

    /// The depth that appears at the screen, as for `convert`.
    #[arg(long, default_value_t = 0.5, value_name = "DEPTH", value_parser = parse_depth)]
    convergence: f32,

    #[command(flatten)]
    drawing: DrawingArgs,

    #[command(flatten)]
    depth: DepthArgs,

    /// The eye to take of a source that holds two, as for `convert`.
    #[arg(long, value_name = "LAYOUT-EYE")]
    source_layout: Option<SourceLayout>,

    /// What sees the depth: `auto`, the best that is there, as for `convert`, or an estimator, as for
    /// `depth`. Networks see the second before each frame, where a conversion sees its whole shot.
    #[arg(long, default_value = AUTOMATIC, value_name = "ESTIMATOR", value_parser = Estimator::parse)]
    engine: Estimator,

    #[command(flatten)]
    network: NetworkArgs,

    /// The folder of all models, as for `convert`.
    #[arg(long, env = "WEIGHTS_DIR", value_name = "DIR")]
    weights: Option<PathBuf>,

    /// Where networks compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Cpu)]
    device: DeviceChoice,
}

pub(crate) fn main(args: &PreviewArgs) -> ExitCode {
    match run(args) {
        Ok((output, rows)) => {
            eprintln!(
                "{} is ready: {rows} frames; left eye, depth, mask, right eye, anaglyph",
                output.display()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &PreviewArgs) -> Result<(PathBuf, usize)> {
    let tools = Tools::find()?;
    let cancel = CancellationToken::new();
    let output = match &args.output {
        Some(output) => output.clone(),
        None => {
            let stem = args.input.file_stem().context("the input has no file name")?;
            args.input.with_file_name(format!("{}_preview.png", stem.to_string_lossy()))
        }
    };
    let png = output.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    ensure!(png, "{}: the sheet's name must end in .png", output.display());
    place::writable(&output)?;
    let media = probe(&tools, &args.input, &cancel)?;
    media.without_dynamic_hdr()?;
    let Views { pictures, warning } = one_view(&tools, &media, args.source_layout, &cancel)?;
    warning.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let (width, height) = pictures.size(&media);
    let packets = scan(&tools, &media, &cancel)?;
    let (spec, line) = args.engine.spec(args.weights.as_ref(), args.device.device(), &args.network);
    line.iter().for_each(|line| eprintln!("{line}"));
    let file = match (&args.depth.depth, spec.takes(Choice::Depth)) {
        (Some(path), true) => {
            let how = (args.depth.depth_near.near(), args.depth.depth_grid);
            let depth = DepthFrom::open(&tools, path, how, &cancel)?;
            depth.check(width, height, packets.shown())?;
            Some(depth)
        }
        (Some(_), false) => anyhow::bail!("--depth goes with --engine depth-from"),
        (None, true) => anyhow::bail!("--engine depth-from goes with --depth FILE"),
        (None, false) => None,
    };
    let model = match &file {
        Some(_) => None,
        None => Some(open_estimator(spec, &choices(args), (width, height))?),
    };
    let times = packets.frame_times().with_context(|| {
        format!("{}: stores no presentation times to find frames by", media.path.display())
    })?;
    let frames = choose(args, &media, &packets, &times)?;
    let how = Preview {
        depth: match (&file, &model) {
            (Some(file), _) => PreviewDepth::File(file),
            (None, Some(model)) => {
                // A network takes its time for each frame.
                let back = if spec.weights.is_some() { SECOND } else { Duration::MAX };
                PreviewDepth::Estimated { model: &**model, back }
            }
            (None, None) => anyhow::bail!("no depth"),
        },
        geometry: Geometry {
            disparity_percent: args.disparity.percent(width)?,
            convergence: args.convergence,
        },
        rendering: args.drawing.rendering(),
        pictures,
        tile_width: args.width as usize,
    };
    let sheet = preview(&tools, (&media, &packets), &frames, how, &cancel)?;
    sheet.write(&output).with_context(|| format!("write {}", output.display()))?;
    Ok((output, frames.len()))
}

fn choices(args: &PreviewArgs) -> Choices {
    args.network.among(Choices {
        weights: weights_folder(args.weights.as_ref()),
        device: args.device.device(),
        ..Choices::default()
    })
}

/// The positions of the frames that are asked for.
fn choose(
    args: &PreviewArgs,
    media: &parallax_media::Media,
    packets: &Packets,
    times: &[i64],
) -> Result<Vec<usize>> {
    let base = media.video.time_base;
    let end = base.seconds(packets.end().unwrap_or(0) - times[0]);
    let frames = if !args.frames.is_empty() {
        args.frames.clone()
    } else if !args.times.is_empty() {
        let at = |&seconds: &f64| {
            ensure!((0.0..=end).contains(&seconds), "--times {seconds}: allowed are 0 to {end:.3}");
            let ticks = (seconds * f64::from(base.den) / f64::from(base.num)).round() as i64;
            Ok(times.partition_point(|time| time - times[0] <= ticks).saturating_sub(1))
        };
        args.times.iter().map(at).collect::<Result<_>>()?
    } else {
        let count = (args.count as usize).min(times.len());
        (0..count).map(|k| (2 * k + 1) * times.len() / (2 * count)).collect()
    };
    for frame in &frames {
        ensure!(*frame < times.len(), "--frames {frame}: allowed are 0 to {}", times.len() - 1);
    }
    ensure!(frames.len() <= MOST, "{} frames; allowed are {MOST} on one sheet", frames.len());
    Ok(frames)
}
