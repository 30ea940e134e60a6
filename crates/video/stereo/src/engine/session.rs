//! Frames in, depth out: the seam between guessing depth and drawing the other eye.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};

use crate::shot::LOOKAHEAD;
use crate::{
    Clip, Error, Fill, NotFinite, Plane, Run, Session, Shots, Stager, StereoPair, ViewSynthesis,
};

/// Gives every frame of a clip a depth plane, in order; may lag by a bounded number of frames.
///
/// Depth is normalised: 0 farthest, 1 nearest, linear in disparity. A plane may have any size;
/// [`ViewSynthesis`] resamples it to the frame's.
pub trait DepthEstimator: Send + Debug {
    /// Takes the next frame and returns the frames whose depth is ready.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error>;

    /// Ends the clip and returns the rest; called again, it returns nothing.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error>;

    /// Whether the frame shown at `pts`, one of those given out last, begins another shot than the one
    /// before it. `None` when the estimator does not look for shots.
    fn begins_shot(&self, pts: i64) -> Option<bool> {
        let _ = pts;
        None
    }
}

/// A [`Session`] out of any depth estimator: estimate, stage, warp, fill. The eye that is not drawn is
/// the source.
#[derive(Debug)]
pub struct DepthSession<E> {
    estimator: E,
    synthesis: ViewSynthesis,
    stager: Stager,
    shots: Shots,
    /// Frames of the shot that wait for those after them.
    waiting: VecDeque<(Frame, Plane)>,
    /// Frames from before the clip that have not passed yet.
    before: usize,
    /// Frames of the clip that have not been drawn yet.
    owed: usize,
    /// Frames whose depth came out.
    seen: u64,
    /// How many of them lie before the clip.
    led_in: u64,
    run: Run,
    format: Arc<VideoFormat>,
}

impl<E: DepthEstimator> DepthSession<E> {
    /// A session for `clip`.
    ///
    /// # Errors
    /// `Unsupported` when geometry or staging are out of range.
    pub fn new(estimator: E, clip: &Clip, run: &Run) -> Result<Self, Error> {
        let synthesis = ViewSynthesis::new(&clip.format, run.geometry)?;
        Ok(Self {
            estimator,
            synthesis: synthesis.with_comfort(run.staging.comfort),
            stager: Stager::new(clip, run)?,
            shots: Shots::default(),
            waiting: VecDeque::new(),
            before: 0,
            owed: 0,
            seen: 0,
            led_in: 0,
            run: run.clone(),
            format: Arc::clone(&clip.format),
        })
    }

    fn take(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        self.check()?;
        if *frame.format() != self.format {
            return Err(Error::Unsupported(format!(
                "frame of {}x{} {} in a clip of {}x{} {}",
                frame.format().width,
                frame.format().height,
                frame.format().pixels.ffmpeg_name(),
                self.format.width,
                self.format.height,
                self.format.pixels.ffmpeg_name(),
            )));
        }
        self.estimator.push(frame)
    }

    fn render(&mut self, ready: Vec<(Frame, Plane)>) -> Result<Vec<StereoPair>, Error> {
        let ahead = if self.run.looks_ahead() { LOOKAHEAD } else { 1 };
        let mut pairs = Vec::with_capacity(ready.len());
        for (frame, depth) in ready {
            self.look(&depth)?;
            let begins = self.estimator.begins_shot(frame.pts);
            if begins.unwrap_or_else(|| self.shots.begins(&frame)) {
                self.end_shot(&mut pairs)?;
            }
            if self.run.rendering.fill == Fill::Temporal {
                self.synthesis.remember(&frame, &depth)?;
            }
            self.waiting.push_back((frame, depth));
            if self.waiting.len() >= ahead {
                self.draw(&mut pairs)?;
            }
        }
        Ok(pairs)
    }

    /// Draws what waits and closes the shot.
    fn end_shot(&mut self, pairs: &mut Vec<StereoPair>) -> Result<(), Error> {
        while self.draw(pairs)? {}
        self.synthesis.forget();
        if let Some(shot) = self.stager.end_shot() {
            self.run.watch.tell_shot(&shot);
        }
        Ok(())
    }

    /// Draws the first of the frames that wait, unless it lies before the clip; `false` when none of
    /// them is left to draw.
    fn draw(&mut self, pairs: &mut Vec<StereoPair>) -> Result<bool, Error> {
        self.check()?;
        if self.before + self.owed == 0 {
            return Ok(false);
        }
        let stand = self.stager.next(self.waiting.iter().map(|(_, depth)| depth));
        let (Some(stand), Some((frame, depth))) = (stand, self.waiting.pop_front()) else {
            return Ok(false);
        };
        if self.before > 0 {
            self.before -= 1;
            self.stager.uncount();
            return Ok(true);
        }
        self.owed -= 1;
        self.synthesis.set_convergence(stand.convergence);
        let mut pair = self.synthesis.pair(frame, &depth, self.run.rendering)?;
        if !self.run.rendering.depth_picture {
            stand.bars.draw(&mut pair);
        }
        pairs.push(pair);
        Ok(true)
    }

    /// Refuses depth that is not numbers: comparisons would quietly make pictures of it.
    fn look(&mut self, depth: &Plane) -> Result<(), Error> {
        let place = || match self.seen.checked_sub(self.led_in) {
            Some(frame) => format!("frame {frame}"),
            None => "a frame before the clip".to_owned(),
        };
        if let Some(what) = NotFinite::in_depth(depth, place) {
            let advice = "this engine cannot convert the film; choose another".to_owned();
            return Err(Error::NotFinite { what, advice });
        }
        self.seen += 1;
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.run.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl<E: DepthEstimator> Session for DepthSession<E> {
    fn lead_in(&mut self, frame: Frame) -> Result<(), Error> {
        self.before += 1;
        self.led_in += 1;
        let ready = self.take(frame)?;
        self.render(ready).map(|_| ())
    }

    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        self.owed += 1;
        let ready = self.take(frame)?;
        self.render(ready)
    }

    fn lead_out(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        let ready = self.take(frame)?;
        self.render(ready)
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        self.check()?;
        let ready = self.estimator.finish()?;
        let mut pairs = self.render(ready)?;
        self.end_shot(&mut pairs)?;
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Colour, FrameRate, PixelFormat};

    /// Gives the third frame what is no number.
    #[derive(Debug, Default)]
    struct Lapsing(u32);

    impl DepthEstimator for Lapsing {
        fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
            self.0 += 1;
            let value = if self.0 == 3 { f32::NAN } else { 0.5 };
            Ok(vec![(frame, Plane::from_fn(8, 6, |x, _| if x == 2 { value } else { 0.4 }))])
        }

        fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn depth_that_is_no_number_is_never_drawn() {
        let pixels = PixelFormat::YUV420P;
        let format =
            Arc::new(VideoFormat { width: 16, height: 12, pixels, colour: Colour::default() });
        let rate = FrameRate { num: 25, den: 1 };
        let clip = Clip { format: Arc::clone(&format), rate };
        let frame = |pts| Frame::zeroed(Arc::clone(&format), pts);
        let begun = || DepthSession::new(Lapsing::default(), &clip, &Run::default()).unwrap();
        for led_in in [0, 1, 3] {
            let mut session = begun();
            let mut failed = None;
            for pts in 0..5 {
                let done = match pts < led_in {
                    true => session.lead_in(frame(pts)),
                    false => session.push(frame(pts)).map(drop),
                };
                failed = failed.or(done.err());
            }
            let error = failed.unwrap();
            assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
            let place = match led_in {
                3 => "a frame before the clip".to_owned(),
                _ => format!("frame {}", 2 - led_in),
            };
            let text = format!("depth: its estimate gave 6 NaN of 48 values for {place};");
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    }
}
