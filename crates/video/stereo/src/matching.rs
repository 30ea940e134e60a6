//! How far apart the two eyes show the same thing: block matching between them.
//!
//! For measuring finished pictures, not for making them. Blocks are matched along rows by the sum of
//! absolute differences, and to a fraction of a sample by the slope of the picture. A block
//! counts where it has texture and fits one place clearly better than any other; where the match
//! back from the right eye does not return to it, the other eye does not see it.

use rayon::prelude::*;

use crate::Plane;

/// Samples on a block's side, and from one block to the next.
const SIDE: usize = 16;
const STEP: usize = 8;
/// Search on either side, as a share of the width.
const REACH: f32 = 0.12;
/// Mean absolute deviation, of values 0 to 1, below which a block has no texture to match.
const TEXTURE: f32 = 0.012;
/// How much worse, at least, every place that is not next to the best one must fit.
const CLEARLY: f32 = 1.25;
/// Share of its own deviation that a match may leave unexplained.
const EXPLAINED: f32 = 0.7;
/// Steps from the nearest sample to the place between samples.
const STEPS: usize = 3;
/// Samples by which the way back may miss.
const RETURN: f32 = 1.5;

/// What matching two eyes found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matches {
    /// Parallax of every block that was matched, in percent of the width: where the right eye has it
    /// less where the left eye has it. Negative is crossed, in front of the screen.
    pub parallax: Vec<f32>,
    /// Blocks of the left eye that have texture and that the right eye does not show.
    pub hidden: usize,
    /// Blocks that have texture but fit several places.
    pub ambiguous: usize,
}

impl Matches {
    /// Adds what was found in another moment.
    pub fn extend(&mut self, other: Matches) {
        self.parallax.extend(other.parallax);
        self.hidden += other.hidden;
        self.ambiguous += other.ambiguous;
    }

    /// Share of what could be decided that only one eye sees, 0 to 1; `None` when nothing could.
    pub fn occluded(&self) -> Option<f64> {
        let decided = self.parallax.len() + self.hidden;
        (decided > 0).then(|| self.hidden as f64 / decided as f64)
    }

    /// The parallax that `share` of the matches stay below, 0 to 1; `None` without matches.
    pub fn percentile(&self, share: f64) -> Option<f32> {
        let mut sorted = self.parallax.clone();
        sorted.sort_by(f32::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        sorted.get((share.clamp(0.0, 1.0) * last as f64).round() as usize).copied()
    }
}

/// Matches the blocks of the left eye with the right one. Values are 0 to 1.
///
/// # Panics
/// When the eyes differ in size.
///
/// # Example
/// A texture that the right eye sees 3 pixels further left, which is in front of the screen:
///
/// ```
/// use parallax_stereo::{Plane, match_eyes};
///
/// let texture = |x: usize, y: usize| ((x * x * 7 + y * y * 13 + x * y * 5) % 97) as f32 / 96.0;
/// let left = Plane::from_fn(96, 48, texture);
/// let right = Plane::from_fn(96, 48, |x, y| texture(x + 3, y));
/// let median = match_eyes(&left, &right).percentile(0.5).ok_or("nothing matches")?;
/// assert!((median / 100.0 * 96.0 + 3.0).abs() < 0.1, "{median} % of the width");
/// # Ok::<(), &str>(())
/// ```
pub fn match_eyes(left: &Plane, right: &Plane) -> Matches {
    let (width, height) = (left.width(), left.height());
    assert_eq!((width, height), (right.width(), right.height()), "the eyes' sizes");
    if width < 2 * SIDE || height < SIDE {
        return Matches::default();
    }
    let rows: Vec<usize> = (0..=height - SIDE).step_by(STEP).collect();
    let found = rows.into_par_iter().map(|y| {
        let mut found = Matches::default();
        for x in (0..=width - SIDE).step_by(STEP) {
            match best(left, right, x, y) {
                Fit::Plain => {}
                Fit::Ambiguous => found.ambiguous += 1,
                Fit::None => found.hidden += 1,
                Fit::At(offset) => {
                    let there = (x as f32 + offset).round().max(0.0) as usize;
                    let back = best(right, left, there.min(width - SIDE), y);
                    match back {
                        Fit::At(back) if (there as f32 + back - x as f32).abs() < RETURN => {
                            found.parallax.push(offset * 100.0 / width as f32);
                        }
                        Fit::Ambiguous | Fit::Plain => found.ambiguous += 1,
                        _ => found.hidden += 1,
                    }
                }
            }
        }
        found
    });
    found.reduce(Matches::default, |mut all, more| {
        all.extend(more);
        all
    })
}

enum Fit {
    /// There is nothing to match.
    Plain,
    /// It fits several places.
    Ambiguous,
    /// It fits no place.
    None,
    /// It is this many samples further right.
    At(f32),
}

/// Where `to` shows the block of `from` at column `x` and row `y`.
fn best(from: &Plane, to: &Plane, x: usize, y: usize) -> Fit {
    let rows = y..y + SIDE;
    let block: Vec<&[f32]> = rows.clone().map(|y| &from.row(y)[x..x + SIDE]).collect();
    let count = (SIDE * SIDE) as f32;
    let mean = block.iter().flat_map(|row| row.iter()).sum::<f32>() / count;
    // Differences along the row are what a match along the row can be told by.
    let along = block.iter().flat_map(|row| row.windows(2)).map(|w| (w[1] - w[0]).abs());
    let along = along.sum::<f32>() / count;
    let deviation = block.iter().flat_map(|row| row.iter()).map(|v| (v - mean).abs());
    let deviation = deviation.sum::<f32>() / count;
    if deviation < TEXTURE || along < TEXTURE / 4.0 {
        return Fit::Plain;
    }
    let reach = (from.width() as f32 * REACH) as usize;
    let first = x.saturating_sub(reach);
    let last = (x + reach).min(to.width() - SIDE);
    let cost = |at: usize| {
        let rows = rows.clone().map(|y| &to.row(y)[at..at + SIDE]);
        let pairs = block.iter().zip(rows);
        pairs.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - b).abs()).sum::<f32>() / count
    };
    let costs: Vec<f32> = (first..=last).map(cost).collect();
    let order = |a: &usize, b: &usize| costs[*a].total_cmp(&costs[*b]);
    let Some(least) = (0..costs.len()).min_by(order) else { return Fit::None };
    if costs[least] > EXPLAINED * deviation {
        return Fit::None;
    }
    let elsewhere = (0..costs.len()).filter(|at| at.abs_diff(least) > 2).min_by(order);
    if elsewhere.is_some_and(|other| costs[other] < CLEARLY * costs[least] + 1e-4) {
        return Fit::Ambiguous;
    }
    let at = first + least;
    // The rest of the way along the slope of the picture, as Lucas and Kanade (1981) go.
    let mut part = 0.0f32;
    for _ in 0..STEPS {
        let (mut along, mut slopes) = (0.0f32, 0.0f32);
        for (row, y) in block.iter().zip(rows.clone()) {
            let there = to.row(y);
            for (k, value) in row.iter().enumerate() {
                let place = ((at + k) as f32 + part).clamp(0.0, (there.len() - 1) as f32);
                let i = (place as usize).min(there.len() - 2);
                let slope = there[i + 1] - there[i];
                along += slope * (value - there[i] - slope * (place - i as f32));
                slopes += slope * slope;
            }
        }
        if slopes > 0.0 {
            part = (part + along / slopes).clamp(-1.0, 1.0);
        }
    }
    Fit::At(at as f32 - x as f32 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed random value for a place.
    fn noise(x: i64, y: i64, seed: u64) -> f32 {
        let mut h = (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (y as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
            ^ seed;
        h = (h ^ (h >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((h ^ (h >> 32)) % 1000) as f32 / 1000.0
    }

    /// Noise, smooth enough to be shown between samples.
    fn texture(x: f32, y: usize, seed: u64) -> f32 {
        let (cell, part) = ((x / 3.0).floor(), (x / 3.0).fract());
        let at = |cell: f32| noise(cell as i64, y as i64 / 3, seed);
        at(cell) * (1.0 - part) + at(cell + 1.0) * part
    }

    /// A wall `back` samples further right in the right eye, and a card `front` samples.
    fn eyes(back: f32, front: f32) -> [Plane; 2] {
        [0.0, 1.0].map(|eye| {
            Plane::from_fn(320, 96, |x, y| {
                let on_card = x as f32 - eye * front;
                if (120.0..200.0).contains(&on_card) {
                    texture(on_card, y, 7)
                } else {
                    texture(x as f32 - eye * back, y, 1)
                }
            })
        })
    }

    #[test]
    fn the_parallax_of_both_layers_and_what_is_hidden_are_found() {
        let [left, right] = eyes(3.25, -8.0);
        let found = match_eyes(&left, &right);
        let near = |wanted: f32| {
            let close = |p: &&f32| (**p - wanted * 100.0 / 320.0).abs() < 0.08;
            found.parallax.iter().filter(close).count() as f32 / found.parallax.len() as f32
        };
        // A quarter of the width is the card.
        assert!((near(-8.0) - 0.25).abs() < 0.06, "{}", near(-8.0));
        assert!((near(3.25) - 0.75).abs() < 0.08, "{}", near(3.25));
        assert!(found.percentile(0.01).unwrap() < -2.3);
        let farthest = found.percentile(0.99).unwrap();
        assert!((farthest - 3.25 / 3.2).abs() < 0.15, "{farthest}");
        // The card covers eleven columns of the wall in the right eye.
        let occluded = found.occluded().unwrap();
        assert!((0.02..0.14).contains(&occluded), "{occluded}");
    }

    #[test]
    fn equal_eyes_have_no_parallax_and_hide_nothing() {
        let [left, _] = eyes(0.0, 0.0);
        let found = match_eyes(&left, &left);
        assert!(found.parallax.len() > 300 && found.parallax.iter().all(|p| p.abs() < 0.01));
        assert_eq!(found.occluded(), Some(0.0));
    }

    #[test]
    fn what_cannot_be_matched_is_not_guessed() {
        let flat = Plane::filled(320, 96, 0.5);
        assert_eq!(match_eyes(&flat, &flat), Matches::default());
        let stripes = Plane::from_fn(320, 96, |x, _| if x / 4 % 2 == 0 { 0.2 } else { 0.8 });
        let found = match_eyes(&stripes, &stripes);
        assert_eq!((found.parallax.len(), found.occluded()), (0, None));
        let [left, _] = eyes(0.0, 0.0);
        let other = Plane::from_fn(320, 96, |x, y| texture(x as f32, y, 99));
        let found = match_eyes(&left, &other);
        assert!(found.parallax.len() < 10, "{}", found.parallax.len());
        let tiny = Plane::filled(4, 4, 0.0);
        assert_eq!(match_eyes(&tiny, &tiny).occluded(), None);
    }
}
