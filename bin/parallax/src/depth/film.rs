//! Depth as video: grey of 16 bits, or a quarter of the reference pipeline's grid.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use parallax_conversion::DepthSize;
use parallax_frame::{Colour, Frame, PixelFormat, Range, VideoFormat};
use parallax_media::{Codec, EncodeSettings, Encoder, Media, Timing, Tools};
use parallax_stereo::{
    Geometry, Layout, Plane, Rendering, StereoPair, ViewSynthesis, compose, output_format,
};
use tokio_util::sync::CancellationToken;

/// The frames of a film with their depth.
type Seen = std::io::Result<(Frame, Plane)>;

/// Writes depth as grey video of 16 bits without loss, at the frames' times.
pub(super) fn grey(
    tools: &Tools,
    media: &Media,
    output: &Path,
    size: DepthSize,
    seen: impl Iterator<Item = Seen>,
    cancel: &CancellationToken,
) -> Result<()> {
    let format = Arc::new(VideoFormat {
        width: u32::try_from(size.width)?,
        height: u32::try_from(size.height)?,
        pixels: PixelFormat::GRAY16,
        colour: Colour { range: Some(Range::Full), ..Colour::default() },
    });
    let settings = EncodeSettings { codec: Codec::Ffv1, ..EncodeSettings::default() };
    let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
    let mut encoder = Encoder::create(tools, output, &format, timing, &settings, cancel)?;
    let mut shift = None;
    for seen in seen {
        let (frame, depth) = seen?;
        let mut grey = Frame::zeroed(Arc::clone(&format), frame.pts);
        grey.pts -= *shift.get_or_insert(frame.pts.min(0));
        let values: Vec<f32> = depth.data().iter().map(|v| v.clamp(0.0, 1.0) * 65535.0).collect();
        grey.set_plane_f32(0, &values);
        encoder.write(&grey)?;
    }
    Ok(encoder.finish()?)
}

/// Writes the grid: source and depth above, what the right eye sees behind the source and the right
/// eye without it below.
pub(super) fn grid(
    tools: &Tools,
    media: &Media,
    output: &Path,
    geometry: Geometry,
    seen: impl Iterator<Item = Seen>,
    cancel: &CancellationToken,
) -> Result<()> {
    let source = &media.video.format;
    let (row, _) = output_format(Layout::FullSbs, source);
    let (format, _) = output_format(Layout::FullTb, &row);
    let lossless = output.extension().is_some_and(|e| e.eq_ignore_ascii_case("mkv"));
    let settings = EncodeSettings {
        codec: if lossless { Codec::Ffv1 } else { Codec::X264 },
        crf: 4,
        sample_aspect: media.video.sample_aspect,
        ..EncodeSettings::default()
    };
    let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
    let format = Arc::new(format);
    let mut encoder = Encoder::create(tools, output, &format, timing, &settings, cancel)?;
    let mut synthesis = ViewSynthesis::new(source, geometry)?;
    let grey = Rendering { depth_picture: true, ..Rendering::default() };
    let mut shift = None;
    for seen in seen {
        let (mut frame, depth) = seen?;
        frame.pts -= *shift.get_or_insert(frame.pts.min(0));
        let view = synthesis.render(&frame, &depth)?;
        let mask = synthesis.pair(frame.clone(), &view.mask, grey)?.right;
        let above = compose(&synthesis.pair(frame, &depth, grey)?, Layout::FullSbs)?;
        let right = holed(view.frame, &view.mask);
        let below = compose(&StereoPair { left: mask, right }, Layout::FullSbs)?;
        let all = compose(&StereoPair { left: above, right: below }, Layout::FullTb)?;
        encoder.write(&all)?;
    }
    Ok(encoder.finish()?)
}

/// `frame`, black where `mask` is 1.
fn holed(mut frame: Frame, mask: &Plane) -> Frame {
    let format = frame.format().clone();
    let bits = format.pixels.bits();
    let (black, _) = format.colour.luma_limits(bits);
    let neutral = f32::from(128u16 << (bits - 8));
    let shifts = format.pixels.chroma().shifts();
    for index in 0..format.pixels.chroma().planes() {
        let shape = format.plane(index);
        let (sx, sy) = if index == 0 { (0, 0) } else { shifts };
        let empty = if index == 0 { f32::from(black) } else { neutral };
        let mut values = frame.plane_f32(index);
        for (i, value) in values.iter_mut().enumerate() {
            let (x, y) = ((i % shape.width) << sx, (i / shape.width) << sy);
            let hole = mask.at(x.min(mask.width() - 1), y.min(mask.height() - 1)).clamp(0.0, 1.0);
            *value += (empty - *value) * hole;
        }
        frame.set_plane_f32(index, &values);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_black_and_colourless_and_nothing_else_is() {
        let pixels = PixelFormat::YUV420P;
        let format = VideoFormat { width: 4, height: 2, pixels, colour: Colour::default() };
        let mut frame = Frame::zeroed(Arc::new(format), 3);
        frame.data_mut().fill(200);
        let mask = Plane::from_fn(4, 2, |x, _| if x >= 2 { 1.0 } else { 0.0 });
        let holed = holed(frame, &mask);
        assert_eq!(holed.plane(0), [200, 200, 16, 16, 200, 200, 16, 16]);
        assert_eq!((holed.plane(1), holed.plane(2)), (&[200, 128][..], &[200, 128][..]));
        assert_eq!(holed.pts, 3);
    }
}
