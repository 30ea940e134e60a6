//! Depth as a folder of pictures, in the order of their names: PNG or OpenEXR.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use exr::meta::MetaData;
use exr::prelude::{ReadChannels, ReadLayers, read};
use parallax_stereo::{Error as StereoError, Plane};
use png::{BitDepth, ColorType, Transformations};

use super::source::{DepthSize, Scale, Source, numbers, refuse};

/// The largest picture that is read, in bytes.
const MOST_BYTES: usize = 1 << 30;
/// Channels of a picture that are depth, best first.
const CHANNELS: [&str; 6] = ["Z", "depth", "Depth", "Y", "R", "V"];

#[derive(Debug)]
struct Folder {
    pictures: Vec<PathBuf>,
    next: usize,
    size: (usize, usize),
    scale: Scale,
}

pub(super) fn open(path: &Path) -> Result<(Box<dyn Source>, DepthSize), StereoError> {
    let entries = path.read_dir().map_err(|e| refuse(path, e))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let of = |wanted: &str| {
        let named =
            |file: &&PathBuf| file.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted));
        let mut pictures: Vec<PathBuf> = files.iter().filter(named).cloned().collect();
        pictures.sort();
        pictures
    };
    let (pngs, exrs) = (of("png"), of("exr"));
    let floats = pngs.is_empty();
    let pictures = match (pngs.is_empty(), exrs.is_empty()) {
        (false, true) => pngs,
        (true, false) => exrs,
        (true, true) => return Err(refuse(path, "a folder without PNG or EXR pictures")),
        (false, false) => {
            let what = format!("{} PNG and {} EXR pictures", pngs.len(), exrs.len());
            return Err(refuse(path, format!("{what}; allowed is one kind")));
        }
    };
    let plane = read_picture(&pictures[0])?;
    let (width, height, frames) = (plane.width(), plane.height(), pictures.len() as u64);
    let scale = Scale::default();
    let mut folder = Folder { pictures, next: 0, size: (width, height), scale };
    if floats {
        folder.scale = Scale::of(&mut folder)?;
        folder.next = 0;
    }
    Ok((Box::new(folder), DepthSize { width, height, frames }))
}

impl Source for Folder {
    fn next(&mut self) -> Result<Option<Plane>, StereoError> {
        let Some(path) = self.pictures.get(self.next) else { return Ok(None) };
        self.next += 1;
        let mut plane = read_picture(path)?;
        let (found, (width, height)) = ((plane.width(), plane.height()), self.size);
        if found != (width, height) {
            let what = format!("{}x{} after pictures of {width}x{height}", found.0, found.1);
            return Err(refuse(path, what));
        }
        numbers(path, self.next as u64 - 1, &plane)?;
        self.scale.apply(&mut plane);
        Ok(Some(plane))
    }

    fn skip(&mut self, frames: u64) -> Result<(), StereoError> {
        self.next = self.next.saturating_add(frames as usize);
        Ok(())
    }
}

fn read_picture(path: &Path) -> Result<Plane, StereoError> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("exr")) {
        read_exr(path)
    } else {
        read_png(path)
    }
}

/// The first channel of a picture, 0 to 1.
fn read_png(path: &Path) -> Result<Plane, StereoError> {
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

/// The channel of a picture that is depth, or its only one, as it is.
fn read_exr(path: &Path) -> Result<Plane, StereoError> {
    let meta = MetaData::read_from_file(path, false).map_err(|e| refuse(path, e))?;
    let most = meta.headers.iter().map(|header| header.layer_size.area()).max().unwrap_or(0);
    if most == 0 || most > MOST_BYTES / size_of::<f32>() {
        return Err(refuse(path, format!("a picture of {most} samples")));
    }
    let image = read()
        .no_deep_data()
        .largest_resolution_level()
        .all_channels()
        .first_valid_layer()
        .all_attributes()
        .from_file(path)
        .map_err(|e| refuse(path, e))?;
    let (size, channels) = (image.layer_data.size, &image.layer_data.channel_data.list);
    let named = |name: &str| channels.iter().find(|channel| channel.name == *name);
    let only = if channels.len() == 1 { channels.first() } else { None };
    let Some(channel) = CHANNELS.iter().find_map(|name| named(name)).or(only) else {
        let found: Vec<String> = channels.iter().map(|c| c.name.to_string()).collect();
        let allowed = CHANNELS.join(", ");
        let what = format!("channels {}; allowed is one, or {allowed}", found.join(", "));
        return Err(refuse(path, what));
    };
    let values: Vec<f32> = channel.sample_data.values_as_f32().collect();
    if values.len() != size.area() {
        return Err(refuse(path, "a channel with fewer samples than the picture"));
    }
    Ok(Plane::new(size.width(), size.height(), values))
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

#[cfg(test)]
mod tests {
    use exr::prelude::{AnyChannel, AnyChannels, FlatSamples, Image, SmallVec, WritableImage, f16};

    use super::*;

    fn write(path: &Path, channels: Vec<(&str, FlatSamples)>) {
        let list: SmallVec<[AnyChannel<FlatSamples>; 4]> =
            channels.into_iter().map(|(name, data)| AnyChannel::new(name, data)).collect();
        let image = Image::from_channels((3, 2), AnyChannels::sort(list));
        image.write().to_file(path).unwrap();
    }

    #[test]
    fn pictures_of_floats_are_scaled_by_the_whole_film() {
        let folder = tempfile::tempdir().unwrap();
        let picture = |n: usize| folder.path().join(format!("{n}.exr"));
        let near = [2.0f32, 3.0, 4.0, 5.0, 6.0, 7.0];
        let far = near.map(|v| v + 5.0);
        write(&picture(0), vec![("Z", FlatSamples::F32(near.to_vec()))]);
        let red = FlatSamples::F16(vec![f16::from_f32(1.0); 6]);
        write(&picture(1), vec![("R", red), ("Z", FlatSamples::F32(far.to_vec()))]);
        let (mut source, size) = open(folder.path()).unwrap();
        assert_eq!((size.width, size.height, size.frames), (3, 2, 2));
        let first = source.next().unwrap().unwrap();
        assert_eq!(first.data(), near.map(|v| (v - 2.0) / 10.0));
        assert_eq!(source.next().unwrap().unwrap().at(2, 1), 1.0);
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn pictures_of_what_is_no_number_are_refused_by_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let picture = |n: usize| folder.path().join(format!("{n}.exr"));
        write(&picture(0), vec![("Z", FlatSamples::F32(vec![0.5; 6]))]);
        let mut odd = vec![f16::from_f32(0.5); 6];
        odd[4] = f16::INFINITY;
        write(&picture(1), vec![("Z", FlatSamples::F16(odd))]);
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("1.exr: frame 1, row 1, column 1 is infinite"), "{error}");
    }

    #[test]
    fn what_is_no_depth_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.exr");
        let plain = || FlatSamples::F32(vec![0.5; 6]);
        write(&path, vec![("A", plain()), ("B", plain())]);
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a.exr") && error.contains("channels A, B"), "{error}");
        write_png(&folder.path().join("a.png"), &Plane::filled(2, 2, 0.5)).unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("1 PNG and 1 EXR"), "{error}");
        std::fs::write(&path, b"no picture").unwrap();
        assert!(read_exr(&path).unwrap_err().to_string().contains("a.exr"));
    }
}
