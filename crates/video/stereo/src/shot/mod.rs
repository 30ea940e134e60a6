//! Where a shot's depth stands relative to the screen, decided shot by shot.
//!
//! A shot's convergence is settled by its first frames and then follows slowly, so that nothing jumps
//! but at cuts; black bars at the sides (a floating window) open before something in front of the screen
//! crosses the frame's edge and close slowly after it. Both look ahead by the frames that wait and no
//! further, and depend on nothing else. What a shot amounts to is measured as it goes by.

mod comfort;
mod histogram;
mod meter;
mod options;
mod placing;
mod window;

use std::sync::Arc;

use parallax_frame::VideoFormat;

pub use self::comfort::Comfort;
pub use self::meter::ShotReport;
pub(crate) use self::options::LOOKAHEAD;
pub use self::options::Staging;
pub use self::window::Bars;

use self::histogram::Histogram;
use self::meter::Meter;
use self::placing::Placing;
use self::window::Edges;
use crate::{Clip, Error, Eyes, Geometry, Plane, Rendering, Run};

/// The share of a shot's range of depth that automatic convergence puts in front of the screen: as much
/// as the limits of comfort do.
const IN_FRONT: f32 = 1.0 / 3.0;
/// Seconds over which convergence follows a change within a shot.
const FOLLOW_SECONDS: f32 = 4.0;
/// The share of depth at either end that does not count.
const OUTSIDE: f32 = 0.01;

/// Where one frame stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stand {
    /// The depth that appears at the screen.
    pub convergence: f32,
    /// What is black at the sides.
    pub bars: Bars,
}

/// Decides where the frames of a clip stand, and measures them.
///
/// # Example
/// By default what is told of a shot is all that happens; a stager that follows the film moves the screen:
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_frame::FrameRate;
/// use parallax_stereo::{Clip, Plane, Run, Stager};
/// # use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
/// # let pixels = PixelFormat::new(Chroma::Yuv420, 8)?;
/// # let format = Arc::new(VideoFormat { width: 64, height: 48, pixels, colour: Colour::default() });
///
/// let clip = Clip { format, rate: FrameRate { num: 25, den: 1 } };
/// let run = Run::default();
/// let mut stager = Stager::new(&clip, &run)?;
/// let depth = Plane::from_fn(64, 48, |x, _| x as f32 / 63.0);
/// for _ in 0..5 {
///     let stand = stager.next([&depth].into_iter()).ok_or("there is a frame")?;
///     assert_eq!(stand.convergence, run.geometry.convergence);
/// }
/// let report = stager.end_shot().ok_or("there were frames")?;
/// assert_eq!(report.frames, 5);
/// assert!(stager.end_shot().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stager {
    staging: Staging,
    geometry: Geometry,
    eyes: Eyes,
    format: Arc<VideoFormat>,
    seconds_per_frame: f32,
    /// Frames of the shots before this one.
    before: u64,
    meter: Meter,
    /// The last frame's stand, within a shot.
    last: Option<Stand>,
}

impl Stager {
    /// A stager at the beginning of a clip.
    ///
    /// # Errors
    /// `Unsupported` when geometry or staging are out of range.
    pub fn new(clip: &Clip, run: &Run) -> Result<Self, Error> {
        run.geometry.validate()?;
        run.staging.validate()?;
        let fps = clip.rate.fps();
        let fps = if fps.is_finite() { fps.clamp(1.0, 240.0) } else { 25.0 };
        let Rendering { eyes, .. } = run.rendering;
        Ok(Self {
            staging: run.staging,
            geometry: run.geometry,
            eyes,
            format: Arc::clone(&clip.format),
            seconds_per_frame: 1.0 / fps as f32,
            before: 0,
            meter: Meter::default(),
            last: None,
        })
    }

    /// The next frame of the shot, whose depth is the first of `ahead`; those after it are the frames of
    /// the shot that are known already. `None` without any.
    pub fn next<'a>(&mut self, ahead: impl Iterator<Item = &'a Plane> + Clone) -> Option<Stand> {
        let depth = ahead.clone().next()?;
        let histogram = Histogram::of([depth]);
        let convergence = self.convergence(&histogram, ahead.clone());
        let geometry = Geometry { convergence, ..self.geometry };
        let placing = self.placing(geometry);
        self.meter.add(&histogram, |depth| -placing.disparity(depth, 100.0));
        let bars = self.bars(geometry, ahead);
        let stand = Stand { convergence, bars };
        self.last = Some(stand);
        Some(stand)
    }

    /// The frames of this shot so far lie before the clip: they are not part of what the shot amounts to.
    pub fn uncount(&mut self) {
        self.meter = Meter::default();
    }

    /// Ends the shot and tells what it was; `None` when it had no frames.
    pub fn end_shot(&mut self) -> Option<ShotReport> {
        self.last = None;
        let report = std::mem::take(&mut self.meter).report(self.before)?;
        self.before += report.frames;
        Some(report)
    }

    fn convergence<'a>(&self, current: &Histogram, ahead: impl Iterator<Item = &'a Plane>) -> f32 {
        if !self.staging.auto_convergence {
            return self.geometry.convergence;
        }
        let target = |histogram: &Histogram| {
            let (far, near) = (histogram.percentile(OUTSIDE), histogram.percentile(1.0 - OUTSIDE));
            near - (near - far) * IN_FRONT
        };
        match self.last {
            None => target(&Histogram::of(ahead)),
            Some(last) => {
                let follow = 1.0 - (-self.seconds_per_frame / FOLLOW_SECONDS).exp();
                last.convergence + (target(current) - last.convergence) * follow
            }
        }
    }

    fn placing(&self, geometry: Geometry) -> Placing {
        Placing { geometry, comfort: self.staging.comfort }
    }

    fn bars<'a>(&self, geometry: Geometry, ahead: impl Iterator<Item = &'a Plane>) -> Bars {
        if !self.staging.floating_window {
            return Bars::default();
        }
        let edges = Edges {
            width: self.format.width as f32,
            eyes: self.eyes,
            placing: self.placing(geometry),
        };
        let target = ahead.map(|depth| edges.bars(depth)).fold(Bars::default(), Bars::widest);
        match self.last {
            None => target,
            Some(last) => last.bars.towards(target, self.seconds_per_frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Colour, FrameRate, PixelFormat};

    fn stager(staging: Staging) -> Stager {
        let format = VideoFormat {
            width: 200,
            height: 20,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        };
        let clip = Clip { format: Arc::new(format), rate: FrameRate { num: 25, den: 1 } };
        let geometry = Geometry { disparity_percent: 6.0, convergence: 0.2 };
        Stager::new(&clip, &Run { geometry, staging, ..Run::default() }).unwrap()
    }

    /// A wall at 0.1 and a card at `near` over a fifth of the picture, from column `left` on.
    fn card(near: f32, left: usize) -> Plane {
        Plane::from_fn(200, 20, |x, _| if (left..left + 40).contains(&x) { near } else { 0.1 })
    }

    #[test]
    fn automatic_convergence_puts_a_third_of_the_range_in_front() {
        let mut stager = stager(Staging { auto_convergence: true, ..Staging::default() });
        let depth = card(0.7, 60);
        let stand = stager.next([&depth].into_iter()).unwrap();
        assert!((stand.convergence - 0.5).abs() < 0.002, "{stand:?}");
        let report = stager.end_shot().unwrap();
        let (near, far) = (report.parallax_percent.0, report.parallax_percent.1);
        assert!((near + 1.2).abs() < 0.02 && (far - 2.4).abs() < 0.02, "{report:?}");
    }

    #[test]
    fn convergence_jumps_at_cuts_only_and_then_follows_slowly() {
        let mut stager = stager(Staging { auto_convergence: true, ..Staging::default() });
        let (low, high) = (card(0.4, 60), card(0.9, 60));
        let first = stager.next([&low].into_iter()).unwrap().convergence;
        let mut last = first;
        for _ in 0..200 {
            let next = stager.next([&high].into_iter()).unwrap().convergence;
            assert!((0.0..0.004).contains(&(next - last)), "{last} to {next}");
            last = next;
        }
        assert!(last > first + 0.25, "it arrives in the end: {last}");
        assert_eq!(stager.end_shot().unwrap().frames, 201);
        let cut = stager.next([&low].into_iter()).unwrap().convergence;
        assert_eq!(cut, first);
        assert_eq!(stager.end_shot().unwrap().first_frame, 201);
    }

    #[test]
    fn a_shot_is_settled_by_all_that_waits() {
        let mut stager = stager(Staging { auto_convergence: true, ..Staging::default() });
        let (wall, seen) = (Plane::filled(200, 20, 0.1), card(0.7, 60));
        // The card comes with the second frame, and covers a tenth of what is known.
        let stand = stager.next([&wall, &seen].into_iter()).unwrap();
        assert!((stand.convergence - 0.5).abs() < 0.002, "{stand:?}");
    }

    #[test]
    fn bars_open_before_the_crossing_and_close_slowly() {
        let mut stager = stager(Staging { floating_window: true, ..Staging::default() });
        let (inside, crossing) = (card(0.7, 60), card(0.7, 0));
        assert_eq!(stager.next([&inside].into_iter()).unwrap().bars, Bars::default());
        // Half of six percent of 200 columns.
        let full = 6.0;
        let mut open = 0.0;
        for _ in 0..LOOKAHEAD {
            let bars = stager.next([&inside, &crossing].into_iter()).unwrap().bars;
            assert!(bars.left_px > open && bars.right_px == 0.0, "{bars:?}");
            open = bars.left_px;
        }
        assert!((0.8 * full..=full).contains(&open), "{open}");
        let bars = stager.next([&inside].into_iter()).unwrap().bars;
        assert!(bars.left_px < open && bars.left_px > 0.9 * open, "{bars:?}");
        stager.end_shot();
        let bars = stager.next([&crossing].into_iter()).unwrap().bars;
        assert!((bars.left_px - full).abs() < 1e-3, "at once after a cut: {bars:?}");
    }

    #[test]
    fn a_clip_without_frames_has_no_shots() {
        let mut stager = stager(Staging::default());
        assert_eq!(stager.next(std::iter::empty()), None);
        assert_eq!(stager.end_shot(), None);
    }
}
