//! What a file is: container, streams and the main video stream, checked against the limits.
//!
//! Only headers are read here; [`crate::scan`] reads every packet.

mod answer;
mod encryption;

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use self::encryption::{encrypted, encryption};
use crate::media::Media;
pub(crate) use answer::{check_seconds, microseconds};

use crate::child::{self, Child};
use crate::error::{Error, Kind, Result, show_path};
use crate::hdr::{DynamicHdr, Hdr, SideData};
use crate::limits::DEMUXERS;
use crate::movie::Movie;
use crate::programs::{Tools, file_url};
use crate::remembered::State;
use crate::stereo_mode::StereoMode;

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
