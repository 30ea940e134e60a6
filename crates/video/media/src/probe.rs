//! What a file is: container, streams and the main video stream, checked against the limits.
//!
//! Only headers are read here; [`crate::scan`] reads every packet.

mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use parallax_frame::{FrameRate, TimeBase, VideoFormat};
use tokio_util::sync::CancellationToken;

pub(crate) use answer::{check_seconds, microseconds};

use crate::child::{self, Child};
use crate::declare::{Declaration, StereoMode};
use crate::error::{Error, Kind, Result, show_path};
use crate::hdr::{DynamicHdr, Hdr, SideData};
use crate::limits::DEMUXERS;
use crate::movie::Movie;
use crate::programs::{Tools, file_url};
use crate::remembered::State;

/// What kind of stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Moving pictures.
    Video,
    /// A still picture that rides along: cover art, a thumbnail.
    AttachedPicture,
    /// Sound.
    Audio,
    /// Subtitles, as text or as bitmaps.
    Subtitle,
    /// A file inside the file: a font for the subtitles.
    Attachment,
    /// Timecodes and everything else.
    Other,
}

/// One stream of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Index in the file, from 0.
    pub index: u32,
    /// What kind of stream it is.
    pub kind: StreamKind,
    /// ffmpeg's codec name; `unknown` when it has none.
    pub codec: String,
    /// Language tag, when there is one.
    pub language: Option<String>,
    /// The container's own name of the codec, for streams that ffmpeg has none for; else empty.
    pub tag: String,
    /// What it is marked as, in ffmpeg's words: `default`, `forced`, `hearing_impaired`.
    pub dispositions: Vec<String>,
    /// Its tags, as they are: foreign text of any content.
    pub tags: BTreeMap<String, String>,
    /// The kinds of side data that its headers hold, in ffmpeg's words.
    pub side_data: Vec<String>,
    /// How it sounds, for sound that the file holds something of.
    pub sound: Option<Sound>,
    /// When it begins and ends, in microseconds on the file's clock, where the file tells both.
    pub span_us: Option<(i64, i64)>,
}

/// What a sound's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Channels, at least one.
    pub channels: u32,
    /// Samples per second, at least one.
    pub rate: u32,
    /// Whether its samples are floating-point numbers.
    pub float: bool,
    /// Bits of a decoded sample that count; 0 when unknown.
    pub bits: u32,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Where it begins, in microseconds after the start of the file.
    pub start_us: i64,
    /// Its title, when it has one.
    pub title: Option<String>,
}

/// The main video stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Index of the stream in the file.
    pub index: u32,
    /// ffmpeg's codec name.
    pub codec: String,
    /// What [`crate::Decoder`] produces: size after rotation, planar layout, colour tags.
    pub format: Arc<VideoFormat>,
    /// The stream's own pixel format, in ffmpeg's names.
    pub pixel_name: String,
    /// Rotation tag in degrees, counter-clockwise as ffmpeg reports it; -180 to 180.
    pub rotation: i32,
    /// Sample aspect ratio after rotation; 1:1 when unknown.
    pub sample_aspect: (u32, u32),
    /// Field order in ffmpeg's names; `None` when unknown or progressive.
    pub field_order: Option<String>,
    /// Unit of the stream's timestamps.
    pub time_base: TimeBase,
    /// Average frame rate; the base rate, then 25, stand in when it is unknown.
    pub rate: FrameRate,
    /// Lowest rate that represents all timestamps, as ffmpeg guesses it.
    pub base_rate: Option<FrameRate>,
    /// First presentation time in ticks, when the headers tell.
    pub start: Option<i64>,
    /// Length in ticks, when the headers tell.
    pub duration: Option<i64>,
    /// Frames that the headers promise. Includes those that an edit list hides.
    pub frames: Option<u64>,
    /// The extradata's hash: equal hashes decode with the same parameter sets.
    pub extradata: Option<String>,
    /// Static HDR metadata, of the headers or of the first frame.
    pub hdr: Hdr,
    /// Dynamic HDR metadata that the headers or the first frame show.
    pub dynamic_hdr: Vec<DynamicHdr>,
    /// What the container says of how two views share a picture.
    pub declared: Declaration,
    /// The same in words, for every arrangement there is, MV-HEVC included; `None` for one view.
    pub views: Option<String>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// The file.
    pub path: PathBuf,
    /// ffmpeg's demuxer names, for example `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Length in seconds over all streams, when the headers tell.
    pub duration_seconds: Option<f64>,
    /// Earliest presentation time over audio and video, in microseconds.
    pub start_us: i64,
    /// Every stream, in file order.
    pub streams: Vec<Stream>,
    /// Tags of the whole file, as they are: foreign text of any content.
    pub tags: BTreeMap<String, String>,
    /// Chapters, in file order.
    pub chapters: Vec<Chapter>,
    /// Programs of a transport stream; 0 elsewhere.
    pub programs: usize,
    /// The main video stream: the first that is marked as default, else the first.
    pub video: Video,
}

impl Media {
    /// Streams of one kind, in file order.
    pub fn streams_of(&self, kind: StreamKind) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(move |stream| stream.kind == kind)
    }

    /// The stream with an index.
    pub fn stream(&self, index: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.index == index)
    }

    /// Takes the streams with these indices out of the list, and returns them. The main video stays
    /// what is converted, even where it is named.
    pub fn leave_out(&mut self, indices: &BTreeSet<u32>) -> Vec<Stream> {
        self.streams.extract_if(.., |stream| indices.contains(&stream.index)).collect()
    }

    /// Whether the container is a broadcaster's: it says neither a length nor the shape of samples, and
    /// its clock may jump.
    pub fn is_broadcast(&self) -> bool {
        answer::is_broadcast(&self.container)
    }

    /// Whether the container is of the MP4 family.
    pub fn is_mp4(&self) -> bool {
        self.container.split(',').any(|name| name == "mp4")
    }
}

/// Reads the headers of the file at `path`.
///
/// # Errors
/// `Input` when it is not a video in an allowed container, is over a limit, or has a codec that
/// cannot be decoded; `Io` when it cannot be read; `Tool`; `Cancelled`.
pub fn probe(tools: &Tools, path: &Path, cancel: &CancellationToken) -> Result<Media> {
    let bytes = check_file(tools, path)?;
    if let Some(media) = tools.remembered.film(path, &tools.limits) {
        return Ok(media);
    }
    let before = State::of(path, &tools.limits, None);
    if let Some(what) = picture(path) {
        return Err(Error::input(path, what));
    }
    let movie = Movie::read(path)?;
    if let Some(scheme) = encryption(path, movie.as_ref())? {
        return Err(encrypted(path, &scheme));
    }
    let mut command = tools.ffprobe();
    tools.guard(&mut command);
    command.args(["-show_streams", "-show_format", "-show_chapters", "-show_programs"]);
    command.args(["-show_data_hash", "crc32", "-of", "json"]);
    command.arg("-i").arg(file_url(path));
    let limit = Some(tools.limits.probe_time);
    let (output, ended) = child::capture(&mut command, cancel, limit, 16 << 20)?;
    let doing = format!("{}: not a readable video", show_path(path));
    ended.check(&doing, Kind::Input).map_err(|e| explain(e, &ended.words()))?;
    let mut media = answer::read(tools, path, bytes, &output)?;
    let track = movie.as_ref().and_then(|movie| movie.track(media.video.index, b"vide"));
    if track.is_some_and(|track| track.second_view) {
        media.video.views = Some("MV-HEVC".to_owned());
    } else if track.is_some_and(|track| track.shared) && media.video.views.is_none() {
        // Arrangements that this ffprobe does not know.
        media.video.views = Some("two views in a picture".to_owned());
    }
    let transfer = media.video.format.colour.transfer.as_deref();
    if transfer == Some("smpte2084") {
        let first = first_frame(tools, &media, cancel)?;
        media.video.hdr = media.video.hdr.or(Hdr::of(&first));
        for kind in DynamicHdr::of(&first) {
            // The headers know more of Dolby Vision than a frame does.
            if media.video.dynamic_hdr.iter().all(|known| known.name() != kind.name()) {
                media.video.dynamic_hdr.push(kind);
            }
        }
    }
    tools.remembered.keep_film(&media, &tools.limits, before);
    Ok(media)
}

/// How two views share the pictures of `media`, as its first picture says it: of the stream itself, or
/// of the container, which decoders pass on in the same way.
///
/// # Errors
/// As [`probe`].
pub fn packing_of_stream(
    tools: &Tools,
    media: &Media,
    cancel: &CancellationToken,
) -> Result<Option<StereoMode>> {
    let mut command = tools.ffmpeg();
    tools.guard(&mut command);
    // ffprobe 5 names this kind of side data and leaves out what it says.
    command.args(["-loglevel", "level+info", "-i"]).arg(file_url(&media.path));
    command.args(["-map", &format!("0:{}", media.video.index), "-frames:v", "1"]);
    command.args(["-vf", "showinfo", "-f", "null", "/dev/null"]);
    let found = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&found);
    let limit = Some(tools.limits.probe_time);
    let child = Child::spawn(&mut command, cancel, limit, move |line| {
        let Some((_, says)) = line.split_once("stereoscopic information: type - ") else {
            return !line.contains("[error]") && !line.contains("[fatal]");
        };
        let (packing, inverted) = match says.trim().split_once(" (") {
            Some((packing, rest)) => (packing, rest.starts_with("inverted")),
            None => (says.trim(), false),
        };
        // Of several the first counts.
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = seen.or(StereoMode::named(packing, inverted));
        true
    })?;
    child
        .wait()?
        .check(&format!("{}: read its first frame", show_path(&media.path)), Kind::Input)?;
    let found = *found.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(found)
}

/// The scheme that hides the pictures of the file at `path`, found without asking ffprobe, which
/// reads encrypted pictures as damaged ones.
fn encryption(path: &Path, movie: Option<&Movie>) -> Result<Option<String>> {
    if let Some(movie) = movie {
        return Ok(movie.encrypted().map(str::to_owned));
    }
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.take(1 << 20).read_to_end(&mut head).map_err(|e| Error::io("read", path, e))?;
    Ok(scrambled(&head).then(|| "scrambled transport stream".to_owned()))
}

/// The refusal of a file whose pictures `scheme` hides.
fn encrypted(path: &Path, scheme: &str) -> Error {
    Error::input(path, format!("encrypted ({scheme}): a decrypted copy is needed"))
}

/// Whether more than half of the packets of an MPEG transport stream that begins with `head` are
/// scrambled (ISO/IEC 13818-1, 2.4.3.3).
fn scrambled(head: &[u8]) -> bool {
    // M2TS puts four bytes before each packet.
    for (length, before) in [(188, 0), (192, 4)] {
        let packets = || head.chunks_exact(length).map(|chunk| &chunk[before..]);
        let whole = packets().filter(|packet| packet[0] == 0x47).count();
        if whole >= 5 && whole == packets().count() {
            let hidden = packets().filter(|packet| packet[3] & 0xC0 != 0).count();
            return 2 * hidden > whole;
        }
    }
    false
}

/// Metadata inside the stream, which only decoding shows.
fn first_frame(tools: &Tools, media: &Media, cancel: &CancellationToken) -> Result<Vec<SideData>> {
    let mut command = tools.ffprobe();
    tools.guard(&mut command);
    command.arg("-select_streams").arg(media.video.index.to_string());
    // Without -show_frames ffprobe 5 decodes nothing for this one entry.
    command.args(["-read_intervals", "%+#1", "-show_frames"]);
    command.args(["-show_entries", "frame=side_data_list"]);
    command.args(["-of", "json", "-i"]).arg(file_url(&media.path));
    let limit = Some(tools.limits.probe_time);
    let (output, ended) = child::capture(&mut command, cancel, limit, 1 << 20)?;
    ended.check(&format!("{}: read its first frame", show_path(&media.path)), Kind::Input)?;
    Ok(answer::first_frame(&output))
}

/// What to do about a picture that moves not, or moves in a way that ffmpeg does not read.
fn picture(path: &Path) -> Option<&'static str> {
    let mut head = [0; 64];
    let length = std::fs::File::open(path).ok()?.read(&mut head).ok()?;
    let head = &head[..length];
    let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    if webp && head.windows(4).any(|kind| kind == b"ANIM" || kind == b"VP8X") {
        return Some(
            "animated WebP, which ffmpeg does not decode; make a GIF or a video of it first",
        );
    }
    let still = [&b"\x89PNG"[..], b"\xFF\xD8\xFF", b"BM", b"II*\0", b"MM\0*"];
    (webp || still.iter().any(|sign| head.starts_with(sign))).then_some(
        "a still picture; make a clip of it first, such as by \
         ffmpeg -loop 1 -t 5 -i picture -pix_fmt yuv420p clip.mp4",
    )
}

/// Adds what is allowed to a refusal by the format list.
fn explain(error: Error, said: &str) -> Error {
    if error.kind() == Kind::Input && (said.contains("whitelist") || said.contains("Invalid data"))
    {
        return Error::new(Kind::Input, format!("{error}; allowed containers: {DEMUXERS}"));
    }
    error
}

/// The file's size, once it is known to be a regular file within the limits.
fn check_file(tools: &Tools, path: &Path) -> Result<u64> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io("open", path, e))?;
    if !meta.is_file() {
        return Err(Error::input(path, "not a regular file"));
    }
    if meta.len() == 0 {
        return Err(Error::input(path, "the file is empty"));
    }
    if meta.len() > tools.limits.file_bytes {
        let allowed = tools.limits.file_bytes;
        return Err(Error::input(path, format!("{} bytes; allowed are {allowed}", meta.len())));
    }
    Ok(meta.len())
}
