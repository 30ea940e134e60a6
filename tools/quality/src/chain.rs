//! What becomes of a network's planes on the way to disparity, with and without each step.

use anyhow::Result;
use parallax_stereo::{
    ChainOptions, ChainSteps, DepthEstimator, Fill, Plane, Run, SteadyDepth, Warping,
};

use crate::metrics::Mean;
use crate::network::{Faults, Network, SINGLE, VIDEO, fitted};
use crate::study::{Depth, Scores, Way, clip, compare, rights};
use crate::truth::{Moment, STEREO};

/// A way through the chain.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    faults: Faults,
    options: ChainOptions,
}

/// The ways that are measured.
pub(crate) fn chains() -> Vec<Chain> {
    let all = ChainSteps::default();
    let steps = |name, steps| Chain {
        name,
        faults: SINGLE,
        options: ChainOptions { steps, ..ChainOptions::default() },
    };
    let every = |name, every| Chain {
        name,
        faults: SINGLE,
        options: ChainOptions { every, ..ChainOptions::default() },
    };
    vec![
        steps("no step", ChainSteps::none()),
        steps("all steps (default)", all),
        steps("without alignment", ChainSteps { align: false, ..all }),
        steps("without blending", ChainSteps { blend: false, ..all }),
        steps("without the shot's range", ChainSteps { shot_range: false, ..all }),
        steps("without sharpening", ChainSteps { sharpen: false, ..all }),
        steps("without spreading", ChainSteps { spread: false, ..all }),
        every("all steps, every 2nd frame", 2),
        every("all steps, every 4th frame", 4),
        Chain { faults: VIDEO, ..steps("video network, no step", ChainSteps::none()) },
        Chain { faults: VIDEO, ..steps("video network, all steps", all) },
    ]
}

/// What came of one of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) right: Scores,
    /// Absolute error of depth, in percent of its range.
    pub(crate) error: Mean,
    /// Change of that error from frame to frame, likewise.
    pub(crate) flicker: Mean,
    /// How well edges of depth lie where the true ones are, 0 to 1.
    pub(crate) edges: Mean,
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        let all = [
            (&mut self.error, other.error),
            (&mut self.flicker, other.flicker),
            (&mut self.edges, other.edges),
        ];
        for (mean, other) in all {
            if let Some(value) = other.value() {
                mean.add(value);
            }
        }
    }

    /// The means of several films' outcomes.
    pub(crate) fn mean(all: &[Self]) -> Self {
        let rights: Vec<Scores> = all.iter().map(|outcome| outcome.right).collect();
        let mut out = Self { right: Scores::mean(&rights), ..Self::default() };
        all.iter().for_each(|outcome| out.add(outcome));
        out
    }
}

pub(crate) fn measure(film: &[Moment], chain: &Chain) -> Result<Outcome> {
    let network = Network::of(film, chain.faults);
    let mut estimator = SteadyDepth::new(network, &clip(film)?, &Run::default(), chain.options)?;
    let mut depths = Vec::new();
    for moment in film {
        depths.extend(estimator.push(moment.left.clone())?);
    }
    depths.extend(estimator.finish()?);
    let depths = fitted(depths.into_iter().map(|(_, depth)| depth).collect(), film);
    let way = Way { depth: Depth::True, warping: Warping::Surface, fill: Fill::default() };
    let mut out =
        Outcome { right: compare(film, &rights(film, &depths, way)?), ..Outcome::default() };
    let mut before: Option<Vec<f32>> = None;
    for (depth, moment) in depths.iter().zip(film) {
        let pairs = depth.data().iter().zip(moment.depth.data());
        let off: Vec<f32> = pairs.map(|(d, t)| 100.0 * (d - t)).collect();
        off.iter().for_each(|off| out.error.add(off.abs().into()));
        if let Some(before) = &before {
            off.iter().zip(before).for_each(|(a, b)| out.flicker.add((a - b).abs().into()));
        }
        before = Some(off);
        if let Some(score) = f1(&edges(depth), &edges(&moment.depth), depth.width()) {
            out.edges.add(score);
        }
    }
    Ok(out)
}

/// Pixels beside which depth steps by a pixel of disparity or more.
fn edges(depth: &Plane) -> Vec<bool> {
    let (width, height) = (depth.width(), depth.height());
    let range = STEREO.disparity_percent / 100.0 * width as f32;
    let mut out = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let here = depth.at(x, y);
            let steps = |other: f32| (other - here).abs() * range >= 1.0;
            out.push(
                steps(depth.at((x + 1).min(width - 1), y))
                    || steps(depth.at(x, (y + 1).min(height - 1))),
            );
        }
    }
    out
}

/// The harmonic mean of precision and recall within two pixels; `None` without edges.
fn f1(made: &[bool], truth: &[bool], width: usize) -> Option<f64> {
    const WITHIN: usize = 2;
    let share = |of: &[bool], other: &[bool]| {
        let height = of.len() / width;
        let (mut all, mut found) = (0u32, 0u32);
        for i in (0..of.len()).filter(|&i| of[i]) {
            let (x, y) = (i % width, i / width);
            let rows = y.saturating_sub(WITHIN)..(y + WITHIN + 1).min(height);
            let columns = x.saturating_sub(WITHIN)..(x + WITHIN + 1).min(width);
            all += 1;
            let near = |y: usize| other[y * width..][columns.clone()].contains(&true);
            found += u32::from(rows.into_iter().any(near));
        }
        (all > 0).then(|| f64::from(found) / f64::from(all))
    };
    let (precision, recall) = (share(made, truth).unwrap_or(0.0), share(truth, made)?);
    let sum = precision + recall;
    Some(if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_count_within_two_pixels() {
        // Two hundred columns: ten pixels of disparity from far to near.
        let card = |from: usize| Plane::from_fn(200, 4, |x, _| if x < from { 0.2 } else { 0.9 });
        let score = |made: &Plane| f1(&edges(made), &edges(&card(100)), 200);
        assert_eq!(score(&card(102)), Some(1.0));
        assert_eq!(score(&card(103)), Some(0.0));
        assert_eq!(f1(&edges(&card(0)), &edges(&card(0)), 200), None);
        // Of a slope eight pixels long five lie within two pixels of the edge.
        let slope = Plane::from_fn(200, 4, |x, _| (x as f32 - 96.0).clamp(0.0, 8.0) / 8.0);
        let precision = 5.0 / 8.0;
        let want = 2.0 * precision / (precision + 1.0);
        assert!((score(&slope).unwrap_or(0.0) - want).abs() < 1e-9);
    }
}
