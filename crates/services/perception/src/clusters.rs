//! Frames that look alike, whenever they are shown: plain clustering of their vectors.
//!
//! Leader clustering (Hartigan, Clustering Algorithms, 1975, chapter 3): each frame, in order, joins the cluster whose
//! mean it is most like, if it is like it enough, or else begins one. One pass, no chance in it, and no number of
//! clusters to be guessed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vectors;

/// How like the mean of a cluster a frame must be to join it: cosine.
const LIKE: f64 = 0.8;
/// Clusters of one film: with more, a frame joins the one that it is most like, whatever that is.
const MOST: usize = 200;

/// Which frames look alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clusters {
    /// How they were made.
    pub method: String,
    /// Of each frame that was looked at the number of its cluster, counted from 0 in the order in which they begin.
    pub of_frames: Vec<usize>,
    /// Clusters.
    pub count: usize,
}

impl Clusters {
    /// Of vectors at unit length and of one width, in the order of their frames.
    pub fn of<'a>(frames: impl IntoIterator<Item = &'a [f32]>) -> Self {
        // The sums of the clusters' vectors, of which the direction counts.
        let (mut sums, mut of_frames) = (Vec::<Vec<f32>>::new(), Vec::new());
        for frame in frames {
            let like = |sum: &Vec<f32>| vectors::cosine(sum, frame).unwrap_or(-1.0);
            let likest = sums.iter().map(like).enumerate();
            // Of two that are as like, the first.
            let likest = likest.fold(None, |best: Option<(usize, f64)>, (at, like)| match best {
                Some((_, most)) if most >= like => best,
                _ => Some((at, like)),
            });
            match likest.filter(|&(_, like)| like >= LIKE || sums.len() == MOST) {
                Some((at, _)) => {
                    sums[at].iter_mut().zip(frame).for_each(|(sum, x)| *sum += x);
                    of_frames.push(at);
                }
                None => {
                    of_frames.push(sums.len());
                    sums.push(frame.to_vec());
                }
            }
        }
        let method = format!("leader clustering, cosine of at least {LIKE} with the mean");
        Self { method, of_frames, count: sums.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(frames: &[Vec<f32>]) -> Vec<usize> {
        Clusters::of(frames.iter().map(Vec::as_slice)).of_frames
    }

    #[test]
    fn what_comes_again_is_found_again() {
        let (a, b) = (vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]);
        let like_a = vectors::unit(&[1.0, 0.3, 0.0]);
        assert_eq!(of(&[a.clone(), b.clone(), like_a, b, a]), [0, 1, 0, 1, 0]);
        assert_eq!(Clusters::of([]).count, 0);
    }

    #[test]
    fn a_frame_joins_what_it_is_most_like_and_only_what_it_is_like() {
        let at = |degrees: f32| vec![degrees.to_radians().cos(), degrees.to_radians().sin()];
        // The cosine of 36.87 degrees is 0.8.
        assert_eq!(of(&[at(0.0), at(36.0)]), [0, 0]);
        assert_eq!(of(&[at(0.0), at(38.0)]), [0, 1]);
        // Between two it is the nearer one, not the first.
        assert_eq!(of(&[at(0.0), at(60.0), at(35.0)]), [0, 1, 1]);
        // The mean moves with those that join.
        assert_eq!(of(&[at(0.0), at(30.0), at(50.0)]), [0, 0, 0]);
    }

    #[test]
    fn clusters_are_bounded() {
        let frames: Vec<Vec<f32>> = (0..MOST + 50)
            .map(|i| (0..MOST + 50).map(|k| if i == k { 1.0 } else { 0.0 }).collect())
            .collect();
        assert_eq!(Clusters::of(frames.iter().map(Vec::as_slice)).count, MOST);
    }
}
