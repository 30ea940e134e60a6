//! What ffmpeg is asked for: which frames, through which filters, as what.

use std::path::PathBuf;
use std::sync::Arc;

use parallax_frame::{Chroma, Frame, PixelFormat, Range, TimeBase, VideoFormat};

use super::log::Look;
use super::options::{Crop, DecodeOptions};
use super::part::Part;
use crate::error::{Error, Result};
use crate::media::Media;
use crate::pixels;

/// What to run.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// The file.
    pub(super) path: PathBuf,
    /// Index of the stream in the file.
    pub(super) stream: u32,
    /// Unit of the times.
    pub(super) time_base: TimeBase,
    /// Where to begin reading, in microseconds; `None` for the beginning.
    pub(super) seek_us: Option<i64>,
    /// Filter that selects the frames, with a comma behind it, or empty.
    pub(super) select: String,
    /// Filters between selecting and scaling, each with a comma behind it.
    pub(super) before: String,
    /// Width and height that all frames get.
    pub(super) size: (u32, u32),
    /// Sample aspect ratio of frames of that size.
    pub(super) aspect: (u32, u32),
    /// More options of the scaler, each with a colon before it.
    pub(super) scaling: String,
    /// Filters after it, each with a comma before it.
    pub(super) after: String,
    /// ffmpeg's pixel format to ask for.
    pub(super) pixels: String,
    /// Bytes of one frame.
    pub(super) bytes: usize,
    /// Stop at the first error.
    pub(super) strict: bool,
}

impl Order {
    /// Whether a picture has the size of the first one and samples of its shape: within the hundredth
    /// by which standards differ about the same shape. One that says no shape has the first one's.
    pub(super) fn is_as_the_first(&self, look: Look) -> bool {
        let of = |(num, den): (u32, u32)| f64::from(num) / f64::from(den.max(1));
        let shape = of(look.aspect) / of(self.aspect);
        look.size == self.size && (look.aspect.0 == 0 || (shape - 1.0).abs() < SAME_SHAPE)
    }
}

/// By how much the shapes of samples may differ that are the same.
const SAME_SHAPE: f64 = 0.01;

/// What to ask ffmpeg for; `media` becomes what comes out.
pub(super) fn order(
    media: &mut Media,
    options: DecodeOptions,
    part: &Part,
    strict: bool,
) -> Result<Order> {
    let video = &media.video;
    let mut pixels = pixels::map(&video.pixel_name);
    let mut format = VideoFormat::clone(&video.format);
    if part.deep && pixels::is_deep_grey(&video.pixel_name) {
        pixels.ask = PixelFormat::GRAY16.ffmpeg_name();
        format.pixels = PixelFormat::GRAY16;
    }
    let size = (format.width, format.height);
    let select = part.select.filter();
    let deinterlace = "bwdif=mode=send_frame:deint=all,";
    let before = if options.deinterlace { deinterlace.to_owned() } else { String::new() };
    let mut scaling = String::from(":flags=bicubic");
    if pixels.rgb {
        scaling.push_str(":out_color_matrix=bt709:out_range=tv");
    }
    let mut after = String::new();
    if let Some(Crop { x, y, width, height }) = options.crop {
        let inside = width > 0
            && height > 0
            && x.saturating_add(width) <= format.width
            && y.saturating_add(height) <= format.height;
        if !inside {
            let what = format!(
                "a crop to {width}x{height} at {x},{y} of {}x{}: allowed is what lies inside",
                format.width, format.height
            );
            return Err(Error::input(&media.path, what));
        }
        after.push_str(&format!(",crop={width}:{height}:{x}:{y}:exact=1"));
        (format.width, format.height) = (width, height);
    }
    if let Some(longest) = part.longest {
        let (width, height) = shrunk(format.width, format.height, longest);
        after.push_str(&format!(",scale={width}:{height}:flags=area"));
        (format.width, format.height) = (width, height);
    }
    let order = Order {
        path: media.path.clone(),
        stream: video.index,
        time_base: video.time_base,
        seek_us: part.seek_us,
        select,
        before,
        size,
        aspect: video.sample_aspect,
        scaling,
        after,
        pixels: pixels.ask,
        bytes: format.frame_bytes(),
        strict,
    };
    media.video.format = Arc::new(format);
    Ok(order)
}

/// A black picture.
pub(super) fn black(format: &Arc<VideoFormat>, pts: i64) -> Frame {
    let mut frame = Frame::zeroed(Arc::clone(format), pts);
    let bits = format.pixels.bits();
    let full = format.colour.range == Some(Range::Full);
    let luma = if full { 0 } else { 16u16 << (bits - 8) };
    let planes = if format.pixels.chroma() == Chroma::Gray { 1 } else { 3 };
    for index in 0..planes {
        let value = if index == 0 { luma } else { 1 << (bits - 1) };
        if format.pixels.sample_bytes() == 1 {
            frame.plane_mut(index).fill(value as u8);
        } else {
            frame.plane_mut(index).chunks_exact_mut(2).for_each(|sample| {
                sample.copy_from_slice(&value.to_le_bytes());
            });
        }
    }
    frame
}

/// The size, with even sides, of a picture shrunk until neither side is longer than `longest`.
fn shrunk(width: u32, height: u32, longest: u32) -> (u32, u32) {
    let most = width.max(height);
    if most <= longest {
        return (width, height);
    }
    let side = |value: u32| {
        let scaled = u64::from(value) * u64::from(longest) / u64::from(most);
        (scaled as u32 & !1).max(2)
    };
    (side(width), side(height))
}

/// Scales frames of another size or shape so that they fit in and keep their shape, by even numbers;
/// frames of the right ones stay as they are.
pub(super) fn fit(order: &Order) -> String {
    let ((width, height), (num, den)) = (order.size, order.aspect);
    let same = format!("eq(iw,{width})*eq(ih,{height})*lt(abs(sar*{den}/{num}-1),{SAME_SHAPE})");
    // `dar` is the shape of the whole frame as shown; 1:1 is assumed where nothing is known.
    let across = format!("2*round(min({width},{height}*dar*{den}/{num})/2)");
    let down = format!("2*round(min({height},{width}*{num}/{den}/dar)/2)");
    format!(
        "scale=w='if({same},{width},max(2,min({across},{width})))':\
         h='if({same},{height},max(2,min({down},{height})))':eval=frame"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_keep_their_shape_and_even_sides() {
        assert_eq!(shrunk(1920, 1080, 320), (320, 180));
        assert_eq!(shrunk(1080, 1921, 320), (178, 320));
        assert_eq!(shrunk(319, 7, 320), (319, 7));
        assert_eq!(shrunk(8192, 1, 320), (320, 2));
    }
}
