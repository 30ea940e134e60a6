//! What every way of making the other eye has in common: frames in, stereo pairs out.

use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parallax_frame::{Frame, FrameRate, VideoFormat};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::staging::LOOKAHEAD;
use crate::{NotFinite, Retry, ShotReport, Staging};

/// What an engine may know of a clip before its first frame.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Format of every frame that will be pushed.
    pub format: Arc<VideoFormat>,
    /// Nominal frame rate, for time constants.
    pub rate: FrameRate,
}

/// The stereo geometry that the viewer asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Range of parallax from the farthest to the nearest depth, in percent of the frame's width;
    /// 0 to 10. (`max_disp` of the reference pipeline is half of this, in pixels.)
    pub disparity_percent: f32,
    /// The normalised depth (0 farthest, 1 nearest) that appears at the screen's distance;
    /// 0 to 1.
    pub convergence: f32,
}

impl Default for Geometry {
    fn default() -> Self {
        Self { disparity_percent: 2.0, convergence: 0.5 }
    }
}

impl Geometry {
    /// # Errors
    /// `Unsupported` naming the field, what was found and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let fields = [
            ("disparity_percent", self.disparity_percent, 10.0),
            ("convergence", self.convergence, 1.0),
        ];
        for (name, found, max) in fields {
            if !(0.0..=max).contains(&found) {
                return Err(Error::Unsupported(format!("{name} {found}: allowed is 0 to {max}")));
            }
        }
        Ok(())
    }

    /// Disparity, in pixels at `width_px`, of normalised `depth`; positive is in front of the
    /// screen and moves the right-eye sample left.
    pub fn disparity_px(&self, depth: f32, width_px: f32) -> f32 {
        (depth - self.convergence) * self.disparity_percent / 100.0 * width_px
    }
}

/// Which eyes are drawn; the other one is the source, sample for sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eyes {
    /// The right eye carries the whole parallax.
    #[default]
    Right,
    /// The left eye does: the source is the right eye.
    Left,
    /// Each eye carries half of it, and half of the holes.
    Both,
}

/// How pixels are taken to the other eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warping {
    /// Rows as surfaces, of which the nearest wins: [`crate::Warp`].
    #[default]
    Surface,
    /// As the published pipeline scatters them, in R'G'B', with its losses: [`crate::reference`]. Where
    /// nothing falls, the fill of the surface shows.
    Reference,
}

/// What hides in the holes that moved foreground uncovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing: holes are black, as the published pipeline hands them on.
    Black,
    /// The background's last sample, drawn across the hole: fastest, and streaks.
    Stretch,
    /// The background mirrored at the edge of the hole.
    Mirror,
    /// The background around the hole, running on along its own edges.
    #[default]
    Continue,
    /// The background around the hole, blurred more the farther it is.
    Smooth,
    /// What other frames of the shot saw there, if the camera stands still, and else as
    /// [`Fill::Continue`].
    Temporal,
}

/// How pairs are drawn from depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Rendering {
    /// Which eyes are drawn.
    pub eyes: Eyes,
    /// How pixels are taken there.
    pub warping: Warping,
    /// What holes are filled with.
    pub fill: Fill,
    /// In place of the right eye, its depth as a grey picture: white is nearest.
    pub depth_picture: bool,
}

/// What one run is given besides its frames.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Stereo geometry.
    pub geometry: Geometry,
    /// How pairs are drawn.
    pub rendering: Rendering,
    /// What is decided shot by shot.
    pub staging: Staging,
    /// Seed of every random choice: the same seed and frames give the same pairs.
    pub seed: u64,
    /// An existing folder for what does not fit in memory. Defaults to the system's temporary one.
    pub scratch: Option<PathBuf>,
    /// Told how far each stage is.
    pub watch: Watch,
    /// Checked between frames and, in long work, between steps.
    pub cancel: CancellationToken,
}

impl Run {
    /// Whether frames must wait for those after them in their shot.
    pub fn looks_ahead(&self) -> bool {
        self.staging.looks_ahead() || self.rendering.fill == Fill::Temporal
    }

    /// What is decided shot by shot depends on this much of the film around a clip, whatever makes the
    /// depth.
    pub fn reach(&self) -> Reach {
        if !self.looks_ahead() {
            return Reach::default();
        }
        Reach { back: SHOT, within_shot: true, ahead: LOOKAHEAD - 1 }
    }
}

/// Of longer shots the last so many seconds count. Convergence has forgotten all but a thousandth of
/// what came before; a hole may be filled differently if what is behind it was seen only then.
const SHOT: Duration = Duration::from_secs(30);

/// How much of the film around a clip its pairs depend on, so that they join those of the clips before
/// and after it without a seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// How far back from the clip's first frame, at most.
    pub back: Duration,
    /// Whether nothing counts that lies before the beginning of the shot that the first frame is in.
    pub within_shot: bool,
    /// Frames after the clip's last.
    pub ahead: usize,
}

/// A part of an engine's work that a person can make sense of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Estimating depth.
    Depth,
    /// Moving pixels to the other eye.
    Warp,
    /// Inventing what the first eye did not see.
    Inpaint,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Depth => "depth",
            Stage::Warp => "warp",
            Stage::Inpaint => "inpaint",
        })
    }
}

/// Somebody who is told of progress within an engine, or nobody.
#[derive(Clone, Default)]
pub struct Watch {
    frames: Option<Arc<FrameObserver>>,
    again: Option<Arc<RetryObserver>>,
    shots: Option<Arc<ShotObserver>>,
}

type FrameObserver = dyn Fn(Stage, u64) + Send + Sync;
type RetryObserver = dyn Fn(&Retry) + Send + Sync;
type ShotObserver = dyn Fn(&ShotReport) + Send + Sync;

impl Watch {
    /// Has `observer` told how many of the clip's frames a stage has done, whenever that changes. It
    /// must return quickly.
    pub fn new(observer: impl Fn(Stage, u64) + Send + Sync + 'static) -> Self {
        Self { frames: Some(Arc::new(observer)), ..Self::default() }
    }

    /// Has `observer` told, too, whenever a piece of work is done again, and why.
    #[must_use]
    pub fn with_retries(mut self, observer: impl Fn(&Retry) + Send + Sync + 'static) -> Self {
        self.again = Some(Arc::new(observer));
        self
    }

    /// Has `observer` told of every shot, once it is over. It must return quickly.
    #[must_use]
    pub fn with_shots(mut self, observer: impl Fn(&ShotReport) + Send + Sync + 'static) -> Self {
        self.shots = Some(Arc::new(observer));
        self
    }

    /// `frames` of the clip have passed `stage`.
    pub fn tell(&self, stage: Stage, frames: u64) {
        if let Some(observer) = &self.frames {
            observer(stage, frames);
        }
    }

    /// A piece of work is done again.
    pub fn tell_retry(&self, retry: &Retry) {
        if let Some(observer) = &self.again {
            observer(retry);
        }
    }

    /// A shot is over.
    pub fn tell_shot(&self, shot: &ShotReport) {
        if let Some(observer) = &self.shots {
            observer(shot);
        }
    }
}

impl Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let somebody = self.frames.is_some() || self.again.is_some() || self.shots.is_some();
        f.write_str(if somebody { "Watch(somebody)" } else { "Watch(nobody)" })
    }
}

/// Two views of one moment. Both have the clip's format and the source frame's time.
#[derive(Debug, Clone)]
pub struct StereoPair {
    /// The left eye: the source frame itself, sample for sample, unless the engine says otherwise.
    pub left: Frame,
    /// The right eye.
    pub right: Frame,
}

/// Why an engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run's token was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The clip or an option is outside what the engine can do; asking again will not help.
    #[error("{0}")]
    Unsupported(String),
    /// Something failed that may work another time (memory, a device).
    #[error("{0}")]
    Failed(String),
    /// What was computed are no numbers, in the widest type too: asking again gives the same.
    #[error("{what}; {advice}")]
    NotFinite {
        /// What was found, and where.
        what: NotFinite,
        /// What to do.
        advice: String,
    },
}

/// A way of making stereo pairs. Cheap to share; each clip gets a [`Session`] of its own.
pub trait Engine: Debug + Send + Sync {
    /// The name a user selects it by.
    fn name(&self) -> &'static str;

    /// Starts on a clip.
    ///
    /// # Errors
    /// `Unsupported` when the clip or the geometry cannot be served.
    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error>;

    /// What a clip's pairs depend on besides the clip in such a run. Defaults to nothing.
    ///
    /// Whatever an engine remembers within a shot must have faded where this ends.
    fn reach(&self, _run: &Run) -> Reach {
        Reach::default()
    }
}

/// One clip in progress. Pairs come out in the order of the frames, one for each, and may lag.
pub trait Session: Send {
    /// Takes a frame from right before the clip, of the clip's format and in order, before the
    /// first [`Session::push`]: it is remembered as one of the clip's would be, and gives no pair.
    /// Defaults to forgetting it.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn lead_in(&mut self, _frame: Frame) -> Result<(), Error> {
        Ok(())
    }

    /// Takes the next frame and returns the pairs that are ready.
    ///
    /// # Errors
    /// After an error the session is of no further use.
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error>;

    /// Takes a frame from right after the clip, of the clip's format and in order, after the last
    /// [`Session::push`]: the clip's last frames may look ahead to it, and it gives no pair. Returns the
    /// clip's pairs that are ready. Defaults to ignoring it.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn lead_out(&mut self, _frame: Frame) -> Result<Vec<StereoPair>, Error> {
        Ok(Vec::new())
    }

    /// Ends the clip and returns pairs that remain, as many as are ready together. Called again until
    /// it returns none: an engine that can only begin at the end need not hold all pairs at once.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn finish(&mut self) -> Result<Vec<StereoPair>, Error>;
}
