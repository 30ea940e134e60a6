//! Depth as video: the luma of any format, by its nominal range, or a quarter of the reference
//! pipeline's grid.

use std::path::Path;

use parallax_frame::Chroma;
use parallax_media::{Crop, DecodeOptions, Decoder, Tools, probe, scan};
use parallax_stereo::{Error as StereoError, Plane};
use tokio_util::sync::CancellationToken;

use super::source::{DepthSize, Source, refuse};

#[derive(Debug)]
struct Film(Decoder);

/// Opens the video at `path`. Of a `grid` only the upper right quarter is depth.
pub(super) fn open(
    tools: &Tools,
    path: &Path,
    grid: bool,
    cancel: &CancellationToken,
) -> Result<(Box<dyn Source>, DepthSize), StereoError> {
    let media = probe(tools, path, cancel).map_err(told)?;
    let frames = scan(tools, &media, cancel).map_err(told)?.shown();
    let (width, height) = (media.video.format.width, media.video.format.height);
    let mut options = DecodeOptions::default();
    if grid {
        if width % 2 != 0 || height % 2 != 0 || width < 4 || height < 4 {
            let what = format!("{width}x{height} is no grid of two by two pictures");
            return Err(refuse(path, what));
        }
        let crop = Crop { x: width / 2, y: 0, width: width / 2, height: height / 2 };
        options.crop = Some(crop);
    }
    let (width, height) = options.size(&media);
    let size = DepthSize { width: width as usize, height: height as usize, frames };
    let decoder =
        Decoder::open_depth(tools, &media, Some(frames), options, cancel).map_err(told)?;
    Ok((Box::new(Film(decoder)), size))
}

fn told(error: parallax_media::Error) -> StereoError {
    match error.kind() {
        parallax_media::Kind::Cancelled => StereoError::Cancelled,
        parallax_media::Kind::Input => StereoError::Unsupported(error.to_string()),
        _ => StereoError::Failed(error.to_string()),
    }
}

impl Source for Film {
    fn next(&mut self) -> Result<Option<Plane>, StereoError> {
        let Some(frame) = self.0.next() else { return Ok(None) };
        let frame = frame.map_err(told)?;
        let format = frame.format();
        let pixels = format.pixels;
        // Grey video is data and uses all of its values unless it says otherwise.
        let all = pixels.chroma() == Chroma::Gray && format.colour.range.is_none();
        let (black, white) =
            if all { (0, pixels.max_value()) } else { format.colour.luma_limits(pixels.bits()) };
        let (offset, scale) = (f32::from(black), 1.0 / f32::from(white - black));
        let mut values = frame.plane_f32(0);
        values.iter_mut().for_each(|v| *v = ((*v - offset) * scale).clamp(0.0, 1.0));
        Ok(Some(Plane::new(format.width as usize, format.height as usize, values)))
    }
}
