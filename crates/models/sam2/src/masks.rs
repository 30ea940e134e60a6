//! Which of the masks of a prompt is taken, and how it comes to a picture's size.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::config::{Decoder, MASKS};

/// The masks of some prompts.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// (B, 4, h, w), f32: positive where the object is. The first is for one that is asked for alone, the
    /// others for three of which the best is taken.
    pub logits: Tensor,
    /// How good each is, 0 to 1.
    pub scores: Vec<Vec<f32>>,
    /// Whether the object is there at all, by prompt: positive if it is.
    pub presence: Vec<f32>,
    /// (B, 4, C): what the masks were made of.
    pub(crate) tokens: Tensor,
}

/// One mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// Row by row: positive where the object is.
    pub logits: Vec<f32>,
    /// Rows and columns.
    pub size: (usize, usize),
    /// Its place among the four, from 0.
    pub index: usize,
    /// How good it is, 0 to 1.
    pub score: f32,
    /// Whether the object is there at all: positive if it is.
    pub presence: f32,
}

impl Candidates {
    /// Those of several groups of prompts.
    pub(crate) fn joined(mut parts: Vec<Self>) -> Result<Self> {
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let joined = |of: fn(&Self) -> &Tensor| {
            let all: Vec<&Tensor> = parts.iter().map(of).collect();
            Tensor::cat(&all, 0)
        };
        Ok(Self {
            logits: joined(|part| &part.logits)?,
            tokens: joined(|part| &part.tokens)?,
            scores: parts.iter().flat_map(|part| part.scores.clone()).collect(),
            presence: parts.iter().flat_map(|part| part.presence.clone()).collect(),
        })
    }

    /// The best of the three of each prompt, by its score; the first of equal ones.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn best(&self) -> Result<Vec<Mask>> {
        (0..self.scores.len()).map(|i| self.mask(i, best_of_three(&self.scores[i]))).collect()
    }

    /// The one for itself of each prompt where its area does not hang on a threshold, and the best of the three
    /// where it does.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn stable(&self, decoder: &Decoder) -> Result<Vec<Mask>> {
        let one = |i: usize| {
            let alone = self.mask(i, 0)?;
            let delta = decoder.stability_delta as f32;
            match decoder.stability {
                Some(least) if f64::from(stability(&alone.logits, delta)) < least => {
                    self.mask(i, best_of_three(&self.scores[i]))
                }
                _ => Ok(alone),
            }
        };
        (0..self.scores.len()).map(one).collect()
    }

    /// What one of the four of a prompt was made of, (1, C).
    pub(crate) fn token(&self, prompt: usize, index: usize) -> Result<Tensor> {
        self.tokens.get(prompt)?.narrow(0, index, 1)?.contiguous()
    }

    /// One of the four of a prompt.
    ///
    /// # Errors
    /// When there is no such prompt or mask.
    pub fn mask(&self, prompt: usize, index: usize) -> Result<Mask> {
        let logits = self.logits.get(prompt)?.get(index)?;
        let size = logits.dims2()?;
        Ok(Mask {
            logits: logits.flatten_all()?.to_vec1()?,
            size,
            index,
            score: self.scores[prompt][index],
            presence: self.presence[prompt],
        })
    }
}

fn best_of_three(scores: &[f32]) -> usize {
    (2..MASKS).fold(1, |best, i| if scores[i] > scores[best] { i } else { best })
}

/// The ratio of what is surely inside to what may be; 1 for an empty mask.
fn stability(logits: &[f32], delta: f32) -> f32 {
    let over = |limit: f32| logits.iter().filter(|&&logit| logit > limit).count() as f32;
    let (sure, possible) = (over(delta), over(-delta));
    if possible > 0.0 { sure / possible } else { 1.0 }
}

/// A sample of the result: two of its sources, and the share of the second.
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

fn between(input: usize, output: usize) -> Vec<Between> {
    let step = input as f32 / output as f32;
    let at = |i: usize| {
        let at = (step * (i as f32 + 0.5) - 0.5).max(0.0);
        let low = (at as usize).min(input - 1);
        Between { low, high: (low + 1).min(input - 1), share: at - low as f32 }
    };
    (0..output).map(at).collect()
}

/// The mask at a picture's size, row by row: 255 where the object is, 0 elsewhere. Logits are interpolated
/// between two samples of each side, also where they shrink, and the object is where they are positive.
pub fn at_size(mask: &Mask, (width, height): (usize, usize)) -> Vec<u8> {
    let (rows, columns) = mask.size;
    if rows * columns * width * height == 0 {
        return Vec::new();
    }
    let (ys, xs) = (between(rows, height), between(columns, width));
    let mut out = vec![0u8; width * height];
    let line = || vec![0f32; columns];
    out.par_chunks_mut(width).zip(&ys).for_each_init(line, |line, (out, y)| {
        let low = &mask.logits[y.low * columns..][..columns];
        let high = &mask.logits[y.high * columns..][..columns];
        for ((line, low), high) in line.iter_mut().zip(low).zip(high) {
            *line = (1.0 - y.share) * low + y.share * high;
        }
        for (out, x) in out.iter_mut().zip(&xs) {
            let logit = (1.0 - x.share) * line[x.low] + x.share * line[x.high];
            *out = if logit > 0.0 { 255 } else { 0 };
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_masks_is_taken_and_never_the_one_for_itself() {
        for (scores, best) in [
            ([0.9, 0.5, 0.5, 0.5], 1),
            ([0.0, 0.1, 0.7, 0.7], 2),
            ([0.0, 0.1, 0.2, 0.3], 3),
            ([0.0, f32::NAN, 0.2, 0.3], 1),
        ] {
            assert_eq!(best_of_three(&scores), best, "{scores:?}");
        }
    }

    #[test]
    fn an_empty_mask_is_stable() {
        assert_eq!(stability(&[-1.0, -0.05], 0.05), 1.0);
        assert_eq!(stability(&[0.05, 1.0, 2.0, -0.04], 0.05), 0.5);
    }

    #[test]
    fn a_mask_keeps_its_middle_and_its_border() {
        let mask = Mask {
            logits: vec![1.0, -1.0, 1.0, -1.0],
            size: (2, 2),
            index: 0,
            score: 0.0,
            presence: 0.0,
        };
        // The border between two samples lies half way, where the logit is 0, which is outside.
        assert_eq!(at_size(&mask, (4, 1)), [255, 255, 0, 0]);
        assert_eq!(at_size(&mask, (1, 1)), [0]);
        assert_eq!(at_size(&mask, (2, 3)), [255, 0, 255, 0, 255, 0]);
        assert_eq!(at_size(&mask, (0, 3)), [0u8; 0]);
    }
}
