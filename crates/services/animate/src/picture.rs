//! From a fetched file to pixels.

use std::path::Path;

use parallax_frame::Frame;
use parallax_media::{Kind, Tools, read_still};
use parallax_sam2::Picture;
use parallax_serving::{Failure, FailureKind};
use tokio_util::sync::CancellationToken;

/// Most pixels of a picture: what its samples take on their way is a few hundred megabytes.
pub(crate) const MOST_PIXELS: u64 = 1 << 25;
/// Most pixels on either side: on the way to the network's size, one side is there as it was.
const MOST_SIDE: usize = 16_384;

/// Reads the picture at `path`, upright, in eight bits.
///
/// # Errors
/// `Invalid`, naming `field`, for what is none or is too large.
pub(crate) fn read(
    tools: &Tools,
    path: &Path,
    field: &str,
    cancel: &CancellationToken,
) -> Result<Picture, Failure> {
    let refused = |what: String| Failure::field(field, what);
    let kind = parallax_media::Picture::of(path)
        .ok_or_else(|| refused("not a picture; allowed are JPEG, PNG and WebP".to_owned()))?;
    let still = read_still(tools, path, kind, cancel).map_err(|error| {
        let shown = path.display().to_string();
        let text = error.to_string().replace(&shown, "the picture");
        match error.kind() {
            Kind::Input => refused(text),
            Kind::Cancelled => Failure::cancelled(),
            Kind::Tool | Kind::Space => {
                let message = "there is no room for temporary files, or ffmpeg is missing";
                Failure::new(FailureKind::Unavailable, message).with_detail(text)
            }
            Kind::Io | Kind::Output => Failure::internal(text),
        }
    })?;
    let size = (still.frame.format().width as usize, still.frame.format().height as usize);
    if size.0.max(size.1) > MOST_SIDE {
        let (width, height) = size;
        return Err(refused(format!(
            "{width}x{height} pixels; allowed are {MOST_SIDE} on each side"
        )));
    }
    Picture::new(size, rgb(&still.frame, still.deep)).map_err(|error| refused(error.to_string()))
}

/// Red, green and blue of a frame in full range by BT.601, in 4:4:4; `deep` where its source had more than 8 bits.
fn rgb(frame: &Frame, deep: bool) -> Vec<u8> {
    let pixels = &frame.format().pixels;
    let wide = pixels.sample_bytes() == 2;
    // The programs widen bytes by shifting them, so that white has zeros behind; what was wide already uses all bits.
    let scale = match wide && !deep {
        true => 255.0 / f32::from(pixels.max_value() & !0xf),
        false => 255.0 / f32::from(pixels.max_value()),
    };
    let middle = f32::from(pixels.max_value() / 2 + 1);
    let planes = [0, 1, 2].map(|i| frame.plane(i));
    let sample = |plane: usize, at: usize| {
        if wide {
            f32::from(u16::from_le_bytes([planes[plane][2 * at], planes[plane][2 * at + 1]]))
        } else {
            f32::from(planes[plane][at])
        }
    };
    let count = planes[0].len() / if wide { 2 } else { 1 };
    let mut out = Vec::with_capacity(3 * count);
    for at in 0..count {
        let (luma, cb, cr) = (sample(0, at), sample(1, at) - middle, sample(2, at) - middle);
        let red = luma + 1.402 * cr;
        let blue = luma + 1.772 * cb;
        let green = (luma - 0.299 * red - 0.114 * blue) / 0.587;
        // Numbers are cut off at the ends of a byte.
        out.extend([red, green, blue].map(|v| (v * scale).round() as u8));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(size: (u32, u32), depth: png::BitDepth, samples: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        file
    }

    /// The network is to see the very levels that are in the file.
    #[test]
    fn a_picture_is_read_to_the_level() {
        let (width, height) = (64, 61);
        let level = |i: usize| ((i * 73 + i / 192 * 31 + i * i % 89) % 256) as u8;
        let rgb: Vec<u8> = (0..width * height * 3).map(level).collect();
        let twice: Vec<u8> = rgb.iter().flat_map(|&v| [v, v]).collect();
        let tools = Tools::find().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (depth, samples) in [(png::BitDepth::Eight, &rgb), (png::BitDepth::Sixteen, &twice)] {
            let path = folder.path().join("picture");
            std::fs::write(&path, png((width as u32, height as u32), depth, samples)).unwrap();
            let picture = read(&tools, &path, "image_url", &CancellationToken::new()).unwrap();
            assert_eq!(picture.size(), (width, height));
            let levels = picture.rgb().iter().zip(&rgb);
            let off = levels.map(|(got, want)| got.abs_diff(*want));
            // Sixteen bits are cut to twelve on the way.
            let most = if depth == png::BitDepth::Eight { 0 } else { 1 };
            assert!(off.max() <= Some(most), "{depth:?}");
        }
    }
}
