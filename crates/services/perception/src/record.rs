//! An analysis as it is kept: what was answered, with the vectors of all frames, shots and frames that look alike.

use parallax_serving::Failure;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::analysis::{Analysis, Asked, Parts, SQUASHED, maker};
use crate::clusters::Clusters;
use crate::embedder::Choosable;
use crate::film::{Look, Looks};
use crate::keeper::{Kept, Shot};

/// What an analysis that was kept begins with; another shape will have another number.
pub(crate) const FORMAT: &str = "parallax-perception/1";
/// How shots are found.
pub(crate) const SHOTS: &str =
    "change of the picture between neighbouring frames that motion does not explain";

/// An analysis as it is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Record {
    /// Always `parallax-perception/1`.
    format: &'static str,
    /// The film or picture, as it was named.
    pub film: String,
    /// Seconds from the first frame to the last; 0 of a picture.
    pub seconds: f64,
    /// The shots, in order; none of a picture.
    pub shots: Vec<Shot>,
    /// How they were found.
    shots_method: &'static str,
    /// Frames that look alike.
    pub clusters: Clusters,
    #[serde(flatten)]
    pub(crate) analysis: Analysis,
}

/// What is kept of a film besides its looks.
#[derive(Debug)]
pub struct Of<'a> {
    /// As it is named.
    pub name: &'a str,
    /// What tells it from others: a digest, or an address.
    pub source: &'a serde_json::Value,
    /// What looked at it.
    pub model: &'a Choosable,
}

impl Record {
    /// Of a film that was looked at `fps` frames a second.
    pub fn of_film(of: &Of<'_>, fps: f64, looks: &Looks, kept: Kept) -> Self {
        let asked = Asked { embeddings: true, details: true };
        let identity = asked.identity(of.source, fps);
        let analysis = Analysis::of_film(identity, asked, looks, of.model);
        Self::new(of.name, kept, &looks.frames, analysis)
    }

    /// Of a picture of `size`, width and height, whose class token is `class`.
    pub fn of_picture(of: &Of<'_>, class: Vec<f32>, size: (usize, usize)) -> Self {
        let frames = [Look { source_frame: 0, seconds: 0.0, class }];
        let analysis = Analysis::of(Parts {
            identity: json!([of.source]),
            frames: &frames,
            size,
            details: true,
            embeddings: true,
            dense: None,
            source_fps: None,
            damage: Vec::new(),
            made: &maker(of.model),
            method: SQUASHED,
        });
        Self::new(of.name, Kept { shots: Vec::new(), end: 0.0 }, &frames, analysis)
    }

    fn new(name: &str, kept: Kept, frames: &[Look], analysis: Analysis) -> Self {
        Self {
            format: FORMAT,
            film: name.to_owned(),
            seconds: kept.end,
            shots: kept.shots,
            shots_method: SHOTS,
            clusters: Clusters::of(frames.iter().map(|frame| frame.class.as_slice())),
            analysis,
        }
    }

    /// Frames that were looked at.
    pub fn frames(&self) -> usize {
        self.analysis.num_frames
    }

    /// What was mended of a damaged film, a line each.
    pub fn damage(&self) -> &[String] {
        &self.analysis.damage
    }

    /// The record as JSON. The vectors' numbers are the shortest that read back the same.
    ///
    /// # Errors
    /// `Internal`.
    pub fn json(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(self).map_err(|error| Failure::internal(error.to_string()))
    }
}
