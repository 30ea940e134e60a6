//! Depth as a folder of PNG pictures, in the order of their names.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use parallax_stereo::{Error as StereoError, Plane};
use png::{BitDepth, ColorType, Transformations};

use super::{DepthSize, Source, refuse};

/// The largest picture that is read, in bytes.
const MOST_BYTES: usize = 1 << 30;

#[derive(Debug)]
struct Folder {
    pictures: Vec<PathBuf>,
    next: usize,
    size: (usize, usize),
}

pub(super) fn open(path: &Path) -> Result<(Box<dyn Source>, DepthSize), StereoError> {
    let entries = path.read_dir().map_err(|e| refuse(path, e))?;
    let mut pictures: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")))
        .collect();
    pictures.sort();
    let Some(first) = pictures.first() else {
        return Err(refuse(path, "a folder without PNG pictures"));
    };
    let plane = read(first)?;
    let (width, height, frames) = (plane.width(), plane.height(), pictures.len() as u64);
    let folder = Folder { pictures, next: 0, size: (width, height) };
    Ok((Box::new(folder), DepthSize { width, height, frames }))
}

impl Source for Folder {
    fn next(&mut self) -> Result<Option<Plane>, StereoError> {
        let Some(path) = self.pictures.get(self.next) else { return Ok(None) };
        self.next += 1;
        let plane = read(path)?;
        let (found, (width, height)) = ((plane.width(), plane.height()), self.size);
        if found != (width, height) {
            let what = format!("{}x{} after pictures of {width}x{height}", found.0, found.1);
            return Err(refuse(path, what));
        }
        Ok(Some(plane))
    }
}

/// The first channel of a picture, 0 to 1.
fn read(path: &Path) -> Result<Plane, StereoError> {
    let file = File::open(path).map_err(|e| refuse(path, e))?;
    let mut decoder =
        png::Decoder::new_with_limits(BufReader::new(file), png::Limits { bytes: MOST_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|e| refuse(path, e))?;
    let bytes = reader.output_buffer_size().filter(|bytes| *bytes <= MOST_BYTES);
    let Some(bytes) = bytes else { return Err(refuse(path, "a picture of more than 1 GiB")) };
    let mut buffer = vec![0; bytes];
    let info = reader.next_frame(&mut buffer).map_err(|e| refuse(path, e))?;
    let channels = info.color_type.samples();
    let values: Vec<f32> = if info.bit_depth == BitDepth::Sixteen {
        let samples = buffer.chunks_exact(2 * channels);
        samples.map(|s| f32::from(u16::from_be_bytes([s[0], s[1]])) / 65535.0).collect()
    } else {
        buffer.chunks_exact(channels).map(|s| f32::from(s[0]) / 255.0).collect()
    };
    Ok(Plane::new(info.width as usize, info.height as usize, values))
}

/// Writes `depth` (0 to 1) as a grey picture of 16 bits.
///
/// # Errors
/// When the file cannot be written.
pub fn write_png(path: &Path, depth: &Plane) -> std::io::Result<()> {
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, depth.width() as u32, depth.height() as u32);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Sixteen);
    let value = |v: &f32| (v.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16;
    let bytes: Vec<u8> = depth.data().iter().flat_map(|v| value(v).to_be_bytes()).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bytes)?;
    writer.finish()?;
    Ok(())
}
