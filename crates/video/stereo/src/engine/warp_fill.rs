//! The inpainter that invents nothing: holes take what the picture has.

use parallax_frame::Frame;

use super::error::Error;
use super::inpainter::{Inpainter, Placed};
use super::pair::StereoPair;
use super::rendering::{Fill, Rendering};
use super::run::{Clip, Run};
use crate::{Plane, ViewSynthesis};

/// Warps and fills as the run's [`Rendering`] says. The eye that is not drawn is the source.
#[derive(Debug)]
pub struct WarpFill {
    synthesis: ViewSynthesis,
    rendering: Rendering,
}

impl WarpFill {
    /// One for `clip`.
    ///
    /// # Errors
    /// `Unsupported` when the geometry is out of range.
    pub fn new(clip: &Clip, run: &Run) -> Result<Self, Error> {
        let synthesis = ViewSynthesis::new(&clip.format, run.geometry)?;
        let synthesis = synthesis.with_comfort(run.staging.comfort);
        Ok(Self { synthesis, rendering: run.rendering })
    }
}

impl Inpainter for WarpFill {
    fn look(&mut self, frame: &Frame, depth: &Plane) -> Result<(), Error> {
        match self.rendering.fill {
            Fill::Temporal => self.synthesis.remember(frame, depth),
            _ => Ok(()),
        }
    }

    fn draw(&mut self, frame: Frame, depth: &Plane, at: &Placed) -> Result<Vec<StereoPair>, Error> {
        self.synthesis.set_convergence(at.stand.convergence);
        let mut pair = self.synthesis.pair(frame, depth, self.rendering)?;
        if !self.rendering.depth_picture {
            at.stand.bars.draw(&mut pair);
        }
        Ok(vec![pair])
    }

    fn end_shot(&mut self) -> Result<Vec<StereoPair>, Error> {
        self.synthesis.forget();
        Ok(Vec::new())
    }
}
