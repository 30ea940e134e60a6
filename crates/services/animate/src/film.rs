//! Frames as a film that browsers play: H.264, 4:2:0 in eight bits, its index first.

use std::path::Path;
use std::sync::Arc;

use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, Range, TimeBase, VideoFormat};
use parallax_media::{EncodeSettings, Encoder, Result, Timing, Tools};
use tokio_util::sync::CancellationToken;

/// Ticks of a frame, so that any rate of thousandths has whole ones.
const TICKS: u32 = 1000;

/// What frames have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Width and height, both even.
    pub(crate) size: (usize, usize),
    /// Thousandths of a frame a second.
    pub(crate) rate: u32,
}

/// Writes frames of red, green and blue.
///
/// # Errors
/// As the encoder has them.
pub(crate) fn write(
    tools: &Tools,
    path: &Path,
    Shape { size: (width, height), rate }: Shape,
    frames: impl Iterator<Item = Vec<u8>>,
    cancel: &CancellationToken,
) -> Result<()> {
    let tag = || Some("bt709".to_owned());
    let colour =
        Colour { range: Some(Range::Limited), matrix: tag(), primaries: tag(), transfer: tag() };
    let (width, height) = (width as u32, height as u32);
    let format = Arc::new(VideoFormat { width, height, pixels: PixelFormat::YUV420P, colour });
    let timing = Timing {
        time_base: TimeBase { num: 1, den: rate },
        rate: FrameRate { num: rate, den: TICKS },
    };
    let settings = EncodeSettings { index_first: true, ..EncodeSettings::default() };
    let mut encoder = Encoder::create(tools, path, &format, timing, &settings, cancel)?;
    for (i, rgb) in frames.enumerate() {
        let mut frame = Frame::zeroed(Arc::clone(&format), i as i64 * i64::from(TICKS));
        fill(&mut frame, &rgb);
        encoder.write(&frame)?;
    }
    encoder.finish()
}

/// Red, green and blue into 4:2:0 by BT.709 in limited range. Chroma lies beside the left of two columns and between
/// two rows, where players look for it.
fn fill(frame: &mut Frame, rgb: &[u8]) {
    let (width, height) = (frame.format().width as usize, frame.format().height as usize);
    let (pixels, _) = rgb.as_chunks::<3>();
    let luma = |&[red, green, blue]: &[u8; 3]| {
        0.2126 * f32::from(red) + 0.7152 * f32::from(green) + 0.0722 * f32::from(blue)
    };
    for (sample, pixel) in frame.plane_mut(0).iter_mut().zip(pixels) {
        *sample = (16.0 + luma(pixel) * 219.0 / 255.0).round() as u8;
    }
    // Blue and red less luma, each over its range in [-1, 1] times 255.
    for (plane, channel, range) in [(1, 2, 1.8556), (2, 0, 1.5748)] {
        let difference = |x: usize, y: usize| {
            let pixel = &pixels[y * width + x];
            (f32::from(pixel[channel]) - luma(pixel)) / range
        };
        let across = |x: usize, y: usize| {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            difference(left, y) + 2.0 * difference(x, y) + difference(right, y)
        };
        for (i, sample) in frame.plane_mut(plane).iter_mut().enumerate() {
            let (x, y) = (2 * (i % width.div_ceil(2)), 2 * (i / width.div_ceil(2)));
            let mean = (across(x, y) + across(x, (y + 1).min(height - 1))) / 8.0;
            *sample = (128.0 + mean * 224.0 / 255.0).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(rgb: impl Fn(usize, usize) -> [u8; 3]) -> [Vec<u8>; 3] {
        let format = VideoFormat {
            width: 8,
            height: 4,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        };
        let rgb: Vec<u8> = (0..32).flat_map(|i| rgb(i % 8, i / 8)).collect();
        let mut frame = Frame::zeroed(Arc::new(format), 0);
        fill(&mut frame, &rgb);
        [0, 1, 2].map(|plane| frame.plane(plane).to_vec())
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        for (rgb, yuv) in [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ] {
            let planes = planes(|_, _| rgb);
            for (plane, level) in planes.iter().zip(yuv) {
                assert!(plane.iter().all(|&sample| sample == level), "{rgb:?}: {planes:?}");
            }
        }
        // An edge between columns 2 and 3 is seen by the chroma at column 2, a quarter of it.
        let edge = planes(|x, _| if x < 3 { [0, 0, 0] } else { [0, 0, 255] });
        assert_eq!(edge[1][..4], [128, 156, 240, 240]);
    }
}
