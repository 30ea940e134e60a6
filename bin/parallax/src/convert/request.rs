//! What is asked for, checked before anything is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use parallax_conversion::DepthFrom;
use parallax_job::Mode;
use parallax_media::{DecodeOptions, EncodeSettings, Tools, lost_in_mp4, probe, scan};
use parallax_stereo::{Engine, Geometry, Layout, Rendering, Staging};
use tokio_util::sync::CancellationToken;

use super::model::{self, Model};
use super::name::beside;
use super::source::{self, Encoding};
use crate::cli::ConvertArgs;

/// A conversion that can be started.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) state_dir: PathBuf,
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
    pub(crate) tools: Tools,
    /// Frames of the input.
    pub(crate) frames: u64,
    /// What is not as it was asked for.
    pub(crate) warnings: Vec<String>,
}

impl Request {
    /// # Errors
    /// The first thing that stands in the way, naming the file or the option.
    pub(crate) fn check(args: &ConvertArgs) -> Result<Self> {
        let tools = Tools::find()?;
        let input = args
            .input
            .canonicalize()
            .with_context(|| format!("{}: cannot be opened", args.input.display()))?;
        ensure!(input.is_file(), "{}: not a file", args.input.display());
        let cancel = CancellationToken::new();
        let media = probe(&tools, &input, &cancel)?;
        let frames = scan(&tools, &media, &cancel)?.shown();

        let (mut warnings, lost) = (Vec::new(), lost_in_mp4(&media));
        let output = match &args.output {
            Some(output) => output.clone(),
            None => {
                let extension = if lost.is_empty() { "mp4" } else { "mkv" };
                if !lost.is_empty() {
                    warnings.push(format!("the result is Matroska: {}", lost.join("; ")));
                }
                beside(&args.input, args.layout, &args.pictures.name, extension)?
            }
        };
        let output = check_output(&output, &input, args)?;
        let state_dir = match &args.state_dir {
            Some(dir) => dir.clone(),
            None => {
                let name = output.file_name().unwrap_or_default().to_string_lossy();
                output.with_file_name(format!(".{name}.parallax"))
            }
        };
        warnings.extend(media.without_dynamic_hdr()?);
        let pictures = source::pictures(&tools, &media, &args.pictures, &cancel)?;
        let (Model { engine, identity }, depth) = match &args.depth.depth {
            Some(path) if args.engine == "depth-from" => {
                let (near, grid) = (args.depth.depth_near.near(), args.depth.depth_grid);
                let depth = DepthFrom::open(&tools, path, (near, grid), &cancel)?;
                let size = pictures.size(&media);
                depth.check(size.0, size.1, frames)?;
                let model = Model { engine: Arc::new(depth), identity: None };
                (model, Some(format!("{} {near:?} {grid}", path.canonicalize()?.display())))
            }
            Some(_) => bail!("--depth is for --engine depth-from, not for {}", args.engine),
            None => (model::open(args, pictures.size(&media))?, None),
        };
        let staging = args.staging.staging();
        ensure!(
            !args.reference || staging == Staging::default(),
            "--reference computes what is published: leave out --convergence auto, --comfort and \
             --floating-window"
        );
        let geometry = args.staging.geometry(pictures.size(&media).0)?;
        let rendering = args.drawing.rendering();
        // Depth is matched by counting from the film's first frame: so there is one segment.
        let segment_seconds = if depth.is_some() { u32::MAX } else { args.segment_seconds };
        let encode = EncodeSettings {
            crf: args.crf,
            preset: args.preset.clone(),
            hdr: media.video.hdr,
            ..EncodeSettings::default()
        };
        let full_chroma = args.pictures.full_chroma;
        let encoding = Encoding { layout: args.layout, full_chroma, pictures, choice: args.codec };
        let codec = encoding.codec(&tools, &media, &encode, &mut warnings, &cancel)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        Ok(Self {
            input,
            output,
            state_dir,
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
            encode: EncodeSettings { codec, ..encode },
            segment_seconds,
            depth,
            tools,
            frames,
            warnings,
        })
    }

    /// Whether the output is Matroska.
    pub(crate) fn matroska(&self) -> bool {
        has_extension(&self.output, "mkv")
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
    let name = output.file_name().with_context(|| format!("{shown}: has no file name"))?;
    let known = has_extension(output, "mp4") || has_extension(output, "mkv");
    ensure!(known, "{shown}: the output's name must end in .mp4 or .mkv");
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder =
        folder.canonicalize().with_context(|| format!("{shown}: its folder cannot be opened"))?;
    let output = folder.join(name);
    ensure!(output != input, "{shown}: the output would replace the input");
    ensure!(!output.is_dir(), "{shown}: is a folder");
    if output.exists() && !args.overwrite && !args.resume {
        bail!("{shown}: exists already; pass --overwrite to replace it");
    }
    // Found out now rather than after hours of work.
    // The file has no name, so that nothing is left of it.
    tempfile::tempfile_in(&folder)
        .with_context(|| format!("{}: cannot be written to", folder.display()))?;
    Ok(output)
}
