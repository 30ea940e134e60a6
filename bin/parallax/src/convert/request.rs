//! What is asked for, checked before anything is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use parallax_job::Mode;
use parallax_media::{Codec, EncodeSettings, Tools, probe, scan};
use parallax_stereo::{Engine, Geometry, Layout, output_format};
use tokio_util::sync::CancellationToken;

use super::model::{self, Model};
use crate::cli::{CodecChoice, ConvertArgs};

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
    pub(crate) geometry: Geometry,
    pub(crate) seed: u64,
    pub(crate) encode: EncodeSettings,
    pub(crate) jobs: u32,
    pub(crate) segment_seconds: u32,
    pub(crate) tools: Tools,
    /// Frames of the input.
    pub(crate) frames: u64,
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

        let output = match &args.output {
            Some(output) => output.clone(),
            None => beside(&args.input, args.layout)?,
        };
        let output = check_output(&output, &input, args)?;
        let state_dir = match &args.state_dir {
            Some(dir) => dir.clone(),
            None => {
                let name = output.file_name().unwrap_or_default().to_string_lossy();
                output.with_file_name(format!(".{name}.parallax"))
            }
        };
        let Model { engine, identity } = model::open(args)?;
        let codec = match args.codec {
            CodecChoice::H264 => Codec::X264,
            CodecChoice::Hevc => Codec::X265,
            CodecChoice::Auto => {
                let (format, _) = output_format(args.layout, &media.video.format);
                let large = format.width > 4096 || format.pixels.bits() > 10;
                if large { Codec::X265 } else { Codec::X264 }
            }
        };
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
            geometry: Geometry { disparity_percent: args.disparity, convergence: args.convergence },
            seed: args.seed,
            encode: EncodeSettings {
                codec,
                crf: args.crf,
                preset: args.preset.clone(),
                ..EncodeSettings::default()
            },
            segment_seconds: args.segment_seconds,
            tools,
            frames,
        })
    }

    /// The kind of result in the wire contract's terms.
    pub(crate) fn mode(&self) -> Mode {
        match self.layout {
            Layout::FullSbs | Layout::HalfSbs => Mode::Sbs,
            Layout::Anaglyph => Mode::Anaglyph,
        }
    }
}

/// The input's name with the suffix by which players tell the layout.
fn beside(input: &Path, layout: Layout) -> Result<PathBuf> {
    let stem = input
        .file_stem()
        .with_context(|| format!("{}: has no file name", input.display()))?
        .to_string_lossy();
    let suffix = match layout {
        Layout::FullSbs => "_LRF_Full_SBS",
        Layout::HalfSbs => "_LR",
        Layout::Anaglyph => "_redcyan_color",
    };
    Ok(input.with_file_name(format!("{stem}{suffix}.mp4")))
}

fn check_output(output: &Path, input: &Path, args: &ConvertArgs) -> Result<PathBuf> {
    let shown = output.display();
    let name = output.file_name().with_context(|| format!("{shown}: has no file name"))?;
    let mp4 = output.extension().is_some_and(|e| e.eq_ignore_ascii_case("mp4"));
    ensure!(mp4, "{shown}: the output is MP4, so its name must end in .mp4");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_recognise_the_layout_by_the_name() {
        let cases = [
            (Layout::FullSbs, "clip_LRF_Full_SBS.mp4"),
            (Layout::HalfSbs, "clip_LR.mp4"),
            (Layout::Anaglyph, "clip_redcyan_color.mp4"),
        ];
        for (layout, name) in cases {
            let path = beside(Path::new("films/clip.mkv"), layout).unwrap();
            assert_eq!(path, Path::new("films").join(name));
        }
    }
}
