//! Whether the disks have room for a conversion: estimated before its first frame, and again from
//! what its segments turn out to take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::statvfs::statvfs;
use parallax_media::Codec;

/// Bits of a pixel of an ordinary film by x264 at quality 16, as a rule; 6 more halve them.
const BITS_AT_16: f64 = 0.15;
/// Bits of a pixel of a piece that is encoded without loss.
const LOSSLESS_BITS: f64 = 5.0;
/// A source that spends more on a pixel is taken to be hard to encode, up to this many times.
const HARDEST: f64 = 4.0;
/// Bytes of one second of everything but pictures, at most.
const OTHER_STREAMS: f64 = 200e3;
/// Left free on top: the queues and ledger, and the file system's own needs.
const RESERVE: u64 = 1 << 20;

/// What decides how much a conversion takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Film {
    /// Bytes of the source.
    pub(crate) bytes: u64,
    /// What share of its frames is converted, as far as that is known.
    pub(crate) share: f64,
    /// Its pieces are not copied, but encoded without loss.
    pub(crate) recoded: bool,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    /// Pixels of one frame of the source.
    pub(crate) pixels: u64,
    /// Pixels of one frame of the result.
    pub(crate) result_pixels: u64,
    pub(crate) codec: Codec,
    pub(crate) crf: u8,
}

/// Bytes that a conversion takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The segments, before they are converted.
    segments: u64,
    /// What becomes of them.
    results: u64,
    /// The film made of those.
    film: u64,
}

impl Film {
    /// What it takes, as a guess.
    pub(crate) fn needs(&self) -> Needs {
        let frames = self.frames as f64;
        let quality = 2f64.powf((16.0 - f64::from(self.crf)) / 6.0);
        let thrift = match self.codec {
            Codec::X264 | Codec::H264Nvenc => 1.0,
            Codec::X265 | Codec::HevcNvenc => 0.6,
            Codec::SvtAv1 => 0.5,
            // Lossless.
            Codec::Ffv1 => 40.0,
        };
        let source_bits =
            self.bytes as f64 * self.share * 8.0 / (self.pixels as f64 * frames).max(1.0);
        let bits = source_bits.clamp(BITS_AT_16, BITS_AT_16 * HARDEST) * quality * thrift;
        let results = bits * self.result_pixels as f64 * frames / 8.0;
        self.with_results(results as u64)
    }

    /// What it takes when `bytes` are what a `share` of it became, 0 to 1.
    pub(crate) fn measured(&self, bytes: u64, share: f64) -> Needs {
        self.with_results((bytes as f64 / share.max(1e-6)) as u64)
    }

    fn with_results(&self, results: u64) -> Needs {
        let others = (self.seconds * OTHER_STREAMS).min(self.bytes as f64) as u64;
        let pixels = self.pixels as f64 * self.frames as f64;
        let segments =
            if self.recoded { (pixels * LOSSLESS_BITS / 8.0) as u64 } else { self.bytes };
        Needs { segments, results, film: results + others }
    }
}

/// The disks of a conversion: where it is kept, and where its output goes.
#[derive(Debug)]
pub(crate) struct Disks<'a> {
    pub(crate) input: &'a Path,
    pub(crate) state: &'a Path,
    pub(crate) output: &'a Path,
    /// Bytes of the input.
    pub(crate) bytes: u64,
}

impl Disks<'_> {
    /// # Errors
    /// When a disk has less room than `needs` say, naming it, with both numbers.
    pub(crate) fn check(&self, needs: Needs) -> Result<()> {
        let (state, output) = (existing(self.state), existing(self.output));
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev());
        let copied = device(self.input)? != device(&state)?;
        let source = if copied { self.bytes } else { 0 };
        let there = taken(self.state);
        let all = source + needs.segments + needs.results + needs.film;
        let what = format!(
            "{} for pieces of the source, {} for their results and {} for the film",
            shown(source + needs.segments),
            shown(needs.results),
            shown(needs.film)
        );
        enough(self.state, all.saturating_sub(there), free(&state)?, &what)?;
        if device(&output)? != device(&state)? {
            enough(self.output, needs.film, free(&output)?, "for the film")?;
        }
        Ok(())
    }
}

fn enough(path: &Path, needed: u64, free: u64, what: &str) -> Result<()> {
    let needed = needed.saturating_add(RESERVE);
    ensure!(
        needed <= free,
        "{}: about {} are needed there ({what}), {} are free; make room, or pass --state-dir or \
         --output on another disk, or --ignore-room to start all the same",
        parallax_media::show_path(path),
        shown(needed),
        shown(free)
    );
    Ok(())
}

/// Bytes that are free on the disk of `path`.
pub(crate) fn free(path: &Path) -> Result<u64> {
    let stat = statvfs(path).with_context(|| format!("look at the disk of {}", path.display()))?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// `path`, or the nearest folder above it that exists.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Bytes of the files below `folder` that have no other name.
fn taken(folder: &Path) -> u64 {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => taken(&entry.path()),
        Ok(meta) if meta.nlink() == 1 => meta.len(),
        _ => 0,
    };
    entries.map(size).sum()
}

/// Bytes for people.
pub(crate) fn shown(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.0} kB", (bytes / 1e3).ceil()),
    }
}

impl Needs {
    /// Bytes that are still to be written when `results` are, as far as these go: the rest of them
    /// and the film.
    pub(crate) fn left_after(&self, results: u64) -> u64 {
        self.results.saturating_sub(results) + self.film
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILM: Film = Film {
        bytes: 5_000_000_000,
        share: 1.0,
        recoded: false,
        frames: 172_800,
        seconds: 7200.0,
        pixels: 1920 * 1080,
        result_pixels: 3840 * 1080,
        codec: Codec::X264,
        crf: 16,
    };

    #[test]
    fn a_feature_film_takes_tens_of_gigabytes_and_less_at_less_quality() {
        let needs = FILM.needs();
        assert!((10..20).contains(&(needs.results / 1_000_000_000)), "{needs:?}");
        assert!(needs.film > needs.results && needs.segments == FILM.bytes);
        let small = Film { crf: 28, codec: Codec::X265, ..FILM }.needs();
        assert!(small.results * 6 < needs.results, "{small:?}");
        let part = Film { recoded: true, share: 0.01, frames: 1728, seconds: 72.0, ..FILM }.needs();
        assert!(part.results < needs.results / 90 && part.segments > part.results, "{part:?}");
        let hard = Film { bytes: 60_000_000_000, ..FILM }.needs();
        assert!(hard.results > needs.results && hard.results < needs.results * 5, "{hard:?}");
    }

    #[test]
    fn what_segments_take_is_measured_instead_of_guessed() {
        let needs = FILM.measured(1_000_000_000, 0.1);
        assert_eq!(needs.results, 10_000_000_000);
        assert_eq!(needs.left_after(4_000_000_000), 6_000_000_000 + needs.film);
    }

    #[test]
    fn too_little_room_is_told_in_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let state = at("no/such");
        let disks =
            Disks { input: folder.path(), state: &state, output: folder.path(), bytes: 1000 };
        let huge = Needs { segments: 1 << 50, results: 2 << 50, film: 3 << 50 };
        let error = disks.check(huge).unwrap_err().to_string();
        for part in ["no/such: about", "GB are needed", "GB are free", "--ignore-room"] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        let small = Needs { segments: 1000, results: 1000, film: 1000 };
        disks.check(small).unwrap();
        assert!(!at("no").exists(), "nothing is made");
    }

    #[test]
    fn what_is_there_already_is_not_needed_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), [0; 1000]).unwrap();
        fs::hard_link(folder.path().join("a/b"), folder.path().join("c")).unwrap();
        assert_eq!(taken(folder.path()), 0, "both names are of one file, which is somebody's");
        fs::remove_file(folder.path().join("c")).unwrap();
        assert_eq!(taken(folder.path()), 1000);
    }
}
