//! What is asked for, checked before anything is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use parallax_catalogue::Selected;
use parallax_conversion::{DepthFrom, Near, Views};
use parallax_engine_spec::{Brought, Choice};
use parallax_frame::VideoFormat;
use parallax_job::Mode;
use parallax_media::{
    DecodeOptions, EncodeSettings, Excerpt, Media, MuxPlan, Packets, StreamKind, Tools, excerpt,
    probe, scan, shown_rate,
};
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

/// How names of films that are made end.
const FILMS: [&str; 2] = ["mp4", "mkv"];

/// Seconds that a segment has at least where a network is led in to each.
const LED_IN_SECONDS: u32 = 60;

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
    /// What of the source is wanted.
    pub(crate) excerpt: Excerpt,
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
    /// What was chosen for the user, in words.
    pub(crate) chosen: Vec<String>,
}

impl Request {
    /// # Errors
    /// The first thing that stands in the way, naming the file or the option.
    pub(crate) fn check(args: &ConvertArgs) -> Result<Self> {
        let tools = Tools::find()?.for_film(args.damaged.damaged);
        let input = source_file(&args.input)?;
        let cancel = CancellationToken::new();
        let mut media = probe(&tools, &input, &cancel)?;
        let without = without::streams(&media, &args.without)?;
        // What is left out chooses no container.
        media.leave_out(&without);

        let mut warnings = Vec::new();
        let named = args.output.as_ref().map(|output| check_output(output, &input, args, &FILMS));
        let named = named.transpose()?;
        warnings.extend(media.without_dynamic_hdr()?);
        let Views { pictures, warning } =
            source::pictures(&tools, &media, &args.pictures, &cancel)?;
        warnings.extend(warning);
        let encode = encode_settings(args, &media);
        let full_chroma = args.pictures.full_chroma;
        let (choice, size) = (args.codec, args.part.size);
        let encoding = Encoding { layout: args.layout, full_chroma, pictures, choice, size };
        let codec = encoding.codec(&tools, &media, &encode, &mut warnings, &cancel)?;
        let (format, scaled) = encoding.format(&media);
        let encode = EncodeSettings { codec, scaled, ..encode };
        let streams =
            streams::decide(&tools, &media, named.as_deref(), (&format, &encode), &cancel)?;
        let output = match named {
            Some(output) => output,
            None => named_beside(args, &input, streams.container.extension())?,
        };
        // Reads all of the film, so what needs no look at it is checked before.
        let (packets, excerpt, times) = wanted(args, &tools, &media, &cancel)?;
        let frames = packets.shown();
        warnings.extend(cut_by_packets(&excerpt, &media, &streams));
        let size = pictures.size(&media);
        let mut chosen = Vec::new();
        let selected = model::selected(args, &mut chosen)?;
        let (brought, depth) = brought(args, &selected, &tools, (size, frames), &cancel)?;
        let Model { engine, identity, licences } = model::open(args, &selected, brought, size)?;
        warnings.extend(licences);
        let Drawing { geometry, rendering, staging } = Drawing::check(args, &*engine, size.0)?;
        // Depth is matched by counting from the film's first frame: so there is one segment.
        let segment_seconds = match (&depth, selected.takes(Choice::DepthEvery)) {
            (Some(_), _) => u32::MAX,
            // Each is led in from its shot's beginning, which a network has to see again.
            (None, true) => args.segment_seconds.max(LED_IN_SECONDS),
            (None, false) => args.segment_seconds,
        };
        let film = film(&media, &packets, size, &format, &encode);
        Ok(Self {
            input,
            output,
            state_dir: args.state_dir.clone(),
            resume: args.resume,
            restart: args.restart,
            overwrite: args.overwrite,
            layout: args.layout,
            engine,
            jobs: args.jobs.unwrap_or_else(|| jobs(identity.is_some())),
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
            excerpt,
            without,
            ignore_room: args.ignore_room,
            tools,
            frames,
            times,
            warnings,
            chosen,
        })
    }

    /// Whether the output is Matroska.
    pub(crate) fn matroska(&self) -> bool {
        has_extension(&self.output, "mkv")
    }

    /// Everything about the join that the user may choose, in words: two that differ give other
    /// files of the same frames.
    pub(crate) fn join_choices(&self) -> String {
        join_choices(self.matroska(), &self.without)
    }

    /// The kind of result in the wire contract's terms.
    pub(crate) fn mode(&self) -> Mode {
        if self.layout.is_anaglyph() { Mode::Anaglyph } else { Mode::Sbs }
    }
}

fn join_choices(matroska: bool, without: &BTreeSet<u32>) -> String {
    let without: Vec<String> = without.iter().map(u32::to_string).collect();
    format!("matroska: {matroska}, without {{{}}}", without.join(", "))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// How pairs are drawn, by an engine that does so.
pub(super) struct Drawing {
    pub(super) geometry: Geometry,
    pub(super) rendering: Rendering,
    pub(super) staging: Staging,
}

impl Drawing {
    pub(super) fn check(args: &ConvertArgs, engine: &dyn Engine, width: u32) -> Result<Self> {
        let staging = args.staging.staging();
        ensure!(
            !args.reference || staging == Staging::default(),
            "--reference computes what is published: leave out --convergence auto, --comfort and \
             --floating-window"
        );
        let geometry = args.staging.geometry(width)?;
        let drawing = args.drawing.rendering();
        let rendering = Rendering { fill: args.pair.fill().unwrap_or(drawing.fill), ..drawing };
        if args.pair.selected().is_some() {
            // Halves go together with one another, and not with every way of drawing.
            let depth_picture = args.layout == Layout::Rgbd;
            let rendering = Rendering { depth_picture, ..rendering };
            engine.check(&Run { geometry, rendering, staging, ..Run::default() })?;
        }
        Ok(Self { geometry, rendering, staging })
    }
}

/// The depth that the user brings for a film of this size and of so many frames, and what tells it from
/// other depth.
pub(super) fn brought(
    args: &ConvertArgs,
    selected: &Selected,
    tools: &Tools,
    (size, frames): ((u32, u32), u64),
    cancel: &CancellationToken,
) -> Result<(Option<Brought>, Option<String>)> {
    let Some(path) = &args.depth.depth else { return Ok((None, None)) };
    if !selected.takes(Choice::Depth) {
        bail!("--depth is for --engine depth-from, not for {}", selected.name());
    }
    let (near, grid) = (args.depth.depth_near.near(), args.depth.depth_grid);
    let depth = DepthFrom::open(tools, path, (near, grid), cancel)?;
    depth.check(size.0, size.1, frames)?;
    // Kept in folders, so the words stay whatever the code calls it.
    let near = match near {
        Near::White => "White",
        Near::Black => "Black",
    };
    let identity = format!("{} {near} {grid}", path.canonicalize()?.display());
    let depth = Arc::new(depth);
    Ok((Some(Brought { engine: depth.clone(), depth }), Some(identity)))
}

pub(super) fn source_file(named: &Path) -> Result<PathBuf> {
    let shown = named.display();
    let input = named.canonicalize().with_context(|| format!("{shown}: cannot be opened"))?;
    ensure!(input.is_file(), "{shown}: not a file");
    Ok(input)
}

fn encode_settings(args: &ConvertArgs, media: &Media) -> EncodeSettings {
    EncodeSettings {
        crf: args.crf,
        preset: args.preset.clone(),
        hdr: media.video.hdr,
        ..EncodeSettings::default()
    }
}

/// The frames that are converted, what is asked for of the film, and seconds from the film's first frame
/// to each; without those where the container does not say.
fn wanted(
    args: &ConvertArgs,
    tools: &Tools,
    media: &Media,
    cancel: &CancellationToken,
) -> Result<(Packets, Excerpt, Vec<f64>)> {
    let packets = scan(tools, media, cancel)?;
    let first = packets.frame_times().map_or(0, |times| times[0]);
    let wanted = args.part.excerpt(media, &packets)?;
    let packets = excerpt(packets, media, &wanted)?;
    let times = packets.frame_times().unwrap_or_default();
    let base = media.video.time_base;
    let times = times.iter().map(|time| base.seconds(time - first)).collect();
    Ok((packets, wanted, times))
}

/// What is not as exact as it was asked for.
fn cut_by_packets(excerpt: &Excerpt, media: &Media, plan: &MuxPlan) -> Option<String> {
    let copied = plan.kept.iter().filter(|kept| {
        let sound = media.stream(kept.index).is_some_and(|s| s.kind == StreamKind::Audio);
        sound && kept.converted_to.is_none()
    });
    let copied: Vec<String> = copied.map(|kept| kept.index.to_string()).collect();
    if copied.is_empty() || excerpt.start_us.is_none() && excerpt.end_us.is_none() {
        return None;
    }
    let streams = copied.join(", ");
    Some(format!(
        "the sound of stream {streams} is copied, so it is cut by whole packets: it begins and ends up to \
         a packet, some hundredths of a second, later than the pictures, and stays in step with them"
    ))
}

/// What decides how much room a result of `format` takes: the film, what of it is shown, and the `size`
/// of its pictures.
fn film(
    media: &Media,
    packets: &Packets,
    size: (u32, u32),
    format: &VideoFormat,
    encode: &EncodeSettings,
) -> Film {
    let (frames, all) = (packets.shown(), packets.packets.len());
    let rate = shown_rate(packets, media);
    Film {
        bytes: media.bytes,
        share: (frames as f64 / all.max(1) as f64).min(1.0),
        recoded: packets.are_excerpted(),
        frames,
        seconds: frames as f64 * f64::from(rate.den) / f64::from(rate.num),
        pixels: u64::from(size.0) * u64::from(size.1),
        result_pixels: u64::from(format.width) * u64::from(format.height),
        codec: encode.codec,
        crf: encode.crf,
    }
}

/// Segments at the same time where nobody says how many: engines with a model share one device.
fn jobs(has_model: bool) -> u32 {
    if has_model {
        return 1;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    (processors / 4).clamp(1, 8)
}

fn named_beside(args: &ConvertArgs, input: &Path, extension: &str) -> Result<PathBuf> {
    let output = beside(&args.input, args.layout, &args.pictures.name, extension)?;
    check_output(&output, input, args, &FILMS)
}

/// The name of the file to make, which ends in one of `endings`.
///
/// # Errors
/// When it cannot be made, or is there already.
pub(super) fn check_output(
    output: &Path,
    input: &Path,
    args: &ConvertArgs,
    endings: &[&str],
) -> Result<PathBuf> {
    let shown = output.display();
    let known = endings.iter().any(|ending| has_extension(output, ending));
    ensure!(known, "{shown}: the output's name must end in .{}", endings.join(" or ."));
    // Found out now rather than after hours of work.
    let output = place::writable(output)?;
    ensure!(output != input, "{shown}: the output would replace the input");
    if output.exists() && !args.overwrite && !args.resume {
        bail!("{shown}: exists already; pass --overwrite to replace it");
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders that earlier versions began say it so.
    #[test]
    fn the_join_is_described_as_it_ever_was() {
        let words = |without: &[u32]| join_choices(true, &without.iter().copied().collect());
        assert_eq!(words(&[]), "matroska: true, without {}");
        assert_eq!(words(&[3, 1]), "matroska: true, without {1, 3}");
    }
}
