//! Analyses that were kept, read again, and the frames in them that are like a picture.
//!
//! A plain scan over the vectors: every frame is compared, so nothing is missed, and there is no index that could be
//! stale or lost. Vectors of different models, or of different weights, are never compared.

use serde::{Deserialize, Serialize};

use crate::clusters::Clusters;
use crate::keeper::Shot;
use crate::record::FORMAT;
use crate::vectors;

/// What is answered to words: the network knows pictures.
pub const NO_WORDS: &str = "Text embedding not supported. Use VLM for text understanding.";
/// Bytes of one analysis: 3000 frames of the widest vectors have less than 200 MB.
pub const MOST_BYTES: u64 = 512 << 20;

/// What made vectors: only what is equal here can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Maker {
    /// The model, by the name of `parallax weights fetch`.
    pub model: String,
    /// A digest of its weights.
    pub revision: String,
}

impl std::fmt::Display for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with the weights {}", self.model, self.revision)
    }
}

/// A frame of an analysis.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredFrame {
    /// Its number in the film.
    pub source_frame: u64,
    /// Seconds after the film's first frame.
    pub timestamp: f64,
}

/// An analysis that was kept, as far as it is read again.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The film.
    pub film: String,
    /// The analysis's own name.
    pub video_id: String,
    /// What made its vectors.
    pub maker: Maker,
    /// The frames, in order.
    pub frames: Vec<StoredFrame>,
    /// Their vectors at unit length.
    pub vectors: Vec<Vec<f32>>,
    /// Where shots begin.
    pub shots: Vec<Shot>,
    /// Which frames look alike.
    pub clusters: Clusters,
}

/// A frame that was found.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Hit {
    /// The film.
    pub film: String,
    /// The analysis.
    pub video_id: String,
    /// The frame's number among those that were looked at.
    pub frame_idx: usize,
    /// Its number in the film.
    pub source_frame: u64,
    /// Seconds after the film's first frame.
    pub timestamp: f64,
    /// Cosine of the vectors, -1 to 1.
    pub similarity: f64,
}

#[derive(Deserialize)]
struct Head {
    format: String,
}

#[derive(Deserialize)]
struct Body {
    film: String,
    video_id: String,
    models: Levels,
    frame_details: Vec<StoredFrame>,
    frame_embeddings: Vec<Vec<f32>>,
    shots: Vec<Shot>,
    clusters: Clusters,
}

#[derive(Deserialize)]
struct Levels {
    level1_global: Maker,
}

impl Stored {
    /// Reads an analysis from its JSON; `None` when it is none of ours.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, String> {
        let Ok(Head { format }) = serde_json::from_slice(bytes) else { return Ok(None) };
        if format != FORMAT {
            let other = format.starts_with("parallax-perception/");
            let known = format!("format {format:?}; this version reads {FORMAT}");
            return if other { Err(known) } else { Ok(None) };
        }
        let body: Body = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let (frames, vectors) = (body.frame_details, body.frame_embeddings);
        let width = vectors.first().map_or(0, Vec::len);
        let whole = frames.len() == vectors.len() && body.clusters.of_frames.len() == frames.len();
        let even = width > 0 && vectors.iter().all(|vector| vector.len() == width);
        if !whole || !even || !vectors.iter().flatten().all(|x| x.is_finite()) {
            return Err("its frames and its vectors do not go together".to_owned());
        }
        Ok(Some(Self {
            film: body.film,
            video_id: body.video_id,
            maker: body.models.level1_global,
            frames,
            vectors,
            shots: body.shots,
            clusters: body.clusters,
        }))
    }

    /// The number of the frame that was looked at last up to `seconds`; the first where that is before it.
    pub fn frame_at(&self, seconds: f64) -> usize {
        self.frames.partition_point(|frame| frame.timestamp <= seconds).saturating_sub(1)
    }
}

/// The `most` frames whose vectors are most like `query`, best first; those that are as like in the order of films
/// and times. Analyses that `maker` did not make are passed over.
pub fn search<'a>(
    (query, maker): (&[f32], &Maker),
    stored: impl IntoIterator<Item = &'a Stored>,
    most: usize,
) -> Vec<Hit> {
    let mut hits = Vec::new();
    for of in stored.into_iter().filter(|stored| stored.maker == *maker) {
        for (frame_idx, (frame, vector)) in of.frames.iter().zip(&of.vectors).enumerate() {
            if let Some(similarity) = vectors::cosine(query, vector) {
                hits.push((similarity, of, frame_idx, frame));
            }
        }
    }
    // The sort is stable, and the films came in their order.
    hits.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    let hit = |(similarity, of, frame_idx, frame): (f64, &Stored, usize, &StoredFrame)| Hit {
        film: of.film.clone(),
        video_id: of.video_id.clone(),
        frame_idx,
        source_frame: frame.source_frame,
        timestamp: frame.timestamp,
        similarity,
    };
    hits.into_iter().take(most).map(hit).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(film: &str, revision: &str, vectors: &[[f32; 2]]) -> Value {
        let frames = (0..vectors.len())
            .map(|i| json!({"source_frame": 10 * i, "timestamp": i as f64 / 2.0, "frame_idx": i}));
        json!({
            "format": FORMAT, "film": film, "video_id": "0123abcd", "shots": [],
            "models": {"level1_global": {"model": "m", "revision": revision, "method": "x"}},
            "frame_details": frames.collect::<Vec<_>>(), "frame_embeddings": vectors,
            "clusters": {"method": "x", "of_frames": vec![0; vectors.len()], "count": 1},
        })
    }

    fn read(value: &Value) -> Result<Option<Stored>, String> {
        Stored::read(value.to_string().as_bytes())
    }

    #[test]
    fn the_likest_frames_come_first_and_of_one_maker_only() {
        let one = read(&record("a", "r", &[[1.0, 0.0], [0.6, 0.8]])).unwrap().unwrap();
        let two = read(&record("b", "r", &[[0.0, 1.0], [0.6, 0.8]])).unwrap().unwrap();
        let other = read(&record("c", "s", &[[0.6, 0.8]])).unwrap().unwrap();
        let maker = one.maker.clone();
        let hits = search((&[0.6, 0.8], &maker), [&one, &two, &other], 3);
        let places: Vec<(&str, usize)> =
            hits.iter().map(|hit| (hit.film.as_str(), hit.frame_idx)).collect();
        assert_eq!(places, [("a", 1), ("b", 1), ("b", 0)]);
        assert!((hits[0].similarity - 1.0).abs() < 1e-6 && (hits[2].similarity - 0.8).abs() < 1e-6);
        assert_eq!((hits[1].timestamp, hits[1].source_frame), (0.5, 10));
        // Of vectors of another width nothing is said.
        assert!(search((&[1.0], &maker), [&one], 3).is_empty());
    }

    #[test]
    fn a_moment_shows_the_frame_before_it() {
        let stored = read(&record("a", "r", &[[1.0, 0.0]; 3])).unwrap().unwrap();
        for (seconds, frame) in [(-1.0, 0), (0.0, 0), (0.49, 0), (0.5, 1), (0.7, 1), (9.0, 2)] {
            assert_eq!(stored.frame_at(seconds), frame, "{seconds}");
        }
    }

    #[test]
    fn what_is_no_analysis_is_passed_over_and_a_broken_one_is_told() {
        for none in ["", "{}", "[1]", r#"{"format": "something/1"}"#, "\u{0}"] {
            assert_eq!(Stored::read(none.as_bytes()), Ok(None), "{none}");
        }
        let good = record("a", "r", &[[1.0, 0.0], [0.0, 1.0]]);
        assert!(read(&good).unwrap().is_some());
        for (field, value) in [
            ("format", json!("parallax-perception/2")),
            ("frame_embeddings", json!([[1.0, 0.0]])),
            ("frame_embeddings", json!([[1.0, 0.0], [1.0]])),
            ("frame_embeddings", json!([[], []])),
            ("frame_embeddings", json!([[1.0, 0.0], [1e39, 0.0]])),
            ("clusters", json!({"method": "x", "of_frames": [0], "count": 1})),
            ("shots", json!(null)),
            ("models", json!({"level1_global": null})),
        ] {
            let mut broken = good.clone();
            broken[field] = value.clone();
            assert!(read(&broken).is_err(), "{field}: {value}");
        }
    }
}
