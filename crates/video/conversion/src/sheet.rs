//! Pictures for people who look before they convert: brought down to a size, in red, green and blue.

use std::io::Write as _;
use std::path::Path;

use parallax_frame::{Frame, VideoFormat};
use parallax_stereo::{Plane, Rgb};

use crate::error::Error;
use crate::tone::ToneMap;

/// Samples between tiles.
const GAP: usize = 4;
const COLUMNS: usize = 5;

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
        self.encode(&mut file, png::Compression::Balanced)?;
        file.flush()?;
        // A temporary file is its owner's alone.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// The same as the bytes of a PNG, packed in little time.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn png(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes, png::Compression::Fast)?;
        Ok(bytes)
    }

    fn encode(
        &self,
        out: impl std::io::Write,
        compression: png::Compression,
    ) -> std::io::Result<()> {
        let mut encoder = png::Encoder::new(out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(compression);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(())
    }
}

/// The size of one picture of the sheet, whose samples are square.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    width: usize,
    height: usize,
}

impl Tile {
    pub(crate) fn of(format: &VideoFormat, (num, den): (u32, u32), width: usize) -> Self {
        let shape = f64::from(format.width) * f64::from(num) / f64::from(den);
        let height = (width as f64 * f64::from(format.height) / shape).round();
        Self { width, height: (height as usize).clamp(1, 8 * width) }
    }

    pub(crate) fn sheet(self, rows: usize) -> Sheet {
        let width = COLUMNS * (self.width + GAP) - GAP;
        let height = (rows * (self.height + GAP)).saturating_sub(GAP).max(1);
        Sheet { width, height, rgb: vec![32; 3 * width * height] }
    }

    /// One picture by itself.
    pub(crate) fn alone(self, frame: &Frame) -> Result<Sheet, Error> {
        Ok(Sheet { width: self.width, height: self.height, rgb: self.picture(frame)? })
    }

    pub(crate) fn put(self, sheet: &mut Sheet, (column, row): (usize, usize), picture: &[u8]) {
        let (left, top) = (column * (self.width + GAP), row * (self.height + GAP));
        for (y, line) in picture.chunks(3 * self.width).enumerate() {
            let at = 3 * ((top + y) * sheet.width + left);
            sheet.rgb[at..at + line.len()].copy_from_slice(line);
        }
    }

    pub(crate) fn picture(self, frame: &Frame) -> Result<Vec<u8>, Error> {
        let planes = Rgb::of(frame.format())?.planes(frame);
        let [r, g, b] = planes.map(|plane| self.shrunk(&plane));
        let tone = ToneMap::of(&frame.format().colour);
        let shown = |rgb: [f32; 3]| tone.map_or(rgb, |tone| tone.map(rgb)).map(byte);
        let samples = r.into_iter().zip(g).zip(b);
        Ok(samples.flat_map(|((r, g), b)| shown([r, g, b])).collect())
    }

    pub(crate) fn grey(self, plane: &Plane) -> Vec<u8> {
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
