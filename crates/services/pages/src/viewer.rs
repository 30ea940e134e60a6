//! What looks at films for the pages.

use std::fmt::Debug;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::Look;

/// A film or a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Frames over time.
    Film,
    /// One frame.
    Picture,
}

/// What a file is, for people and for players.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// A film or a picture.
    pub kind: Kind,
    /// Width in pixels as it is shown, upright.
    pub width_px: u32,
    /// Height in pixels as it is shown, upright.
    pub height_px: u32,
    /// Frames in a second; 0 of a picture.
    pub frames_per_second: f64,
    /// Length, where the headers tell it.
    pub seconds: Option<f64>,
    /// Streams of sound.
    pub sounds: usize,
    /// The pictures' codec, in ffmpeg's words.
    pub codec: String,
    /// Whether browsers are known to play it: H.264 with 8 bits and 4:2:0 in MP4, JPEG, PNG or WebP.
    pub plays_in_browsers: bool,
}

/// Where in a film, from 0 at its beginning to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment(pub f64);

/// A frame as a conversion would give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The picture.
    pub png: Vec<u8>,
    /// The 1st and 99th percentile of parallax in percent of the width; negative is in front of the screen.
    pub parallax_percent: (f32, f32),
}

/// Why a file cannot be looked at, for its owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSeen(pub String);

/// Looks at files. Both calls block, and are made on threads for that.
pub trait Viewer: Debug + Send + Sync {
    /// What `file` is.
    ///
    /// # Errors
    /// When it is neither a film nor a picture that can be converted.
    fn describe(&self, file: &Path, cancel: &CancellationToken) -> Result<Description, NotSeen>;

    /// One frame of `file` as a conversion with `look` would give it. Asked again of the same moment with
    /// another strength, convergence or layout, it answers within a fraction of a second.
    ///
    /// # Errors
    /// Why there is nothing to see. Ends soon once `cancel` is.
    fn draw(
        &self,
        file: &Path,
        moment: Moment,
        look: &Look,
        cancel: &CancellationToken,
    ) -> Result<Drawn, NotSeen>;
}
