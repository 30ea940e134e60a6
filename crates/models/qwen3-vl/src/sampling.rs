//! Which token comes next.
//!
//! candle-transformers' `LogitsProcessor` is not used: it measures the share of the likeliest tokens before the others
//! are left out, so that `top_p` after `top_k` cuts elsewhere than in transformers.

use candle_core::{DType, Device, Result, Tensor, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// The likeliest; of equals the first.
    Greedy,
    /// By chance.
    Sampled(Sampling),
}

/// A choice by chance, the same for the same seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What logits are divided by, above 0.
    pub temperature: f64,
    /// Tokens that may be chosen at most.
    pub top_k: usize,
    /// Of these the likeliest that together have this share, 0 to 1.
    pub top_p: f64,
    /// Where chance begins.
    pub seed: u64,
}

impl Sampling {
    /// What the published model comes with.
    pub const PUBLISHED: Self = Self { temperature: 0.7, top_k: 20, top_p: 0.8, seed: 0 };

    /// Tokens and their chances, likeliest first: divided by the temperature, the `top_k` likeliest, and of these the
    /// `top_p` likeliest.
    ///
    /// # Errors
    /// When a logit is no number.
    pub fn chances(&self, logits: &[f32]) -> Result<Vec<(u32, f64)>> {
        if !logits.iter().all(|x| x.is_finite()) || logits.is_empty() {
            bail!("the network gave values that are no numbers");
        }
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let likelier =
            |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let kept = self.top_k.clamp(1, logits.len());
        if kept < order.len() {
            order.select_nth_unstable_by(kept - 1, likelier);
            order.truncate(kept);
        }
        order.sort_unstable_by(likelier);
        let scaled = |id: &u32| f64::from(logits[*id as usize]) / self.temperature;
        let most = scaled(&order[0]);
        let weights: Vec<f64> = order.iter().map(|id| (scaled(id) - most).exp()).collect();
        let total: f64 = weights.iter().sum();
        let (mut before, mut count) = (0.0, 0);
        for weight in &weights {
            // One that begins within the share belongs to it, so the first always does.
            if count > 0 && before >= self.top_p * total {
                break;
            }
            before += weight;
            count += 1;
        }
        Ok(order.into_iter().zip(weights).take(count).map(|(id, w)| (id, w / before)).collect())
    }
}

/// Chooses for the rows of a batch, one after the other.
#[derive(Debug)]
pub(crate) struct Chooser {
    choice: Choice,
    chance: StdRng,
}

impl Chooser {
    pub(crate) fn new(choice: Choice) -> Self {
        let seed = match choice {
            Choice::Greedy => 0,
            Choice::Sampled(sampling) => sampling.seed,
        };
        Self { choice, chance: StdRng::seed_from_u64(seed) }
    }

    /// Of logits (B, vocabulary) a token for each row.
    pub(crate) fn choose(&mut self, logits: &Tensor) -> Result<Vec<u32>> {
        let rows = logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        rows.iter().map(|row| self.of(row)).collect()
    }

    fn of(&mut self, row: &[f32]) -> Result<u32> {
        let sampling = match self.choice {
            Choice::Greedy => Sampling { top_k: 1, temperature: 1.0, ..Sampling::PUBLISHED },
            Choice::Sampled(sampling) => sampling,
        };
        let chances = sampling.chances(row)?;
        let mut left = match chances.len() {
            1 => 0.0,
            _ => self.chance.random::<f64>(),
        };
        for &(id, chance) in &chances {
            left -= chance;
            if left < 0.0 {
                return Ok(id);
            }
        }
        // Rounding may leave a little.
        Ok(chances[chances.len() - 1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_is_left_and_the_likeliest_always_is() {
        let logits = [0.0f32, 2.0, 1.0, 2.0, -9.0];
        let of = |top_k, top_p| {
            Sampling { temperature: 1.0, top_k, top_p, seed: 0 }.chances(&logits).unwrap()
        };
        let ids =
            |chances: Vec<(u32, f64)>| chances.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(of(5, 0.0)), [1], "the first of equals");
        assert_eq!(ids(of(3, 1.0)), [1, 3, 2]);
        assert_eq!(ids(of(2, 0.9)), [1, 3]);
        // Of the first two each has half; among all it is less.
        assert_eq!(ids(of(2, 0.5)), [1]);
        assert_eq!(ids(of(5, 0.5)), [1, 3]);
        let total: f64 = of(5, 0.99).iter().map(|(_, chance)| chance).sum();
        assert!((total - 1.0).abs() < 1e-12);
        assert!(Sampling::PUBLISHED.chances(&[1.0, f32::NAN]).is_err());
    }

    #[test]
    fn chance_follows_its_seed_and_its_weights() {
        let logits = Tensor::new(&[[0f32, 1.0, 2.0]], &Device::Cpu).unwrap();
        let drawn = |seed| {
            let sampling = Sampling { temperature: 1.0, top_k: 3, top_p: 1.0, seed };
            let mut chooser = Chooser::new(Choice::Sampled(sampling));
            (0..3000).map(|_| chooser.choose(&logits).unwrap()[0]).collect::<Vec<u32>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let twos = drawn(3).iter().filter(|&&id| id == 2).count() as f64 / 3000.0;
        assert!((twos - 0.665).abs() < 0.03, "{twos}");
        let mut greedy = Chooser::new(Choice::Greedy);
        assert_eq!(greedy.choose(&logits).unwrap(), [2]);
    }
}
