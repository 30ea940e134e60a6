//! What is asked for, checked before anything is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use parallax_conversion::{DepthFrom, Views};
use parallax_engine_spec::{Brought, Choice};
use parallax_job::Mode;
use parallax_media::{DecodeOptions, EncodeSettings, MuxPlan, Tools, probe, scan};
use parallax_stereo::{Engine, Geometry, Layout, Rendering, Run, Staging};
use tokio_util::sync::CancellationToken;

use super::model::{self, Model};
use super::name::beside;
use super::room::Film;
use super::source::{self, Encoding};
use super::streams;
use super::without;
use crate::cli::ConvertArgs;
use crate::place;

/// A conversion that can be started.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// Where the user wants unfinished work to be kept; `None` for beside the output.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) resume: bool,
    pub(crate) restart: bool,
    pub(crate) overwrite: bool,
    pub(crate) layout: Layout,
    pub(crate) engine: Arc<dyn Engine>,
    /// What besides the engine's name decides its results.
    pub(crate) model: Option<String>,
    /// The depth that the user brings, and what is near in it.
    pub(crate) depth: Option<String>,
    pub(crate) geometry: Geometry,
    pub(crate) rendering: Rendering,
    pub(crate) staging: Staging,
    pub(crate) pictures: DecodeOptions,
    pub(crate) full_chroma: bool,
    pub(crate) seed: u64,
    pub(crate) encode: EncodeSettings,
    pub(crate) jobs: u32,
    pub(crate) segment_seconds: u32,
    /// What decides how much room it takes.
    pub(crate) film: Film,
    /// Streams of the source that are left out.
    pub(crate) without: BTreeSet<u32>,
    /// Whether to start without room for all of it.
    pub(crate) ignore_room: bool,
    pub(crate) tools: Tools,
    /// Frames of the input.
    pub(crate) frames: u64,
    /// Seconds from its first frame to each; empty where the container does not say.
    pub(crate) times: Vec<f64>,
    /// What becomes of the input's other streams.
    pub(crate) streams: MuxPlan,
    /// What is not as it was asked for.
    pub(crate) warnings: Vec<String>,
}

impl Request {
    /// # Errors
    /// The first thing that stands in the way, naming the file or the option.
    pub(crate) fn check(args: &ConvertArgs) -> Result<Self> {
        let tools = Tools::find()?.for_film(args.damaged.damaged);
        let input = args
            .input
            .canonicalize()
            .with_context(|| format!("{}: cannot be opened", args.input.display()))?;
        ensure!(input.is_file(), "{}: not a file", args.input.display());
        let cancel = CancellationToken::new();
        let mut media = probe(&tools, &input, &cancel)?;
        let without = without::streams(&media, &args.without)?;
        // What is left out chooses no container.
        media.leave_out(&without);

        let mut warnings = Vec::new();
        let named = args.output.as_ref().map(|output| check_output(output, &input, args));
        let named = named.transpose()?;
        warnings.extend(media.without_dynamic_hdr()?);
        let Views { pictures, warning } =
            source::pictures(&tools, &media, &args.pictures, &cancel)?;
        warnings.extend(warning);
        let encode = EncodeSettings {
            crf: args.crf,
            preset: args.preset.clone(),
            hdr: media.video.hdr,
            ..EncodeSettings::default()
        };
        let full_chroma = args.pictures.full_chroma;
        let encoding = Encoding { layout: args.layout, full_chroma, pictures, choice: args.codec };
        let codec = encoding.codec(&tools, &media, &encode, &mut warnings, &cancel)?;
        let encode = EncodeSettings { codec, ..encode };
        let format = encoding.format(&media);
        let streams =
            streams::decide(&tools, &media, named.as_deref(), (&format, &encode), &cancel)?;
        let output = match named {
            Some(output) => output,
            None => {
                let extension = streams.container.extension();
                let output = beside(&args.input, args.layout, &args.pictures.name, extension)?;
                check_output(&output, &input, args)?
            }
        };
        // Reads all of the film, so what needs no look at it is checked before.
        let packets = scan(&tools, &media, &cancel)?;
        let frames = packets.shown();
        let times = packets.frame_times().unwrap_or_default();
        let base = media.video.time_base;
        let times = times.iter().map(|time| base.seconds(time - times[0])).collect();
        let size = pictures.size(&media);
        let selected = model::selected(args)?;
        let (brought, depth) = match &args.depth.depth {
            Some(path) if selected.takes(Choice::Depth) => {
                let (near, grid) = (args.depth.depth_near.near(), args.depth.depth_grid);
                let depth = DepthFrom::open(&tools, path, (near, grid), &cancel)?;
                depth.check(size.0, size.1, frames)?;
                let identity = format!("{} {near:?} {grid}", path.canonicalize()?.display());
                let depth = Arc::new(depth);
                (Some(Brought { engine: depth.clone(), depth }), Some(identity))
            }
            Some(_) => bail!("--depth is for --engine depth-from, not for {}", selected.name()),
            None => (None, None),
        };
        let Model { engine, identity } = model::open(args, brought, size)?;
        let staging = args.staging.staging();
        ensure!(
            !args.reference || staging == Staging::default(),
            "--reference computes what is published: leave out --convergence auto, --comfort and \
             --floating-window"
        );
        let geometry = args.staging.geometry(pictures.size(&media).0)?;
        let drawing = args.drawing.rendering();
        let rendering = Rendering { fill: args.pair.fill().unwrap_or(drawing.fill), ..drawing };
        if args.pair.selected().is_some() {
            // Halves go together with one another, and not with every way of drawing.
            let depth_picture = args.layout == Layout::Rgbd;
            let rendering = Rendering { depth_picture, ..rendering };
            engine.check(&Run { geometry, rendering, staging, ..Run::default() })?;
        }
        // Depth is matched by counting from the film's first frame: so there is one segment.
        let segment_seconds = if depth.is_some() { u32::MAX } else { args.segment_seconds };
        let rate = media.video.rate;
        let film = Film {
            bytes: media.bytes,
            frames,
            seconds: frames as f64 * f64::from(rate.den) / f64::from(rate.num),
            pixels: u64::from(size.0) * u64::from(size.1),
            result_pixels: u64::from(format.width) * u64::from(format.height),
            codec,
            crf: args.crf,
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        Ok(Self {
            input,
            output,
            state_dir: args.state_dir.clone(),
            resume: args.resume,
            restart: args.restart,
            overwrite: args.overwrite,
            layout: args.layout,
            engine,
            // Engines with a model share one device.
            jobs: args.jobs.unwrap_or(match identity {
                Some(_) => 1,
                None => (processors / 4).clamp(1, 8),
            }),
            model: identity,
            geometry,
            staging,
            seed: args.seed,
            rendering,
            pictures,
            full_chroma,
            encode,
            streams,
            segment_seconds,
            depth,
            film,
            without,
            ignore_room: args.ignore_room,
            tools,
            frames,
            times,
            warnings,
        })
    }

    /// Whether the output is Matroska.
    pub(crate) fn matroska(&self) -> bool {
        has_extension(&self.output, "mkv")
    }

    /// Everything about the join that the user may choose, in words: two that differ give other
    /// files of the same frames.
    pub(crate) fn join_choices(&self) -> String {
        format!("matroska: {}, without {:?}", self.matroska(), self.without)
    }

    /// The kind of result in the wire contract's terms.
    pub(crate) fn mode(&self) -> Mode {
        if self.layout.is_anaglyph() { Mode::Anaglyph } else { Mode::Sbs }
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn check_output(output: &Path, input: &Path, args: &ConvertArgs) -> Result<PathBuf> {
    let shown = output.display();
    let known = has_extension(output, "mp4") || has_extension(output, "mkv");
    ensure!(known, "{shown}: the output's name must end in .mp4 or .mkv");
    // Found out now rather than after hours of work.
    let output = place::writable(output)?;
    ensure!(output != input, "{shown}: the output would replace the input");
    if output.exists() && !args.overwrite && !args.resume {
        bail!("{shown}: exists already; pass --overwrite to replace it");
    }
    Ok(output)
}
