//! Depth as an array of NumPy: `.npy`, and the `.npz` that holds some of them.
//!
//! The format is that of NumPy's `lib/format.py`, versions 1 to 3: frames, rows, columns.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parallax_stereo::{Error as StereoError, Plane};

use super::source::{DepthSize, Scale, Source, numbers, refuse};

/// Longest header that is read, and largest side.
const MOST_HEADER: u32 = 1 << 16;
const MOST_SIDE: u64 = 1 << 16;
/// How far what is packed may shrink: a member of an archive beyond both is no film's depth, but is made to
/// fill a disk.
const MOST_SHRUNK: u64 = 100;
const SMALL: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    U8,
    U16,
    F16,
    F32,
    F64,
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Kind::U8 => 1,
            Kind::U16 | Kind::F16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }

    /// A sample as it is; integers from 0 to 1.
    fn value(self, b: &[u8]) -> f32 {
        match (self, b) {
            (Kind::U8, [a, ..]) => f32::from(*a) / 255.0,
            (Kind::U16, [a, b, ..]) => f32::from(u16::from_le_bytes([*a, *b])) / 65535.0,
            (Kind::F16, [a, b, ..]) => half(u16::from_le_bytes([*a, *b])),
            (Kind::F32, [a, b, c, d, ..]) => f32::from_le_bytes([*a, *b, *c, *d]),
            (Kind::F64, &[a, b, c, d, e, f, g, h, ..]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
            }
            _ => 0.0,
        }
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}

#[derive(Debug)]
struct Array {
    path: PathBuf,
    reader: BufReader<File>,
    kind: Kind,
    size: DepthSize,
    left: u64,
    scale: Scale,
}

pub(super) fn open(path: &Path, packed: bool) -> Result<(Box<dyn Source>, DepthSize), StereoError> {
    let mut file = File::open(path).map_err(|e| refuse(path, e))?;
    if packed {
        file = member(path, file)?;
    }
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (kind, size) = header(path, &mut reader)?;
    let start = reader.stream_position().map_err(|e| refuse(path, e))?;
    let mut array = Array {
        path: path.to_owned(),
        reader,
        kind,
        size,
        left: size.frames,
        scale: Scale::default(),
    };
    if matches!(kind, Kind::F16 | Kind::F32 | Kind::F64) {
        array.scale = Scale::of(&mut array)?;
        array.left = size.frames;
        array.reader.seek(SeekFrom::Start(start)).map_err(|e| refuse(path, e))?;
    }
    Ok((Box::new(array), size))
}

/// The depth in an `.npz`, unpacked into a file without a name.
fn member(path: &Path, file: File) -> Result<File, StereoError> {
    let mut archive = zip::ZipArchive::new(file).map_err(|e| refuse(path, e))?;
    let names = archive.file_names().map(|name| name.map(|name| name.into_owned()));
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(|e| refuse(path, e))?;
    let name = match names.iter().find(|name| *name == "depth.npy") {
        Some(name) => name,
        None if names.len() == 1 => &names[0],
        None => {
            let what = format!("holds {}; allowed is one array, or `depth`", names.join(", "));
            return Err(refuse(path, what));
        }
    };
    let mut packed = archive.by_name(name).map_err(|e| refuse(path, e))?;
    let (held, shrunk) = (packed.size(), packed.compressed_size());
    // Nothing is written before the header and the archive's list agree on how much it will be.
    let mut start = Vec::new();
    let (kind, size) = header(path, &mut Noting { from: &mut packed, into: &mut start })?;
    let wanted = bounded(&start, kind, size, held, shrunk).map_err(|what| refuse(path, what))?;
    let mut unpacked = tempfile::tempfile().map_err(|e| StereoError::Failed(e.to_string()))?;
    unpacked
        .write_all(&start)
        .and_then(|()| std::io::copy(&mut packed.take(wanted), &mut unpacked))
        .and_then(|_| unpacked.seek(SeekFrom::Start(0)))
        .map_err(|e| StereoError::Failed(format!("unpack {}: {e}", path.display())))?;
    Ok(unpacked)
}

/// Bytes that follow the header `start`, of a member of `held` bytes in `shrunk`; or why it is refused.
fn bounded(
    start: &[u8],
    kind: Kind,
    size: DepthSize,
    held: u64,
    shrunk: u64,
) -> Result<u64, String> {
    let plane = (size.width * size.height * kind.bytes()) as u64;
    let samples = size.frames.saturating_mul(plane);
    let wanted = samples.saturating_add(start.len() as u64);
    if held != wanted {
        return Err(format!("an array of {held} bytes, where its header promises {wanted}"));
    }
    if held > SMALL && held / MOST_SHRUNK > shrunk {
        return Err(format!(
            "an array of {held} bytes packed into {shrunk}; allowed are {MOST_SHRUNK} to 1 beyond {} MiB: \
             unpack it to .npy if it is what it says",
            SMALL >> 20
        ));
    }
    Ok(samples)
}

/// Reads and keeps what was read.
struct Noting<'a, R> {
    from: R,
    into: &'a mut Vec<u8>,
}

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.into.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

fn header(path: &Path, reader: &mut impl Read) -> Result<(Kind, DepthSize), StereoError> {
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(|e| refuse(path, e))?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err(refuse(path, "not an array of NumPy"));
    }
    let wide = start[6] > 1;
    let mut length = [0; 4];
    reader.read_exact(&mut length[..if wide { 4 } else { 2 }]).map_err(|e| refuse(path, e))?;
    let length = u32::from_le_bytes(length);
    if length > MOST_HEADER {
        return Err(refuse(path, format!("a header of {length} bytes")));
    }
    let mut text = vec![0; length as usize];
    reader.read_exact(&mut text).map_err(|e| refuse(path, e))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    parse(&text).map_err(|what| refuse(path, what))
}

/// Reads the dictionary of a header.
fn parse(text: &str) -> Result<(Kind, DepthSize), String> {
    let after =
        |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    let descr = after("'descr'").and_then(|rest| rest.strip_prefix('\''));
    let descr = descr.and_then(|rest| rest.split_once('\'')).map(|(descr, _)| descr);
    let kind = match descr {
        Some("|u1") => Kind::U8,
        Some("<u2") => Kind::U16,
        Some("<f2") => Kind::F16,
        Some("<f4") => Kind::F32,
        Some("<f8") => Kind::F64,
        found => {
            let found = found.unwrap_or("?");
            return Err(format!("samples of {found}; allowed are |u1, <u2, <f2, <f4 and <f8"));
        }
    };
    if after("'fortran_order'").is_some_and(|rest| rest.starts_with("True")) {
        return Err("stored by columns (Fortran order); allowed is C order".to_owned());
    }
    let shape = after("'shape'").and_then(|rest| rest.strip_prefix('('));
    let shape = shape.and_then(|rest| rest.split_once(')')).map_or("", |(shape, _)| shape);
    let sides: Option<Vec<u64>> = shape
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok())
        .collect();
    let (frames, height, width) = match sides.as_deref() {
        Some(&[height, width]) => (1, height, width),
        Some(&[frames, height, width] | &[frames, height, width, 1]) => (frames, height, width),
        Some(&[frames, 1, height, width]) => (frames, height, width),
        _ => return Err(format!("shape ({shape}); allowed is (frames, rows, columns)")),
    };
    if frames == 0 || !(1..=MOST_SIDE).contains(&height) || !(1..=MOST_SIDE).contains(&width) {
        return Err(format!("shape ({shape}); allowed are 1 to {MOST_SIDE} rows and columns"));
    }
    Ok((kind, DepthSize { width: width as usize, height: height as usize, frames }))
}

impl Source for Array {
    fn next(&mut self) -> Result<Option<Plane>, StereoError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let DepthSize { width, height, frames } = self.size;
        let mut bytes = vec![0; width * height * self.kind.bytes()];
        self.reader.read_exact(&mut bytes).map_err(|_| {
            refuse(&self.path, format!("ends before the {frames} frames that its header promises"))
        })?;
        let values = bytes.chunks_exact(self.kind.bytes()).map(|b| self.kind.value(b)).collect();
        let mut plane = Plane::new(width, height, values);
        numbers(&self.path, frames - self.left - 1, &plane)?;
        self.scale.apply(&mut plane);
        Ok(Some(plane))
    }
}

/// Writes planes as an `.npy` of f32, shape (frames, rows, columns); `size` says how many there
/// will be.
///
/// # Errors
/// When `out` fails.
pub fn write_npy(
    out: &mut impl Write,
    size: DepthSize,
    planes: impl Iterator<Item = std::io::Result<Plane>>,
) -> std::io::Result<()> {
    let shape = format!("({}, {}, {})", size.frames, size.height, size.width);
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // The samples start at a multiple of 64 bytes.
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(text.len() as u16).to_le_bytes())?;
    out.write_all(text.as_bytes())?;
    for plane in planes {
        let bytes: Vec<u8> = plane?.data().iter().flat_map(|v| v.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes planes as the `depth` of an `.npz`, compressed.
///
/// # Errors
/// When the file at `path` cannot be written.
pub fn write_npz(
    path: &Path,
    size: DepthSize,
    planes: impl Iterator<Item = std::io::Result<Plane>>,
) -> std::io::Result<()> {
    let mut archive = zip::ZipWriter::new(File::create(path)?);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .large_file(true);
    archive.start_file("depth.npy", options)?;
    write_npy(&mut archive, size, planes)?;
    archive.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_holds_more_than_its_header_promises_is_refused_before_it_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("depth.npz");
        let size = DepthSize { width: 4, height: 3, frames: 2 };
        let plane = || Plane::filled(4, 3, 0.5);
        write_npz(&path, size, (0..2).map(|_| Ok(plane()))).unwrap();
        assert_eq!(open(&path, true).unwrap().1, size);
        // 8 MiB of zeros behind the samples of two frames, and one frame fewer than promised.
        for planes in [1, 200_000] {
            write_npz(&path, size, (0..planes).map(|_| Ok(plane()))).unwrap();
            let refused = open(&path, true).unwrap_err().to_string();
            assert!(refused.contains("its header promises"), "{planes}: {refused}");
        }
    }

    #[test]
    fn what_shrinks_a_hundredfold_is_refused_where_it_is_large() {
        let size = DepthSize { width: 1024, height: 1024, frames: 750 };
        let start = [0u8; 128];
        let held = 128 + 750 * (4 << 20);
        let bounded = |size, held, shrunk| bounded(&start, Kind::F32, size, held, shrunk);
        assert_eq!(bounded(size, held, held / 100), Ok(held - 128));
        let bomb = bounded(size, held, 14 << 20).unwrap_err();
        assert!(bomb.contains("packed into 14680064"), "{bomb}");
        let small = DepthSize { frames: 10, ..size };
        assert_eq!(bounded(small, 128 + 10 * (4 << 20), 40_000), Ok(10 * (4 << 20)));
        let endless = DepthSize { frames: u64::MAX, ..size };
        assert!(bounded(endless, held, held).is_err());
    }

    #[test]
    fn headers_of_numpy_are_read_and_others_refused() {
        let (kind, size) =
            parse("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 72, 128), }").unwrap();
        assert_eq!((kind, size.frames, size.height, size.width), (Kind::F32, 10, 72, 128));
        let head = |descr, order, shape| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        for (text, says) in [
            (head("<i8", "False", "(1, 2, 3)"), "<i8"),
            (head("<f4", "True", "(1, 2, 3)"), "Fortran"),
            (head("<f4", "False", "(1, 2, 3, 4, 5)"), "(1, 2, 3, 4, 5)"),
            (head("<f4", "False", "(0, 2, 3)"), "(0, 2, 3)"),
            (head("<f4", "False", "(1, 99999999, 3)"), "99999999"),
        ] {
            assert!(parse(&text).unwrap_err().contains(says), "{text}");
        }
    }

    #[test]
    fn halves_are_read() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (1, 5.96e-8)] {
            assert!((half(bits) - value).abs() < 1e-9, "{bits:x}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let size = DepthSize { width: 5, height: 4, frames: 3 };
        for (value, says) in [(f32::NAN, "NaN"), (f32::INFINITY, "infinite")] {
            let planes = (0..3).map(|n| {
                let odd = move |x, y| n == 2 && (x, y) == (3, 1);
                Ok(Plane::from_fn(5, 4, |x, y| if odd(x, y) { value } else { 0.5 }))
            });
            let (plain, packed) = (folder.path().join("d.npy"), folder.path().join("d.npz"));
            write_npy(&mut File::create(&plain).unwrap(), size, planes.clone()).unwrap();
            write_npz(&packed, size, planes).unwrap();
            for (path, zipped, name) in [(&plain, false, "d.npy"), (&packed, true, "d.npz")] {
                let error = open(path, zipped).err().unwrap().to_string();
                let place = format!("{name}: frame 2, row 1, column 3 is {says} (1 {says} of 20");
                assert!(error.contains(&place), "{error}");
            }
        }
    }

    #[test]
    fn planes_survive_both_formats() {
        let folder = tempfile::tempdir().unwrap();
        let planes: Vec<Plane> = (0..3)
            .map(|n| Plane::from_fn(5, 4, |x, y| (n * 20 + y * 5 + x) as f32 / 60.0))
            .collect();
        let size = DepthSize { width: 5, height: 4, frames: 3 };
        let all = || planes.iter().cloned().map(Ok);
        let (plain, packed) = (folder.path().join("d.npy"), folder.path().join("d.npz"));
        write_npy(&mut File::create(&plain).unwrap(), size, all()).unwrap();
        write_npz(&packed, size, all()).unwrap();
        for (path, zipped) in [(&plain, false), (&packed, true)] {
            let (mut source, found) = open(path, zipped).unwrap();
            assert_eq!(found, size);
            for plane in &planes {
                assert_eq!(source.next().unwrap().as_ref(), Some(plane));
            }
            assert_eq!(source.next().unwrap(), None);
        }
        let bytes = std::fs::read(&plain).unwrap();
        std::fs::write(&plain, &bytes[..bytes.len() - 1]).unwrap();
        let error = open(&plain, false).err().unwrap().to_string();
        assert!(error.contains("d.npy: ends before the 3 frames"), "{error}");
    }
}
