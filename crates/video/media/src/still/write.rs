//! Writing a picture.

use std::io::{Read, Write};
use std::path::Path;

use img_parts::{Bytes, DynImage, ImageEXIF, ImageICC};
use parallax_frame::Frame;
use tokio_util::sync::CancellationToken;

use super::read::Still;
use crate::child::Child;
use crate::error::{Error, Kind, Result, show_path};
use crate::output::Partial;
use crate::programs::Tools;
use crate::scaled::Scaled;

/// Writes `frame`, which was made of `still`, to `path`: JPEG where its name says so, else PNG. The file
/// appears whole or not at all. With `sharp_colours` a JPEG has colour at full resolution.
///
/// # Errors
/// `Input` when it cannot be encoded; `Space`; `Io`; `Tool`; `Cancelled`.
pub fn write_still(
    tools: &Tools,
    (frame, scaled): (&Frame, Option<Scaled>),
    still: &Still,
    path: &Path,
    sharp_colours: bool,
    cancel: &CancellationToken,
) -> Result<()> {
    let jpeg = path.extension().is_some_and(|end| !end.eq_ignore_ascii_case("png"));
    let pixels = match (jpeg, sharp_colours, still.deep) {
        (true, true, _) => "yuvj444p",
        (true, false, _) => "yuvj420p",
        (false, _, true) => "rgb48be",
        (false, _, false) => "rgb24",
    };
    let format = frame.format();
    let mut command = tools.ffmpeg();
    command.args(["-f", "rawvideo", "-pixel_format", &format.pixels.ffmpeg_name()]);
    command.args(["-video_size", &format!("{}x{}", format.width, format.height), "-i", "pipe:0"]);
    let scaled = scaled.map_or(String::new(), Scaled::filter);
    let colours = "scale=in_range=full:in_color_matrix=bt601:out_range=full:out_color_matrix=bt601:\
                   flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";
    command.args(["-vf", &format!("{scaled}{colours},format={pixels}"), "-frames:v", "1"]);
    match jpeg {
        true => command.args(["-c:v", "mjpeg", "-q:v", "2", "-huffman", "optimal"]),
        false => command.args(["-c:v", "png"]),
    };
    command.args(["-f", "image2pipe", "pipe:1"]);
    let mut child = Child::spawn(&mut command, cancel, tools.patience(0), |_| false)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        // Who takes no more of it has a reason, which the end tells.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(frame.data())));
        if let Some(mut stdout) = stdout {
            let _ = stdout.read_to_end(&mut made);
        }
    });
    child.wait()?.check(&format!("encode {}", show_path(path)), Kind::Input)?;
    let partial = Partial::create(path)?;
    let whole = noted(made, still).map_err(|e| Error::input(path, e))?;
    std::fs::write(partial.path(), whole).map_err(|e| Error::io("write", path, e))?;
    partial.finish()
}

/// The picture `made` with the profile and the notes of `still`.
fn noted(made: Vec<u8>, still: &Still) -> std::result::Result<Bytes, img_parts::Error> {
    let made = Bytes::from(made);
    let Some(mut parts) = DynImage::from_bytes(made.clone())? else { return Ok(made) };
    parts.set_icc_profile(still.icc.clone().map(Bytes::from));
    parts.set_exif(still.exif.clone().map(Bytes::from));
    Ok(parts.encoder().bytes())
}
