//! A sheet of pictures that shows what a conversion will look like, without converting.
//!
//! A row for each chosen frame: the left eye, its depth, what the left eye does not see, the right eye,
//! and both for red-cyan glasses. Only the chosen frames are decoded, and what the engine looks back
//! over before each of them, so that the depth is the one that a conversion would give. Pictures of high
//! dynamic range are shown as an ordinary screen can.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use parallax_frame::Frame;
use parallax_media::{DecodeOptions, Decoder, Media, Packets, Span, Tools};
use parallax_stereo::{
    Clip, DepthEstimator, DepthModel, Error as StereoError, Geometry, Layout, Plane, Rendering,
    Rgb, Run, ViewSynthesis, compose,
};
use tokio_util::sync::CancellationToken;

use crate::DepthFrom;
use crate::error::Error;
use crate::tone::ToneMap;

/// Frames after the chosen one that an estimator may want to see first.
const AHEAD: usize = 8;
/// Samples between tiles.
const GAP: usize = 4;
const COLUMNS: usize = 5;

/// Where a preview's depth comes from.
#[derive(Debug, Clone, Copy)]
pub enum PreviewDepth<'a> {
    /// An estimator, which is led in by so much of the film before each frame, as far as it looks back at all.
    Estimated {
        /// The estimator's model.
        model: &'a dyn DepthModel,
        /// The lead-in at most: what a conversion sees before may reach farther.
        back: Duration,
    },
    /// Depth that the user brings.
    File(&'a DepthFrom),
}

/// How a preview is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Preview<'a> {
    /// Where depth comes from.
    pub depth: PreviewDepth<'a>,
    /// Stereo geometry.
    pub geometry: Geometry,
    /// How pairs are drawn.
    pub rendering: Rendering,
    /// What happens to the pictures first.
    pub pictures: DecodeOptions,
    /// Samples across one picture of the sheet, at least 16.
    pub tile_width: usize,
}

/// Red, green and blue samples of 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Samples per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Three bytes for each sample, row by row.
    pub rgb: Vec<u8>,
}

impl Sheet {
    /// Writes it as a PNG; the file appears whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        file.flush()?;
        // A temporary file is its owner's alone.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Draws the frames of `media` at the positions `frames`, counted from 0 in order of time.
///
/// # Errors
/// `Media` when the film cannot be read; `Engine` when a position is beyond its end or its format or
/// the geometry cannot be drawn.
pub fn preview(
    tools: &Tools,
    (media, packets): (&Media, &Packets),
    frames: &[usize],
    how: Preview<'_>,
    cancel: &CancellationToken,
) -> Result<Sheet, Error> {
    let times = packets.frame_times().unwrap_or_default();
    let shown = how.pictures.applied(media);
    let format = &shown.video.format;
    let clip = Clip { format: format.clone(), rate: media.video.rate };
    let tile = Tile::of(&shown, how.tile_width);
    let mut sheet = tile.sheet(frames.len());
    let mut synthesis = ViewSynthesis::new(format, how.geometry)?;
    for (row, &position) in frames.iter().enumerate() {
        if position >= times.len() {
            let what = format!("frame {position}: the film has frames 0 to {}", times.len() - 1);
            return Err(StereoError::Unsupported(what).into());
        }
        let back = match how.depth {
            PreviewDepth::Estimated { model, back } => {
                model.reach(&Run::default()).back.min(back).as_secs_f64() * clip.rate.fps()
            }
            PreviewDepth::File(_) => 0.0,
        };
        let first = position.saturating_sub(back.ceil() as usize);
        let last = match how.depth {
            PreviewDepth::Estimated { .. } => (position + AHEAD).min(times.len() - 1),
            PreviewDepth::File(_) => position,
        };
        let span = Span { times: times[first]..times[last] + 1, longest: None };
        let decoder = Decoder::open_span(tools, media, packets, span, how.pictures, cancel)?;
        let (frame, depth) = match how.depth {
            PreviewDepth::Estimated { model, .. } => {
                let run = Run { cancel: cancel.clone(), ..Run::default() };
                estimated(decoder, model.estimator(&clip, &run)?, times[position])?
            }
            PreviewDepth::File(file) => {
                let frame = decoder.into_iter().next().transpose()?;
                let frame = frame.ok_or_else(|| StereoError::Failed("no frame".to_owned()))?;
                (frame, file.plane(position as u64, cancel)?)
            }
        };
        let mask = synthesis.render(&frame, &depth)?.mask;
        let pair = synthesis.pair(frame, &depth, how.rendering)?;
        let anaglyph = compose(&pair, Layout::Anaglyph)?;
        let pictures = [
            tile.picture(&pair.left)?,
            tile.grey(&depth),
            tile.grey(&mask),
            tile.picture(&pair.right)?,
            tile.picture(&anaglyph)?,
        ];
        for (column, picture) in pictures.iter().enumerate() {
            tile.put(&mut sheet, (column, row), picture);
        }
    }
    Ok(sheet)
}

/// The frame at `time` and the depth that an estimator gives it, led in by those before.
fn estimated(
    decoder: Decoder,
    mut estimator: Box<dyn DepthEstimator>,
    time: i64,
) -> Result<(Frame, Plane), Error> {
    let wanted = |ready: Vec<(Frame, Plane)>| ready.into_iter().find(|(f, _)| f.pts == time);
    for frame in decoder {
        let mut ready = estimator.push(frame?)?;
        while !ready.is_empty() {
            if let Some(found) = wanted(ready) {
                return Ok(found);
            }
            ready = estimator.more()?;
        }
    }
    let mut found = wanted(estimator.finish()?);
    while found.is_none() {
        let more = estimator.more()?;
        if more.is_empty() {
            break;
        }
        found = wanted(more);
    }
    Ok(found.ok_or_else(|| StereoError::Failed(format!("no depth for the frame at {time}")))?)
}

/// The size of one picture of the sheet, whose samples are square.
#[derive(Debug, Clone, Copy)]
struct Tile {
    width: usize,
    height: usize,
}

impl Tile {
    fn of(media: &Media, width: usize) -> Self {
        let (num, den) = media.video.sample_aspect;
        let format = &media.video.format;
        let shape = f64::from(format.width) * f64::from(num) / f64::from(den);
        let height = (width as f64 * f64::from(format.height) / shape).round();
        Self { width, height: (height as usize).clamp(1, 8 * width) }
    }

    fn sheet(self, rows: usize) -> Sheet {
        let width = COLUMNS * (self.width + GAP) - GAP;
        let height = (rows * (self.height + GAP)).saturating_sub(GAP).max(1);
        Sheet { width, height, rgb: vec![32; 3 * width * height] }
    }

    fn put(self, sheet: &mut Sheet, (column, row): (usize, usize), picture: &[u8]) {
        let (left, top) = (column * (self.width + GAP), row * (self.height + GAP));
        for (y, line) in picture.chunks(3 * self.width).enumerate() {
            let at = 3 * ((top + y) * sheet.width + left);
            sheet.rgb[at..at + line.len()].copy_from_slice(line);
        }
    }

    fn picture(self, frame: &Frame) -> Result<Vec<u8>, Error> {
        let planes = Rgb::of(frame.format())?.planes(frame);
        let [r, g, b] = planes.map(|plane| self.shrunk(&plane));
        let tone = ToneMap::of(&frame.format().colour);
        let shown = |rgb: [f32; 3]| tone.map_or(rgb, |tone| tone.map(rgb)).map(byte);
        let samples = r.into_iter().zip(g).zip(b);
        Ok(samples.flat_map(|((r, g), b)| shown([r, g, b])).collect())
    }

    fn grey(self, plane: &Plane) -> Vec<u8> {
        self.shrunk(plane).into_iter().flat_map(|v| [byte(v); 3]).collect()
    }

    /// The mean of what lies under each sample of the tile.
    fn shrunk(self, plane: &Plane) -> Vec<f32> {
        let range = |at: usize, of: usize, from: usize| {
            let first = at * from / of;
            first..((at + 1) * from / of).max(first + 1)
        };
        let mut out = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            let rows = range(y, self.height, plane.height());
            for x in 0..self.width {
                let columns = range(x, self.width, plane.width());
                let count = rows.len() * columns.len();
                let sum: f32 =
                    rows.clone().map(|y| plane.row(y)[columns.clone()].iter().sum::<f32>()).sum();
                out.push(sum / count as f32);
            }
        }
        out
    }
}

fn byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_averaged_down_and_repeated_up() {
        let plane = Plane::from_fn(4, 2, |x, y| (x + 4 * y) as f32);
        let small = Tile { width: 2, height: 1 }.shrunk(&plane);
        assert_eq!(small, [(0.0 + 1.0 + 4.0 + 5.0) / 4.0, (2.0 + 3.0 + 6.0 + 7.0) / 4.0]);
        let large = Tile { width: 8, height: 4 }.shrunk(&plane);
        assert_eq!(large[..8], [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(large[24..], [4.0, 4.0, 5.0, 5.0, 6.0, 6.0, 7.0, 7.0]);
    }

    #[test]
    fn tiles_stand_side_by_side_with_gaps() {
        let tile = Tile { width: 3, height: 2 };
        let mut sheet = tile.sheet(2);
        assert_eq!((sheet.width, sheet.height), (31, 8));
        tile.put(&mut sheet, (1, 1), &[255; 18]);
        let at = |x: usize, y: usize| sheet.rgb[3 * (y * 31 + x)];
        assert_eq!([at(6, 6), at(7, 6), at(9, 7), at(10, 7), at(7, 5)], [32, 255, 255, 32, 32]);
    }
}
