//! What is kept of a film while it is looked at, besides vectors: where shots begin, and the frames as pictures.

use parallax_frame::Frame;
use parallax_serving::Failure;
use parallax_stereo::Shots;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::film::{Look, Watch};
use crate::jpeg::jpeg;
use crate::picture::Channels;

/// A shot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shot {
    /// The number in the film of its first frame.
    pub source_frame: u64,
    /// Seconds after the film's first frame at which it begins.
    pub timestamp: f64,
}

/// How far a look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Far {
    /// Frames of the film that have passed.
    pub passed: u64,
    /// Frames of the film, as far as its packets tell.
    pub frames: u64,
    /// Frames that were looked at.
    pub looked: u64,
}

/// Where frames go as JPEG files.
pub struct Pictures<'a> {
    /// The widest that they are; `None`: as they are.
    pub most_width: Option<usize>,
    /// Takes the next one.
    pub keep: &'a mut dyn FnMut(Vec<u8>) -> Result<(), Failure>,
}

impl std::fmt::Debug for Pictures<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pictures").field("most_width", &self.most_width).finish_non_exhaustive()
    }
}

/// Keeps shots, and pictures where they are wanted.
pub struct Keeper<'a> {
    detector: Shots,
    shots: Vec<Shot>,
    end: f64,
    far: Far,
    pictures: Option<Pictures<'a>>,
    report: &'a mut dyn FnMut(Far),
}

impl std::fmt::Debug for Keeper<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("far", &self.far).finish_non_exhaustive()
    }
}

/// What was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The shots, in order.
    pub shots: Vec<Shot>,
    /// Seconds from the film's first frame to its last.
    pub end: f64,
}

impl<'a> Keeper<'a> {
    /// One that tells `report` of every frame.
    pub fn new(pictures: Option<Pictures<'a>>, report: &'a mut dyn FnMut(Far)) -> Self {
        let (shots, far) = (Vec::new(), Far::default());
        Self { detector: Shots::default(), shots, end: 0.0, far, pictures, report }
    }

    /// What was kept, once the film is over.
    pub fn kept(self) -> Kept {
        Kept { shots: self.shots, end: self.end }
    }
}

impl Watch for Keeper<'_> {
    fn begins(&mut self, frames: u64) {
        self.far.frames = frames;
    }

    fn passes(&mut self, frame: &Frame, number: u64, seconds: f64) -> Result<(), Failure> {
        if self.detector.begins(frame) || self.shots.is_empty() {
            self.shots.push(Shot { source_frame: number, timestamp: seconds });
        }
        self.end = seconds;
        self.far.passed += 1;
        (self.report)(self.far);
        Ok(())
    }

    fn looked(&mut self, _: &Look, channels: &Channels) -> Result<(), Failure> {
        if let Some(pictures) = &mut self.pictures {
            (pictures.keep)(jpeg(&channels.0, pictures.most_width)?)?;
        }
        self.far.looked += 1;
        Ok(())
    }
}
