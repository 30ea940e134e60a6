//! The `depth-from` engine: depth that somebody brings, as a film, a folder of pictures or an array.
//!
//! Depth is matched to frames by counting, so it must have as many of them; its size may differ,
//! its shape may not. Integers are scaled by their range; floating-point values that leave 0 to 1
//! are scaled by the smallest and largest of the whole film.

mod array;
mod film;
mod folder;
mod source;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use parallax_frame::Frame;
use parallax_media::Tools;
use parallax_stereo::{
    Capabilities, Clip, DepthEstimator, DepthModel, DepthSession, Engine, Error as StereoError,
    Plane, Run, Session,
};
use tokio_util::sync::CancellationToken;

pub use array::{write_npy, write_npz};
pub use folder::write_png;
pub use source::DepthSize;
use source::{Source, refuse};

/// What large values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Near {
    /// Large values, white, are near: disparity, and what most depth networks give.
    #[default]
    White,
    /// Large values are far: distance.
    Black,
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
    pub fn open_for(
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

impl Capabilities for DepthFrom {}

impl Engine for DepthFrom {
    fn name(&self) -> &'static str {
        "depth-from"
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, StereoError> {
        let estimator = self.open_for(clip, &run.cancel)?;
        Ok(Box::new(DepthSession::new(estimator, clip, run)?))
    }
}

impl DepthModel for DepthFrom {
    fn estimator(&self, clip: &Clip, run: &Run) -> Result<Box<dyn DepthEstimator>, StereoError> {
        Ok(Box::new(self.open_for(clip, &run.cancel)?))
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
