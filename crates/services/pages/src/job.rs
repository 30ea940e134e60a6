//! A conversion in the queue.

use serde::{Deserialize, Serialize};

use crate::look::Look;
use crate::viewer::{Description, Kind};

/// How a conversion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Its turn comes.
    Waiting,
    Converting,
    /// Stopped by its owner; what is done is kept.
    Stopped,
    Failed,
    Done,
}

impl State {
    /// Whether something is still to happen without anybody's doing.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Converting)
    }
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) frames: u64,
    pub(crate) total: u64,
    pub(crate) frames_per_second: Option<f64>,
    pub(crate) eta_seconds: Option<f64>,
}

/// A conversion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// The film's id; the film may be gone once the conversion is done.
    pub(crate) film: String,
    /// The film's name.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) look: Look,
    pub(crate) state: State,
    pub(crate) progress: Progress,
    /// Why it failed, or what its owner should know.
    pub(crate) notes: Vec<String>,
    pub(crate) result: Option<Made>,
    /// When it was asked for, in seconds since 1970.
    pub(crate) asked: u64,
    /// Its place among those that wait: the least is next.
    pub(crate) turn: u64,
}

/// What came of a conversion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// The file's name, in the folder of the job's results.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) description: Description,
    /// The widest parallax of all shots, where shots were measured.
    pub(crate) parallax_percent: Option<(f64, f64)>,
}

impl Job {
    /// Done work, 0 to 100.
    pub(crate) fn percent(&self) -> u64 {
        match (self.state, self.progress) {
            (State::Done, _) => 100,
            (_, Progress { total: 0, .. }) => 0,
            // Joining comes after the last frame.
            (_, Progress { frames, total, .. }) => (frames * 100 / total).min(99),
        }
    }
}
