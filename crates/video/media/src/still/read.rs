//! Reading a picture.

use std::path::Path;
use std::sync::Arc;

use parallax_frame::{Chroma, Colour, Frame, PixelFormat, Range, VideoFormat};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::exif;
use super::fed::fed;
use super::kind::Picture;
use super::parts::{Parts, apart};
use crate::error::{Error, Kind, Result, show_path};
use crate::programs::Tools;

/// A picture, upright.
#[derive(Debug)]
pub struct Still {
    /// 4:4:4 in full range, of 8 bits where JPEG had no more, else of 12.
    pub frame: Frame,
    /// Whether its samples have more than 8 bits.
    pub deep: bool,
    /// The profile of its colours, where they are those of light.
    pub icc: Option<Vec<u8>>,
    /// What the camera noted, of an upright picture.
    pub exif: Option<Vec<u8>>,
    /// What is not taken along, a sentence each.
    pub lost: Vec<String>,
}

/// How the programs name what they are given.
const STDIN: &str = "pipe:0";

#[derive(Deserialize)]
struct Answer {
    streams: Vec<Shape>,
}

#[derive(Deserialize)]
struct Shape {
    width: u32,
    height: u32,
    #[serde(default)]
    pix_fmt: String,
}

/// Reads the picture at `path`, of `kind`.
///
/// # Errors
/// `Input` when it is damaged, cut short, too large, moves, or is of a kind that the programs do not read;
/// `Io`; `Tool`; `Cancelled`.
pub fn read_still(
    tools: &Tools,
    path: &Path,
    kind: Picture,
    cancel: &CancellationToken,
) -> Result<Still> {
    if kind == Picture::Heif {
        let what = "HEIC or AVIF, which ffmpeg does not read as a whole picture; make a JPEG or PNG of it \
                    first; allowed are JPEG, PNG and WebP";
        return Err(Error::input(path, what));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let Parts { bare, exif: notes, icc, mut lost } = apart(path, bytes)?;
    let shape = shape(tools, (path, &bare), kind, cancel)?;
    let turn = notes.as_ref().map_or(1, |notes| exif::orientation(notes));
    let (width, height) = match turn {
        5..=8 => (shape.height, shape.width),
        _ => (shape.width, shape.height),
    };
    let deep = ["16", "48", "64"].iter().any(|bits| shape.pix_fmt.contains(bits));
    let bits = if kind == Picture::Jpeg { 8 } else { 12 };
    let pixels = PixelFormat::new(Chroma::Yuv444, bits).map_err(|e| Error::input(path, e))?;
    let colour = Colour {
        range: Some(Range::Full),
        matrix: Some("smpte170m".to_owned()),
        ..Colour::default()
    };
    let format = Arc::new(VideoFormat { width, height, pixels, colour });
    let data = decoded(tools, (path, &bare), kind, (exif::turned(turn), &format), cancel)?;
    let frame = Frame::new(format, 0, data)
        .map_err(|e| Error::input(path, format!("damaged or cut short: {e}")))?;
    if ["rgba", "argb", "bgra", "yuva", "ya", "pal8"].iter().any(|a| shape.pix_fmt.starts_with(a)) {
        lost.push("transparency, if there is any, is left out".to_owned());
    }
    if deep {
        lost.push("12 of 16 bits of each sample are kept".to_owned());
    }
    // A profile of grey or of inks describes no picture of red, green and blue.
    let icc = icc.map(|icc| icc.to_vec()).filter(|icc| {
        let fits = icc.get(16..20) == Some(b"RGB ");
        if !fits {
            lost.push("the ICC profile is left out: it is not of red, green and blue".to_owned());
        }
        fits
    });
    let exif = notes.and_then(|notes| exif::upright(&notes));
    Ok(Still { frame, deep, icc, exif, lost })
}

/// Size and samples as they are stored.
fn shape(
    tools: &Tools,
    (path, bytes): (&Path, &[u8]),
    kind: Picture,
    cancel: &CancellationToken,
) -> Result<Shape> {
    let mut command = tools.ffprobe();
    command.args(["-protocol_whitelist", "pipe", "-f", kind.demuxer(), "-show_streams"]);
    command.args(["-of", "json", "-i", STDIN]);
    let limit = Some(tools.limits.probe_time);
    let (output, ended) = fed(&mut command, bytes, cancel, limit, 1 << 20)?;
    let doing = format!("{}: not a readable picture", show_path(path));
    ended.check(&doing, Kind::Input).map_err(nameless)?;
    let unreadable = || Error::input(path, "not a readable picture");
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| unreadable())?;
    let shape = answer.streams.into_iter().next().ok_or_else(unreadable)?;
    let (width, height) = (shape.width, shape.height);
    let (pixels, most) = (u64::from(width) * u64::from(height), tools.limits.frame_pixels);
    if pixels == 0 || pixels > most {
        let what = format!("{width}x{height}; allowed are 1 to {most} pixels");
        return Err(Error::input(path, what));
    }
    Ok(shape)
}

/// The samples of the picture in `format`, turned by filters.
fn decoded(
    tools: &Tools,
    (path, bytes): (&Path, &[u8]),
    kind: Picture,
    (turned, format): (&str, &VideoFormat),
    cancel: &CancellationToken,
) -> Result<Vec<u8>> {
    let pixels = format.pixels.ffmpeg_name();
    let mut command = tools.ffmpeg();
    command.args(["-protocol_whitelist", "pipe", "-xerror", "-err_detect", "explode"]);
    command.args(["-noautorotate", "-f", kind.demuxer(), "-i", STDIN]);
    let scale = "scale=out_range=full:out_color_matrix=bt601:\
                 flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";
    command.args(["-vf", &format!("{turned}{scale},format={pixels}"), "-frames:v", "1"]);
    command.args(["-c:v", "rawvideo", "-f", "rawvideo", "pipe:1"]);
    let size = format.frame_bytes() as u64;
    let (data, ended) = fed(&mut command, bytes, cancel, tools.patience(0), size + 1)?;
    let doing = format!("{}: damaged or cut short", show_path(path));
    ended.check(&doing, Kind::Input).map_err(nameless)?;
    // What decoders complain about they paint over, and end well.
    if !ended.words().is_empty() {
        return Err(nameless(ended.failure(&doing, Kind::Input)));
    }
    Ok(data)
}

/// An error without the programs' name of the file, which it names itself.
fn nameless(error: Error) -> Error {
    error.saying(|message| message.replace("pipe:0: ", ""))
}
