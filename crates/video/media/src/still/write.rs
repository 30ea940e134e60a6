//! Writing a picture.

use std::path::Path;

use img_parts::{Bytes, DynImage, ImageEXIF, ImageICC};
use parallax_frame::Frame;
use tokio_util::sync::CancellationToken;

use super::fed::fed;
use super::read::Still;
use crate::error::{Error, Kind, Result, show_path};
use crate::output::Partial;
use crate::programs::Tools;
use crate::scaled::Scaled;

/// Writes `frame`, which was made of `still`, to `path`: JPEG where its name says so, else PNG. The file
/// appears whole or not at all. With `sharp_colours` a JPEG has colour at full resolution. Returns
/// what it does not hold of the notes, a sentence each.
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
) -> Result<Vec<String>> {
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
    let (made, ended) = fed(&mut command, frame.data(), cancel, tools.patience(0), u64::MAX)?;
    ended.check(&format!("encode {}", show_path(path)), Kind::Input)?;
    let partial = Partial::create(path)?;
    let (whole, lost) = noted(made, still.icc.as_deref(), still.exif.as_deref())
        .map_err(|e| Error::input(path, e))?;
    std::fs::write(partial.path(), whole).map_err(|e| Error::io("write", path, e))?;
    partial.finish()?;
    Ok(lost)
}

/// The picture `made` with the profile `icc` and the notes `exif`, and what it does not hold of them, a sentence
/// each.
fn noted(
    made: Vec<u8>,
    icc: Option<&[u8]>,
    exif: Option<&[u8]>,
) -> std::result::Result<(Bytes, Vec<String>), img_parts::Error> {
    let made = Bytes::from(made);
    let mut lost = Vec::new();
    let Some(mut parts) = DynImage::from_bytes(made.clone())? else { return Ok((made, lost)) };
    if let Some(icc) = icc {
        parts.set_icc_profile(Some(Bytes::copy_from_slice(icc)));
        if parts.icc_profile().is_none() {
            lost.push("the ICC profile is left out: it is too long".to_owned());
        }
    }
    if let Some(exif) = exif {
        parts.set_exif(Some(Bytes::copy_from_slice(exif)));
        if parts.exif().is_none() {
            lost.push("what the camera noted is left out: it is too long".to_owned());
        }
    }
    Ok((parts.encoder().bytes(), lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_that_do_not_fit_are_told() {
        let jpeg = || b"\xFF\xD8\xFF\xDA\0\x02\xFF\xD9".to_vec();
        let long = vec![7; 70_000];
        let (whole, lost) = noted(jpeg(), Some(&long), Some(&long)).unwrap();
        assert!(whole.len() > long.len() && whole.len() < 2 * long.len(), "{}", whole.len());
        assert_eq!(lost, ["what the camera noted is left out: it is too long"]);
        let (_, lost) = noted(jpeg(), None, Some(&long[..65_000])).unwrap();
        assert_eq!(lost, [""; 0]);
    }
}
