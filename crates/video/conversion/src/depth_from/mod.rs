//! The `depth-from` engine: depth that somebody brings, as a film, a folder of pictures or an array.
//!
//! Depth is matched to frames by counting, so it must have as many of them; its size may differ,
//! its shape may not. Integers are scaled by their range; floating-point values that leave 0 to 1
//! are scaled by the smallest and largest of the whole film.

mod array;
mod film;
mod folder;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use parallax_frame::Frame;
use parallax_media::Tools;
use parallax_stereo::{
    Clip, DepthEstimator, DepthSession, Engine, Error as StereoError, Odd, Plane, Run, Session,
};
use tokio_util::sync::CancellationToken;

pub use array::{write_npy, write_npz};
pub use folder::write_png;

/// What large values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Near {
    /// Large values, white, are near: disparity, and what most depth networks give.
    #[default]
    White,
    /// Large values are far: distance.
    Black,
}

/// Depth of one film, frame by frame.
trait Source: Send + Debug {
    /// The next plane, 0 to 1 and larger where the file's values are; `None` at the end.
    fn next(&mut self) -> Result<Option<Plane>, StereoError>;

    /// Passes over `frames` planes. Defaults to reading them.
    fn skip(&mut self, frames: u64) -> Result<(), StereoError> {
        (0..frames).try_for_each(|_| self.next().map(|_| ()))
    }
}

/// How floating-point values become 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    /// What becomes 0.
    offset: f32,
    factor: f32,
}

impl Default for Scale {
    fn default() -> Self {
        Self { offset: 0.0, factor: 1.0 }
    }
}

impl Scale {
    /// What brings every value of the whole of `source` to 0..1: nothing when they are there already.
    /// Reads it to its end.
    fn of(source: &mut dyn Source) -> Result<Self, StereoError> {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        while let Some(plane) = source.next()? {
            for &v in plane.data() {
                (low, high) = (low.min(v), high.max(v));
            }
        }
        if low >= 0.0 && high <= 1.0 || low > high {
            return Ok(Self::default());
        }
        Ok(Self { offset: low, factor: if high > low { 1.0 / (high - low) } else { 0.0 } })
    }

    fn apply(self, plane: &mut Plane) {
        if self != Self::default() {
            plane.data_mut().iter_mut().for_each(|v| *v = (*v - self.offset) * self.factor);
        }
    }
}

/// What a depth file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthSize {
    /// Samples per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames.
    pub frames: u64,
}

/// `depth-from`: depth out of a file, warped and filled.
#[derive(Debug, Clone)]
pub struct DepthFrom {
    tools: Tools,
    path: PathBuf,
    near: Near,
    grid: bool,
    size: DepthSize,
}

/// Refuses floating-point depth that is not numbers, by the place of the first: of where nothing was
/// measured there is no guess that would be right for every film.
fn numbers(path: &Path, frame: u64, plane: &Plane) -> Result<(), StereoError> {
    let Some(found) = Odd::among(plane.data()) else { return Ok(()) };
    let first = plane.data().iter().position(|v| !v.is_finite()).unwrap_or_default();
    let (row, column) = (first / plane.width(), first % plane.width());
    let what = if plane.data()[first].is_nan() { "NaN" } else { "infinite" };
    Err(refuse(
        path,
        format!(
            "frame {frame}, row {row}, column {column} is {what} ({found} in that frame); allowed are \
             finite numbers: fill what was not measured before converting"
        ),
    ))
}

fn refuse(path: &Path, what: impl std::fmt::Display) -> StereoError {
    StereoError::Unsupported(format!("{}: {what}", path.display()))
}

impl DepthFrom {
    /// Looks at the depth at `path`: a folder of PNG or EXR pictures in the order of their names,
    /// `.npy`, `.npz` (its `depth`, or its only array), or any video. Of a video that is a `grid` of
    /// two by two pictures, as the reference pipeline makes them, the upper right one is depth.
    ///
    /// # Errors
    /// `Unsupported` naming the file and what is wrong with it.
    pub fn open(
        tools: &Tools,
        path: &Path,
        (near, grid): (Near, bool),
        cancel: &CancellationToken,
    ) -> Result<Self, StereoError> {
        let (_, size) = source(tools, path, grid, cancel)?;
        Ok(Self { tools: tools.clone(), path: path.to_owned(), near, grid, size })
    }

    /// Size and length of the depth.
    pub fn size(&self) -> DepthSize {
        self.size
    }

    /// Refuses depth of another length or shape than a film of `frames` pictures of
    /// `width` x `height`.
    ///
    /// # Errors
    /// `Unsupported` naming both lengths or sizes.
    pub fn check(&self, width: u32, height: u32, frames: u64) -> Result<(), StereoError> {
        if self.size.frames != frames {
            let what = format!("depth of {} frames for a film of {frames}", self.size.frames);
            return Err(refuse(&self.path, what));
        }
        self.check_shape(width, height)
    }

    fn check_shape(&self, width: u32, height: u32) -> Result<(), StereoError> {
        let DepthSize { width: w, height: h, .. } = self.size;
        let (found, wanted) = (w as f64 / h as f64, f64::from(width) / f64::from(height));
        // Networks round sides to multiples of 64.
        if (found / wanted - 1.0).abs() > 0.1 {
            let what = format!("depth of {w}x{h} for frames of {width}x{height}: shapes differ");
            return Err(refuse(&self.path, what));
        }
        Ok(())
    }

    /// The depth of frame `position`, counted from 0.
    ///
    /// # Errors
    /// As [`DepthFrom::open`].
    pub fn plane(&self, position: u64, cancel: &CancellationToken) -> Result<Plane, StereoError> {
        let (mut source, size) = source(&self.tools, &self.path, self.grid, cancel)?;
        source.skip(position)?;
        let Some(plane) = source.next()? else {
            let what = format!("depth of {} frames has no frame {position}", size.frames);
            return Err(refuse(&self.path, what));
        };
        Ok(turned(plane, self.near))
    }

    /// The depth from its beginning.
    ///
    /// # Errors
    /// As [`DepthFrom::open`].
    pub fn estimator(
        &self,
        clip: &Clip,
        cancel: &CancellationToken,
    ) -> Result<impl DepthEstimator + use<>, StereoError> {
        self.check_shape(clip.format.width, clip.format.height)?;
        let (source, size) = source(&self.tools, &self.path, self.grid, cancel)?;
        let (path, near) = (self.path.clone(), self.near);
        Ok(FileDepth { source, path, near, frames: size.frames, seen: 0 })
    }
}

impl Engine for DepthFrom {
    fn name(&self) -> &'static str {
        "depth-from"
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, StereoError> {
        let estimator = self.estimator(clip, &run.cancel)?;
        Ok(Box::new(DepthSession::new(estimator, clip, run)?))
    }
}

fn source(
    tools: &Tools,
    path: &Path,
    grid: bool,
    cancel: &CancellationToken,
) -> Result<(Box<dyn Source>, DepthSize), StereoError> {
    let ends = |suffix: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(suffix));
    let video = !path.is_dir() && !ends("npy") && !ends("npz");
    if grid && !video {
        return Err(refuse(path, "no video; allowed as a grid is a video only"));
    }
    if path.is_dir() {
        folder::open(path)
    } else if ends("npy") || ends("npz") {
        array::open(path, ends("npz"))
    } else {
        film::open(tools, path, grid, cancel)
    }
}

/// Large values near.
fn turned(mut plane: Plane, near: Near) -> Plane {
    if near == Near::Black {
        plane.data_mut().iter_mut().for_each(|v| *v = 1.0 - *v);
    }
    plane
}

#[derive(Debug)]
struct FileDepth {
    source: Box<dyn Source>,
    path: PathBuf,
    near: Near,
    frames: u64,
    seen: u64,
}

impl DepthEstimator for FileDepth {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, StereoError> {
        self.seen += 1;
        let Some(plane) = self.source.next()? else {
            let what = format!("depth of {} frames for a film of more", self.frames);
            return Err(refuse(&self.path, what));
        };
        Ok(vec![(frame, turned(plane, self.near))])
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, StereoError> {
        if self.seen < self.frames {
            let what = format!("depth of {} frames for a film of {}", self.frames, self.seen);
            return Err(refuse(&self.path, what));
        }
        Ok(Vec::new())
    }
}
