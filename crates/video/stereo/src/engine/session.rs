//! Frames in, stereo pairs out, by any depth estimator and any inpainter: what they share is kept here.

use std::collections::VecDeque;
use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};

use super::error::Error;
use super::estimator::DepthEstimator;
use super::finite::NotFinite;
use super::inpainter::{Inpainter, Placed};
use super::pair::StereoPair;
use super::run::{Clip, Run};
use super::warp_fill::WarpFill;
use crate::shot::LOOKAHEAD;
use crate::{Plane, Session, Shots, Stager};

/// A [`Session`] out of any depth estimator and any inpainter: estimate, stage, draw.
#[derive(Debug)]
pub struct StereoSession<D, I> {
    estimator: D,
    inpainter: I,
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
    /// Frames that are drawn, or have passed without being drawn.
    passed: u64,
    /// How many of them lie before the shot.
    shot_begins: u64,
    run: Run,
    format: Arc<VideoFormat>,
}

/// The session that warps and fills without inventing anything.
pub type DepthSession<D> = StereoSession<D, WarpFill>;

impl<D: DepthEstimator> DepthSession<D> {
    /// A session for `clip`.
    ///
    /// # Errors
    /// `Unsupported` when geometry or staging are out of range.
    pub fn new(estimator: D, clip: &Clip, run: &Run) -> Result<Self, Error> {
        Self::with(estimator, WarpFill::new(clip, run)?, clip, run)
    }
}

impl<D: DepthEstimator, I: Inpainter> StereoSession<D, I> {
    /// A session for `clip` by these two.
    ///
    /// # Errors
    /// `Unsupported` when geometry or staging are out of range.
    pub fn with(estimator: D, inpainter: I, clip: &Clip, run: &Run) -> Result<Self, Error> {
        Ok(Self {
            estimator,
            inpainter,
            stager: Stager::new(clip, run)?,
            shots: Shots::default(),
            waiting: VecDeque::new(),
            before: 0,
            owed: 0,
            seen: 0,
            led_in: 0,
            passed: 0,
            shot_begins: 0,
            run: run.clone(),
            format: Arc::clone(&clip.format),
        })
    }

    fn accept(&self, frame: &Frame) -> Result<(), Error> {
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
        Ok(())
    }

    /// Makes pairs of what the estimator has `ready`, until it has no more.
    fn render(&mut self, mut ready: Vec<(Frame, Plane)>) -> Result<Vec<StereoPair>, Error> {
        let mut pairs = Vec::new();
        loop {
            let ends = self.estimator.ends_shot();
            if ready.is_empty() && !ends {
                return Ok(pairs);
            }
            self.stage(ready, &mut pairs)?;
            if ends {
                self.end_shot(&mut pairs)?;
            } else {
                pairs.extend(self.inpainter.settle()?);
            }
            ready = self.estimator.more()?;
        }
    }

    /// Draws what has been seen of the shot far enough ahead.
    fn stage(
        &mut self,
        ready: Vec<(Frame, Plane)>,
        pairs: &mut Vec<StereoPair>,
    ) -> Result<(), Error> {
        let in_windows = self.estimator.looks_ahead_in_windows();
        let ahead = if self.run.looks_ahead() { LOOKAHEAD } else { 1 };
        for (frame, depth) in ready {
            self.look(&depth)?;
            let begins = self.estimator.begins_shot(frame.pts);
            if begins.unwrap_or_else(|| self.shots.begins(&frame)) {
                self.end_shot(pairs)?;
            }
            self.inpainter.look(&frame, &depth)?;
            self.waiting.push_back((frame, depth));
            if !in_windows && self.waiting.len() >= ahead {
                self.draw(pairs)?;
            }
        }
        if in_windows {
            while self.draw(pairs)? {}
            // What is left lies after the clip.
            self.waiting.clear();
        }
        Ok(())
    }

    /// Draws what waits and closes the shot.
    fn end_shot(&mut self, pairs: &mut Vec<StereoPair>) -> Result<(), Error> {
        while self.draw(pairs)? {}
        pairs.extend(self.inpainter.end_shot()?);
        if let Some(shot) = self.stager.end_shot() {
            self.run.watch.tell_shot(&shot);
        }
        self.shot_begins = self.passed;
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
        let in_shot = (self.passed - self.shot_begins) as usize;
        self.passed += 1;
        if self.before > 0 {
            self.before -= 1;
            self.stager.uncount();
            return Ok(true);
        }
        self.owed -= 1;
        let shot_begins = self.shot_begins as i64 - self.led_in as i64;
        let at = Placed { stand, in_shot, shot_begins };
        pairs.extend(self.inpainter.draw(frame, &depth, &at)?);
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

impl<D: DepthEstimator, I: Inpainter> Session for StereoSession<D, I> {
    fn lead_in(&mut self, frame: Frame) -> Result<(), Error> {
        self.before += 1;
        self.led_in += 1;
        self.accept(&frame)?;
        let ready = self.estimator.lead_in(frame)?;
        self.render(ready).map(|_| ())
    }

    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        self.owed += 1;
        self.accept(&frame)?;
        let ready = self.estimator.push(frame)?;
        self.render(ready)
    }

    fn lead_out(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        self.accept(&frame)?;
        let ready = self.estimator.lead_out(frame)?;
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
