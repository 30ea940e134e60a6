//! A scale and a shift, fitted robustly.

use crate::Plane;

/// Rounds of reweighting.
const ROUNDS: usize = 4;
/// Scales that are believed.
const LEAST: f32 = 0.8;
const MOST: f32 = 1.25;
/// Share of the pairs that must count, at least.
const ENOUGH: f64 = 0.02;
/// Residual, in mean absolute ones, from which a pair is an outlier: Huber's constant, which is for standard
/// deviations.
const OUTLIER: f64 = 1.345 * 1.25;

/// `scale * x + shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: f32,
    pub(super) shift: f32,
}

impl Default for Affine {
    fn default() -> Self {
        Self { scale: 1.0, shift: 0.0 }
    }
}

impl Affine {
    /// What is left of it when its departure from doing nothing has faded to so much.
    pub(super) fn faded(self, to: f32) -> Self {
        Self { scale: 1.0 + (self.scale - 1.0) * to, shift: self.shift * to }
    }

    /// What undoes it.
    pub(super) fn inverse(self) -> Self {
        Self { scale: 1.0 / self.scale, shift: -self.shift / self.scale }
    }

    /// This, and `next` after it.
    pub(super) fn then(self, next: Self) -> Self {
        Self { scale: self.scale * next.scale, shift: self.shift * next.scale + next.shift }
    }

    pub(super) fn apply(self, plane: &mut Plane) {
        plane.data_mut().iter_mut().for_each(|v| *v = self.scale * *v + self.shift);
    }
}

/// What should be brought onto what, and how much it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) weight: f32,
}

/// The scale and shift that bring every `x` onto its `y`, by least squares, reweighted. Both
/// have errors, so distances to the line count; ordinary regression would take scale away, every time.
/// `None` when too few count.
pub(super) fn fit(pairs: &[Pair]) -> Option<Affine> {
    let mut weights: Vec<f64> = pairs.iter().map(|pair| pair.weight.into()).collect();
    if weights.iter().sum::<f64>() < ENOUGH * pairs.len() as f64 {
        return None;
    }
    let mut found = Affine::default();
    for round in 0..ROUNDS {
        found = weighted(pairs, &weights);
        if round + 1 < ROUNDS {
            reweight(pairs, &mut weights, found);
        }
    }
    Some(found)
}

fn weighted(pairs: &[Pair], weights: &[f64]) -> Affine {
    let total: f64 = weights.iter().sum();
    let mean = |value: fn(&Pair) -> f32| {
        let sum: f64 = pairs.iter().zip(weights).map(|(p, w)| w * f64::from(value(p))).sum();
        sum / total
    };
    let (mx, my) = (mean(|p| p.x), mean(|p| p.y));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (pair, weight) in pairs.iter().zip(weights) {
        let (dx, dy) = (f64::from(pair.x) - mx, f64::from(pair.y) - my);
        (xx, xy, yy) = (xx + weight * dx * dx, xy + weight * dx * dy, yy + weight * dy * dy);
    }
    // Flat depth has a shift and no scale.
    let scale = if xy > 1e-9 * total * (mx * mx + my * my) {
        let difference = yy - xx;
        (difference + (difference * difference + 4.0 * xy * xy).sqrt()) / (2.0 * xy)
    } else {
        1.0
    };
    let scale = scale.clamp(LEAST.into(), MOST.into());
    Affine { scale: scale as f32, shift: (my - scale * mx) as f32 }
}

/// Takes weight from pairs that the fit explains badly, the more the worse, so that a few that are far off
/// cannot bend it.
fn reweight(pairs: &[Pair], weights: &mut [f64], found: Affine) {
    let residual = |p: &Pair| f64::from(p.y - found.scale * p.x - found.shift).abs();
    let total: f64 = weights.iter().sum();
    let sum: f64 = pairs.iter().zip(weights.iter()).map(|(p, w)| w * residual(p)).sum();
    let limit = (OUTLIER * sum / total).max(f64::MIN_POSITIVE);
    for (pair, weight) in pairs.iter().zip(weights) {
        let within = limit / residual(pair).max(limit);
        *weight = f64::from(pair.weight) * within * within;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp, brought onto itself by these, but for noise of this size in both.
    fn pairs(affine: Affine, noise: f32) -> Vec<Pair> {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let ramp = (0..2000).map(|i| 3.0 + i as f32 / 500.0);
        ramp.map(|v| Pair {
            x: v + noise * random(),
            y: affine.scale * v + affine.shift + noise * random(),
            weight: 1.0,
        })
        .collect()
    }

    #[test]
    fn scale_and_shift_are_found_through_noise_and_outliers() {
        for affine in [Affine::default(), Affine { scale: 1.2, shift: -0.7 }] {
            let mut pairs = pairs(affine, 0.2);
            for pair in pairs.iter_mut().step_by(12) {
                pair.y += 2.0;
            }
            let found = fit(&pairs).unwrap();
            let off = found.scale * 5.0 + found.shift - (affine.scale * 5.0 + affine.shift);
            assert!((found.scale - affine.scale).abs() < 0.02 && off.abs() < 0.06, "{found:?}");
        }
    }

    #[test]
    fn what_undoes_it_does() {
        let there = Affine { scale: 1.25, shift: 3.0 };
        assert_eq!(there.then(there.inverse()), Affine::default());
        assert_eq!(
            there.then(Affine { scale: 2.0, shift: 1.0 }),
            Affine { scale: 2.5, shift: 7.0 }
        );
    }

    #[test]
    fn noise_takes_no_scale_away() {
        // Ordinary regression gives 0.94 here, and again for every frame.
        let found = fit(&pairs(Affine::default(), 0.5)).unwrap();
        assert!((found.scale - 1.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let wild = fit(&pairs(Affine { scale: 3.0, shift: 0.0 }, 0.0)).unwrap();
        assert_eq!(wild.scale, 1.25);
        let flat = [Pair { x: 4.0, y: 5.0, weight: 1.0 }; 9];
        assert_eq!(fit(&flat), Some(Affine { scale: 1.0, shift: 1.0 }));
        assert_eq!(fit(&[Pair { weight: 0.0, ..flat[0] }; 9]), None);
    }
}
