//! What is answered of films and pictures, in the shape that clients know. What no model here can tell is null.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::captions::{CaptionStats, Captions, DenseCaptions, Told};
use crate::embedder::{Choosable, Made};
use crate::film::{Look, Looks};
use crate::vectors;

/// How the vector of a clip is made.
const CLIP_METHOD: &str = "unit mean of the frames' class tokens at unit length";
/// How a frame is looked at.
pub(crate) const SQUASHED: &str =
    "class token after the last norm, of the whole frame squashed to the published size";

/// What is known of a film, a picture, or frames.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Analysis {
    /// Eight hexadecimal digits that follow from the input and what was asked.
    pub video_id: String,
    /// Frames that were looked at.
    pub num_frames: usize,
    /// One vector for all of it, at unit length.
    pub clip_embedding: Vec<f32>,
    /// How it was made.
    pub clip_embedding_method: &'static str,
    /// Frames, and the width of their vectors.
    pub temporal_features_shape: [usize; 2],
    /// Width of all vectors.
    pub embedding_dim: usize,
    /// Tracks of objects; null: nothing here finds objects.
    pub num_tracks: Option<u64>,
    /// Width and height of the frames that were looked at, before they were made ready for the network.
    pub processing_resolution: [usize; 2],
    /// Of films, what happens, in words; null where that is not asked for, or no model can tell.
    pub captions: Option<Captions>,
    /// What each frame shows, where that is asked for.
    pub dense_captions: Option<DenseCaptions>,
    /// How much was said.
    pub caption_stats: Option<CaptionStats>,
    /// What was done on each level.
    pub level_stats: LevelStats,
    /// Frame by frame, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_details: Option<Vec<FrameDetails>>,
    /// The frames' class tokens at unit length, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_embeddings: Option<Vec<Vec<f32>>>,
    /// A vector for each patch, row by row, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense_embeddings: Option<Vec<Vec<Vec<f32>>>>,
    /// Of films, what their headers say of their rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_fps: Option<f64>,
    /// What was mended of a damaged film.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub damage: Vec<String>,
    /// Which model and method made which level; null for levels that no model here makes.
    pub models: Levels,
}

/// What was done on each level.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LevelStats {
    level1_global: GlobalStats,
    /// Null: nothing here finds objects.
    level2_objects: Option<Value>,
    level3_dense: DenseStats,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GlobalStats {
    frames_processed: usize,
    embedding_dim: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DenseStats {
    /// Frames of which patches' vectors are in the answer.
    frames_with_dense: usize,
    /// Null: without objects there is no graph of them.
    scene_graph_nodes: Option<u64>,
}

/// What made each level.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Levels {
    pub(crate) level1_global: Made,
    level2_objects: Option<Made>,
    level3_dense: Option<Made>,
    captions: Option<Made>,
}

/// One frame.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FrameDetails {
    /// Its number among those that were looked at.
    frame_idx: usize,
    /// Its number in the film.
    pub(crate) source_frame: u64,
    /// Seconds after the film's first frame.
    pub(crate) timestamp: f64,
    /// Null: nothing here finds objects.
    num_objects: Option<u64>,
    /// Whether its patches' vectors are in the answer.
    has_dense: bool,
    frame_width: usize,
    frame_height: usize,
}

/// What an analysis is made of.
pub(crate) struct Parts<'a> {
    /// What the input and the request are told by.
    pub(crate) identity: Value,
    pub(crate) frames: &'a [Look],
    /// Width and height.
    pub(crate) size: (usize, usize),
    pub(crate) details: bool,
    pub(crate) embeddings: bool,
    /// Vectors of patches, and how many there are of them in a row.
    pub(crate) dense: Option<(&'a [f32], usize)>,
    pub(crate) source_fps: Option<f64>,
    pub(crate) damage: Vec<String>,
    pub(crate) made: &'a dyn Fn(&'static str) -> Made,
    pub(crate) method: &'static str,
}

/// What is wanted of a film besides its clip's vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The vectors of the frames.
    pub(crate) embeddings: bool,
    /// What is known of the frames.
    pub(crate) details: bool,
}

impl Asked {
    /// What tells this request from others, of a film that is itself told by `source`.
    pub(crate) fn identity(self, source: &Value, fps: f64) -> Value {
        json!([source, fps, self.embeddings, self.details])
    }
}

impl Analysis {
    /// Of a film that was looked at by `model`.
    pub(crate) fn of_film(identity: Value, asked: Asked, looks: &Looks, model: &Choosable) -> Self {
        Self::of(Parts {
            identity,
            frames: &looks.frames,
            size: looks.size,
            details: asked.details,
            embeddings: asked.embeddings,
            dense: None,
            source_fps: Some(looks.source_fps),
            damage: looks.damage.clone(),
            made: &maker(model),
            method: SQUASHED,
        })
    }

    pub(crate) fn of(parts: Parts<'_>) -> Self {
        let Parts { frames, size: (width, height), dense, .. } = parts;
        let classes = || frames.iter().map(|frame| frame.class.as_slice());
        let clip = vectors::unit_mean(classes()).unwrap_or_default();
        let (n, dim) = (frames.len(), clip.len());
        let details = |(frame_idx, frame): (usize, &Look)| FrameDetails {
            frame_idx,
            source_frame: frame.source_frame,
            timestamp: frame.seconds,
            num_objects: None,
            has_dense: dense.is_some(),
            frame_width: width,
            frame_height: height,
        };
        let rows = |(patches, columns): (&[f32], usize)| -> Vec<Vec<Vec<f32>>> {
            let row = |row: &[f32]| row.chunks_exact(dim.max(1)).map(<[f32]>::to_vec).collect();
            patches.chunks_exact((columns * dim).max(1)).map(row).collect()
        };
        Self {
            video_id: id(&parts.identity),
            num_frames: n,
            clip_embedding: clip,
            clip_embedding_method: CLIP_METHOD,
            temporal_features_shape: [n, dim],
            embedding_dim: dim,
            num_tracks: None,
            processing_resolution: [width, height],
            captions: None,
            caption_stats: None,
            dense_captions: None,
            level_stats: LevelStats {
                level1_global: GlobalStats { frames_processed: n, embedding_dim: dim },
                level2_objects: None,
                level3_dense: DenseStats {
                    frames_with_dense: if dense.is_some() { n } else { 0 },
                    scene_graph_nodes: None,
                },
            },
            frame_details: parts.details.then(|| frames.iter().enumerate().map(details).collect()),
            frame_embeddings: parts.embeddings.then(|| classes().map(vectors::unit).collect()),
            dense_embeddings: dense.map(rows),
            source_fps: parts.source_fps,
            damage: parts.damage,
            models: Levels {
                level1_global: (parts.made)(parts.method),
                level2_objects: None,
                level3_dense: dense.map(|_| (parts.made)("patch tokens after the last norm")),
                captions: None,
            },
        }
    }
}

impl Analysis {
    /// With what `made` told in words, and with each frame's where they are wanted.
    pub(crate) fn tell(&mut self, told: Told, made: Made, dense: bool) {
        self.captions = Some(told.captions);
        self.caption_stats = Some(told.stats);
        self.dense_captions = dense.then_some(told.dense);
        self.models.captions = Some(made);
    }
}

/// A digest of what identifies an input and a request, in hexadecimal digits.
pub(crate) fn digest(identity: &Value) -> String {
    let digest = Sha256::digest(identity.to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Its first eight digits.
pub(crate) fn id(identity: &Value) -> String {
    digest(identity).chars().take(8).collect()
}

/// What made an answer, of a model that is not loaded here.
pub(crate) fn maker(model: &Choosable) -> impl Fn(&'static str) -> Made + '_ {
    |method| model.made(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_made_is_null_and_not_nought() {
        let look = |source_frame, class: &[f32]| Look {
            source_frame,
            seconds: source_frame as f64 / 4.0,
            class: class.to_vec(),
        };
        let frames = [look(0, &[2.0, 0.0]), look(3, &[0.0, 0.5])];
        let made = |method| Made { model: "m".to_owned(), revision: "r".to_owned(), method };
        let parts = |identity: &str| Parts {
            identity: json!(identity),
            frames: &frames,
            size: (64, 48),
            details: true,
            embeddings: true,
            dense: None,
            source_fps: Some(12.0),
            damage: Vec::new(),
            made: &made,
            method: SQUASHED,
        };
        let answer = serde_json::to_value(Analysis::of(parts("a"))).unwrap();
        for null in ["num_tracks", "captions", "dense_captions", "caption_stats"] {
            assert!(answer.get(null).is_some_and(Value::is_null), "{null}");
        }
        assert!(answer["level_stats"]["level2_objects"].is_null());
        assert!(answer["models"]["level2_objects"].is_null());
        assert_eq!(answer["temporal_features_shape"], json!([2, 2]));
        assert_eq!(answer["frame_embeddings"], json!([[1.0, 0.0], [0.0, 1.0]]));
        assert_eq!(answer["frame_details"][1]["timestamp"], 0.75);
        assert_eq!(answer["frame_details"][1]["source_frame"], 3);
        let id = |answer: &Value| answer["video_id"].as_str().unwrap().to_owned();
        assert_eq!(id(&answer).len(), 8);
        let other = serde_json::to_value(Analysis::of(parts("b"))).unwrap();
        assert_ne!(id(&answer), id(&other));
        let again = serde_json::to_value(Analysis::of(parts("a"))).unwrap();
        assert_eq!(answer.to_string(), again.to_string());
    }

    #[test]
    fn patches_come_row_by_row() {
        let frames = [Look { source_frame: 0, seconds: 0.0, class: vec![1.0, 1.0] }];
        let made = |method| Made { model: "m".to_owned(), revision: "r".to_owned(), method };
        let patches: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let answer = Analysis::of(Parts {
            identity: json!(1),
            frames: &frames,
            size: (48, 32),
            details: false,
            embeddings: false,
            dense: Some((&patches, 3)),
            source_fps: None,
            damage: Vec::new(),
            made: &made,
            method: SQUASHED,
        });
        let dense = answer.dense_embeddings.unwrap();
        assert_eq!(dense.len(), 2);
        assert_eq!(dense[1], [[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]);
        assert!(answer.frame_details.is_none());
        assert_eq!(answer.level_stats.level3_dense.frames_with_dense, 1);
    }
}
