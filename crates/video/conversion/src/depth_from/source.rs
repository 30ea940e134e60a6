//! What every kind of depth file gives, and how its values are checked and scaled.

use std::fmt::Debug;
use std::path::Path;

use parallax_stereo::{Error as StereoError, Odd, Plane};

/// Depth of one film, frame by frame.
pub(super) trait Source: Send + Debug {
    /// The next plane, 0 to 1 and larger where the file's values are; `None` at the end.
    fn next(&mut self) -> Result<Option<Plane>, StereoError>;

    /// Passes over `frames` planes. Defaults to reading them.
    fn skip(&mut self, frames: u64) -> Result<(), StereoError> {
        (0..frames).try_for_each(|_| self.next().map(|_| ()))
    }
}

/// How floating-point values become 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// What becomes 0.
    pub(super) offset: f32,
    pub(super) factor: f32,
}

impl Default for Scale {
    fn default() -> Self {
        Self { offset: 0.0, factor: 1.0 }
    }
}

impl Scale {
    /// What brings every value of the whole of `source` to 0..1: nothing when they are there already.
    /// Reads it to its end.
    pub(super) fn of(source: &mut dyn Source) -> Result<Self, StereoError> {
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

    pub(super) fn apply(self, plane: &mut Plane) {
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

/// Refuses floating-point depth that is not numbers, by the place of the first: of where nothing was
/// measured there is no guess that would be right for every film.
pub(super) fn numbers(path: &Path, frame: u64, plane: &Plane) -> Result<(), StereoError> {
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

pub(super) fn refuse(path: &Path, what: impl std::fmt::Display) -> StereoError {
    StereoError::Unsupported(format!("{}: {what}", path.display()))
}
