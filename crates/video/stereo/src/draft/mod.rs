//! The `draft` engine: a stereo preview on any CPU, from classical depth cues.
//!
//! It is a preview and looks like one: depth comes from where things are in the frame and how they
//! move, not from knowing what they are. What stands still and is not on the ground lies where a
//! ground plane would be. The design favours calm over detail: depth is normalised by fixed
//! constants and changes smoothly, because a wrong depth that holds still is watchable and a better
//! one that flickers is not.

mod cues;
mod evidence;
mod guided;
mod track;

use std::collections::VecDeque;
use std::time::Duration;

use parallax_frame::Frame;
use tokio_util::sync::CancellationToken;

use self::track::Track;
use crate::motion::Look;
use crate::{
    Capabilities, Clip, DepthEstimator, DepthModel, DepthSession, Engine, Error, Plane, Reach, Run,
    Session,
};

/// Frames at the start of a shot that are looked at before the first is given out, so that depth
/// does not visibly settle after a cut. The only lag there is.
const LOOKAHEAD: usize = 6;

/// After this nothing of a shot's past is left that anyone sees: foreground that has come to rest
/// stops standing out after about four seconds.
const MEMORY: Duration = Duration::from_secs(5);

/// `draft`: classical depth cues, warped and filled.
///
/// # Example
/// As every [`Engine`](crate::Engine): a session for each clip, frames in, as many pairs out.
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_frame::FrameRate;
/// use parallax_stereo::{Clip, Draft, Engine, Run};
/// # use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
/// # let pixels = PixelFormat::new(Chroma::Yuv420, 8)?;
/// # let format = Arc::new(VideoFormat { width: 64, height: 48, pixels, colour: Colour::default() });
///
/// let clip = Clip { format: format.clone(), rate: FrameRate { num: 25, den: 1 } };
/// let mut session = Draft.start(&clip, &Run::default())?;
/// let mut pairs = Vec::new();
/// for pts in 0..10 {
///     pairs.extend(session.push(Frame::zeroed(format.clone(), pts))?);
/// }
/// loop {
///     let rest = session.finish()?;
///     if rest.is_empty() {
///         break;
///     }
///     pairs.extend(rest);
/// }
/// let times: Vec<i64> = pairs.iter().map(|pair| pair.left.pts).collect();
/// assert_eq!(times, (0..10).collect::<Vec<i64>>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft;

impl Capabilities for Draft {
    fn reach(&self, run: &Run) -> Reach {
        let staged = run.reach();
        // Depth is not looked at before the beginning of the shot either, but finding that costs more
        // than these few seconds.
        if staged == Reach::default() { Reach { back: MEMORY, ..staged } } else { staged }
    }
}

impl Engine for Draft {
    fn name(&self) -> &'static str {
        "draft"
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        let depth = DraftDepth::new(clip, run.cancel.clone());
        Ok(Box::new(DepthSession::new(depth, clip, run)?))
    }
}

impl DepthModel for Draft {
    fn estimator(&self, clip: &Clip, run: &Run) -> Result<Box<dyn DepthEstimator>, Error> {
        Ok(Box::new(DraftDepth::new(clip, run.cancel.clone())))
    }
}

/// The depth estimator of [`Draft`]. Uses no randomness; lags by at most six frames.
#[derive(Debug)]
pub struct DraftDepth {
    seconds_per_frame: f32,
    cancel: CancellationToken,
    /// The opening frames of the shot, while it is shorter than the lookahead.
    opening: VecDeque<(Frame, Look)>,
    /// The last frame's look and everything remembered; `None` while the opening fills.
    track: Option<Track>,
    /// The time of a shot's first frame that was given out last, if one was.
    opened: Option<i64>,
}

impl DraftDepth {
    /// An estimator for one clip.
    pub fn new(clip: &Clip, cancel: CancellationToken) -> Self {
        let fps = clip.rate.fps();
        let fps = if fps.is_finite() { fps.clamp(1.0, 240.0) } else { 25.0 };
        Self {
            seconds_per_frame: 1.0 / fps as f32,
            cancel,
            opening: VecDeque::new(),
            track: None,
            opened: None,
        }
    }

    /// Starts the shot from its opening and gives all of it out.
    fn open(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        let opening: Vec<_> = self.opening.drain(..).collect();
        self.opened = opening.first().map(|(frame, _)| frame.pts);
        let looks: Vec<_> = opening.iter().map(|(_, look)| look).collect();
        let Some(mut track) = Track::start(&looks, self.seconds_per_frame) else {
            return Ok(Vec::new());
        };
        let mut ready = Vec::with_capacity(opening.len());
        for (k, (frame, look)) in opening.into_iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if k > 0 {
                let flow = track.flow_to(&look);
                track.advance(look, &flow, self.seconds_per_frame);
            }
            let depth = track.depth(&frame);
            ready.push((frame, depth));
        }
        self.track = Some(track);
        Ok(ready)
    }
}

impl DepthEstimator for DraftDepth {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        let look = Look::of(&frame);
        if let Some(track) = &mut self.track {
            let flow = track.flow_to(&look);
            if !track.is_cut(&look, &flow) {
                track.advance(look, &flow, self.seconds_per_frame);
                let depth = track.depth(&frame);
                return Ok(vec![(frame, depth)]);
            }
            self.track = None;
        }
        let mut ready = Vec::new();
        if let Some((_, last)) = self.opening.back()
            && look.is_cut_after(last, &look.flow_to(last), 1.0)
        {
            ready = self.open()?;
            self.track = None;
        }
        self.opening.push_back((frame, look));
        if self.opening.len() == LOOKAHEAD {
            ready.extend(self.open()?);
        }
        Ok(ready)
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        self.open()
    }

    fn begins_shot(&self, pts: i64) -> Option<bool> {
        Some(self.opened == Some(pts))
    }
}
