//! `parallax depth`: the depth that an engine sees, as a file that other programs read.

mod film;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Args;
use parallax_conversion::{
    DepthFrom, DepthSize, SourceLayout, Views, one_view, write_npy, write_npz, write_png,
};
use parallax_engine_spec::{Brought, Choice, Choices, DepthSpec};
use parallax_frame::{Frame, VideoFormat};
use parallax_media::{Damage, Shown, Tools, probe, scan};
use parallax_stereo::{Clip, DepthEstimator, DepthModel, Geometry, Plane, Run};
use tokio_util::sync::CancellationToken;

use crate::convert::network::{AUTOMATIC, Estimator, NetworkArgs, open_estimator, weights_folder};
use crate::convert::options::{DamagedArgs, DepthArgs, DeviceChoice};
use crate::convert::staging::{Disparity, parse_depth};
use crate::place;

#[derive(Debug, Args)]
pub(crate) struct DepthCommand {
    /// The video.
    input: PathBuf,

    /// The file to make: .npy or .npz (f32, frames x rows x columns, as `depth`), .mkv (16-bit grey
    /// video, FFV1, lossless), or a new folder of 16-bit grey PNG pictures. 0 is farthest, 1 (white)
    /// nearest.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Make a video of two by two pictures instead, as StereoCrafter's first step does and its second
    /// one reads: the source, its depth, what the right eye sees behind it, the right eye without
    /// that. .mkv is lossless, .mp4 is not.
    #[arg(long)]
    grid: bool,

    /// The eye to take of a source that holds two, as for `convert`.
    #[arg(long, value_name = "LAYOUT-EYE")]
    source_layout: Option<SourceLayout>,

    /// What sees the depth: `auto`, the best of the others whose weights are there, as for `convert`; `draft`, the networks `depth-anything` and `video-depth-anything`,
    /// `depthcrafter`, which needs --weights and in practice a GPU, or `depth-from`.
    #[arg(long, default_value = AUTOMATIC, value_name = "ESTIMATOR", value_parser = Estimator::parse)]
    engine: Estimator,

    /// The folder of all models, each in a folder of its repository's name. Defaults to that of `weights
    /// fetch`.
    #[arg(long, env = "WEIGHTS_DIR", value_name = "DIR")]
    weights: Option<PathBuf>,

    /// Denoising steps of `depthcrafter`.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    steps: u32,

    /// Where networks compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Cpu)]
    device: DeviceChoice,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    depth: DepthArgs,

    #[command(flatten)]
    damaged: DamagedArgs,

    /// Strength of a grid's right eye, as for `convert`.
    #[arg(long, default_value = "2%", value_name = "RANGE")]
    disparity: Disparity,

    /// The depth that appears at the screen in a grid's right eye, as for `convert`.
    #[arg(long, default_value_t = 0.5, value_name = "DEPTH", value_parser = parse_depth)]
    convergence: f32,
}

pub(crate) fn main(args: &DepthCommand) -> ExitCode {
    match run(args) {
        Ok((frames, damage)) => {
            eprintln!("{} is ready ({frames} frames)", args.output.display());
            for line in damage.lines() {
                eprintln!("warning: the video is damaged: {line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &DepthCommand) -> Result<(u64, Damage)> {
    let tools = Tools::find()?.for_film(args.damaged.damaged);
    let cancel = CancellationToken::new();
    let output = &args.output;
    ensure!(!output.exists(), "{}: exists already", output.display());
    let ends = |suffix: &str| output.extension().is_some_and(|e| e.eq_ignore_ascii_case(suffix));
    if args.grid {
        let video = ends("mkv") || ends("mp4");
        ensure!(video, "{}: allowed for a grid are .mkv and .mp4", output.display());
    }
    let known = output.extension().is_none() || ["npy", "npz", "mkv"].into_iter().any(ends);
    ensure!(
        known || args.grid,
        "{}: allowed are .npy, .npz, .mkv or a folder without extension",
        output.display()
    );
    place::writable(output)?;
    let media = probe(&tools, &args.input, &cancel)?;
    media.without_dynamic_hdr()?;
    let source = media;
    let packets = scan(&tools, &source, &cancel)?;
    let frames = packets.shown();
    let Views { pictures, warning } = one_view(&tools, &source, args.source_layout, &cancel)?;
    warning.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let media = pictures.applied(&source);
    let format = &media.video.format;
    let clip = Clip { format: Arc::clone(format), rate: media.video.rate };
    let (spec, line) = args.engine.spec(args.weights.as_ref(), args.device.device(), &args.network);
    line.iter().for_each(|line| eprintln!("{line}"));
    let depth = brought(args, spec, &tools, (format, frames), &cancel)?;
    let model = open(args, spec, depth, (format.width, format.height))?;
    let estimator = model.estimator(&clip, &Run { cancel: cancel.clone(), ..Run::default() })?;
    let decoder = Shown::open(&tools, &source, &packets, &packets, pictures, &cancel)?;
    let mut seen = Seen { decoder: Some(decoder), estimator, ready: Vec::new() }.peekable();
    let Some(Ok((_, first))) = seen.peek() else {
        let cause = seen.next().context("no frames")?;
        return Err(cause.err().context("no frames")?.into());
    };
    if args.grid {
        let geometry = Geometry {
            disparity_percent: args.disparity.percent(format.width)?,
            convergence: args.convergence,
        };
        film::grid(&tools, &media, output, geometry, seen, &cancel)?;
        return Ok((frames, tools.damage.so_far()));
    }
    let size = DepthSize { width: first.width(), height: first.height(), frames };
    if ends("mkv") {
        film::grey(&tools, &media, output, size, seen, &cancel)?;
        return Ok((frames, tools.damage.so_far()));
    }
    write(output, size, seen.map(|seen| seen.map(|(_, depth)| depth)))?;
    Ok((frames, tools.damage.so_far()))
}

/// The depth that the user brings, where the estimator takes any.
fn brought(
    args: &DepthCommand,
    spec: &DepthSpec,
    tools: &Tools,
    (format, frames): (&VideoFormat, u64),
    cancel: &CancellationToken,
) -> Result<Option<Brought>> {
    let Some(path) = &args.depth.depth else { return Ok(None) };
    ensure!(spec.takes(Choice::Depth), "--depth goes with --engine depth-from");
    let how = (args.depth.depth_near.near(), args.depth.depth_grid);
    let depth = DepthFrom::open(tools, path, how, cancel)?;
    depth.check(format.width, format.height, frames)?;
    let depth = Arc::new(depth);
    Ok(Some(Brought { engine: depth.clone(), depth }))
}

/// The estimator, for pictures of a width and a height.
fn open(
    args: &DepthCommand,
    spec: &'static DepthSpec,
    depth: Option<Brought>,
    size: (u32, u32),
) -> Result<Arc<dyn DepthModel>> {
    let device = args.device.device();
    let choices = args.network.among(Choices {
        weights: weights_folder(args.weights.as_ref()),
        steps: Some(args.steps),
        device,
        depth,
        ..Choices::default()
    });
    open_estimator(spec, &choices, size)
}

/// Writes an array or a folder of pictures, which appears whole or not at all.
fn write(
    output: &Path,
    size: DepthSize,
    mut planes: impl Iterator<Item = std::io::Result<Plane>>,
) -> Result<()> {
    let ends = |suffix: &str| output.extension().is_some_and(|e| e.eq_ignore_ascii_case(suffix));
    let partial = beside(output)?;
    let made = if ends("npy") {
        std::fs::File::create(&partial).and_then(|file| {
            let mut file = std::io::BufWriter::new(file);
            write_npy(&mut file, size, planes)?;
            std::io::Write::flush(&mut file)
        })
    } else if ends("npz") {
        write_npz(&partial, size, planes)
    } else {
        std::fs::create_dir(&partial).and_then(|()| {
            planes
                .by_ref()
                .enumerate()
                .try_for_each(|(n, plane)| write_png(&partial.join(format!("{n:06}.png")), &plane?))
        })
    };
    if let Err(error) = made {
        let _ = std::fs::remove_dir_all(&partial);
        let _ = std::fs::remove_file(&partial);
        return Err(error).with_context(|| format!("write {}", output.display()));
    }
    std::fs::rename(&partial, output).with_context(|| format!("write {}", output.display()))?;
    Ok(())
}

/// A name in the making, on the same filesystem.
fn beside(output: &Path) -> Result<PathBuf> {
    let name = output.file_name().with_context(|| format!("{}: no name", output.display()))?;
    Ok(output.with_file_name(format!(".{}.partial", name.to_string_lossy())))
}

/// The frames of a film with their depth.
struct Seen {
    decoder: Option<Shown>,
    estimator: Box<dyn DepthEstimator>,
    /// In reverse.
    ready: Vec<(Frame, Plane)>,
}

impl Seen {
    /// Takes `given`, and what else is ready after it.
    fn collect(&mut self, mut given: Vec<(Frame, Plane)>) -> Result<(), parallax_stereo::Error> {
        let mut all = Vec::new();
        while !given.is_empty() || self.estimator.ends_shot() {
            all.append(&mut given);
            given = self.estimator.more()?;
        }
        self.ready.extend(all.into_iter().rev());
        Ok(())
    }
}

impl Iterator for Seen {
    type Item = std::io::Result<(Frame, Plane)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let given = match self.decoder.as_mut()?.next() {
                Some(Ok(frame)) => self.estimator.push(frame),
                Some(Err(error)) => return Some(Err(std::io::Error::other(error))),
                None => {
                    self.decoder = None;
                    self.estimator.finish()
                }
            };
            if let Err(error) = given.and_then(|given| self.collect(given)) {
                return Some(Err(std::io::Error::other(error)));
            }
        }
        self.ready.pop().map(Ok)
    }
}
