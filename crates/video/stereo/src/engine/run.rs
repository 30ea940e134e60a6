//! What a session is started with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parallax_frame::{FrameRate, VideoFormat};
use tokio_util::sync::CancellationToken;

use super::rendering::{Fill, Geometry, Rendering};
use super::watch::Watch;
use crate::shot::{LOOKAHEAD, Staging};

/// What an engine may know of a clip before its first frame.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Format of every frame that will be pushed.
    pub format: Arc<VideoFormat>,
    /// Nominal frame rate, for time constants.
    pub rate: FrameRate,
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

impl Reach {
    /// Both, for what depends on either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        // What looks back no way at all looks beyond no shot.
        let within = |reach: Self| reach.within_shot || reach.back.is_zero();
        Self {
            back: self.back.max(other.back),
            within_shot: within(self) && within(other) && (self.within_shot || other.within_shot),
            ahead: self.ahead.max(other.ahead),
        }
    }
}
