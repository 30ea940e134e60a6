//! The reference pipeline's forward warp, quirks included, for comparison with it.
//!
//! StereoCrafter `depth_splatting_inference.py` and the kernel of wbhu/Forward-Warp: bilinear scatter of
//! weighted pixels in two dimensions, divided by the scattered weights. A pixel counts only if all four
//! of its targets lie inside, so the last row is never written and the last column only from its left.
//! [`crate::Warp`] has neither loss and is the default.

use rayon::prelude::*;

use crate::Plane;

/// Weight of a pixel one pixel of disparity nearer than another.
const BASE: f32 = 1.414;
/// Least divisor.
const EPS: f32 = 1e-6;

/// A frame to warp.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its channels, in any range of values.
    pub planes: Vec<Plane>,
    /// Disparity in pixels; positive is nearer and moves the pixel left.
    pub disparity: Plane,
}

/// Planes seen from the right eye, and what was not seen.
#[derive(Debug, Clone)]
pub struct Splat {
    /// The warped planes, in the order given; zero where `mask` is 1.
    pub planes: Vec<Plane>,
    /// The occlusion mask, 0 to 1.
    pub mask: Plane,
}

/// Disparity in pixels of normalised `depth` (1 nearest): zero at a half, `max_px` at 1.
pub fn disparity(depth: &Plane, max_px: f32) -> Plane {
    let mut out = depth.clone();
    out.data_mut().iter_mut().for_each(|d| *d = (*d * 2.0 - 1.0) * max_px);
    out
}

/// Warps the frames of a batch. They are tied by the weights, which start at 1 for the farthest pixel of
/// all; it cancels but where a sum of weights is under 1e-6.
///
/// Weights overflow where disparities differ by more than 256 pixels, as in the reference.
///
/// # Panics
/// When a frame's planes and its disparity differ in size.
pub fn splat(batch: &[Source]) -> Vec<Splat> {
    let farthest =
        batch.iter().flat_map(|s| s.disparity.data()).copied().fold(f32::INFINITY, f32::min);
    batch.iter().map(|source| warp(source, farthest)).collect()
}

fn warp(source: &Source, farthest: f32) -> Splat {
    let disparity = &source.disparity;
    let (width, height) = (disparity.width(), disparity.height());
    for plane in &source.planes {
        assert_eq!((plane.width(), plane.height()), (width, height), "plane size");
    }
    let nothing = Plane::filled(width, height, 0.0);
    let mut planes = vec![nothing; source.planes.len()];
    let mut mask = Plane::filled(width, height, 1.0);
    let mut rows: Vec<Vec<&mut [f32]>> = (0..height).map(|_| Vec::new()).collect();
    for plane in planes.iter_mut().chain([&mut mask]) {
        rows.iter_mut().zip(plane.data_mut().chunks_mut(width)).for_each(|(r, row)| r.push(row));
    }
    // The kernel has two targets in the next row as well. They get nothing, because rows stay; they
    // only must exist.
    rows.par_iter_mut().take(height - 1).enumerate().for_each_init(
        || Landing::new(width),
        |landing, (y, out)| {
            landing.find(disparity.row(y), farthest);
            let Some((mask, colours)) = out.split_last_mut() else { return };
            for (out, plane) in colours.iter_mut().zip(&source.planes) {
                landing.scatter(plane.row(y), out);
            }
            landing.cover(mask);
            for out in colours {
                for (v, w) in out.iter_mut().zip(&landing.total) {
                    *v /= w.max(EPS);
                }
            }
        },
    );
    Splat { planes, mask }
}

/// Where the pixels of a row land, and what they weigh.
struct Landing {
    /// The left one of the two targets; `OUTSIDE` when one of them is not in the picture.
    left: Vec<u32>,
    /// Shares of the two targets, times the weight.
    weighted: Vec<[f32; 2]>,
    /// Share of the right target.
    part: Vec<f32>,
    /// Sums of weighted shares.
    total: Vec<f32>,
}

const OUTSIDE: u32 = u32::MAX;

impl Landing {
    fn new(width: usize) -> Self {
        Self {
            left: vec![OUTSIDE; width],
            weighted: vec![[0.0; 2]; width],
            part: vec![0.0; width],
            total: vec![0.0; width],
        }
    }

    fn find(&mut self, disparity: &[f32], farthest: f32) {
        let last = disparity.len() as f32 - 1.0;
        self.total.fill(0.0);
        for (x, &d) in disparity.iter().enumerate() {
            let at = x as f32 - d;
            let left = at.floor();
            if !(left >= 0.0 && left < last) {
                self.left[x] = OUTSIDE;
                continue;
            }
            let weight = BASE.powf(d - farthest);
            let i = left as usize;
            let part = at - left;
            let weighted = [weight * (1.0 - part), weight * part];
            self.total[i] += weighted[0];
            self.total[i + 1] += weighted[1];
            (self.left[x], self.weighted[x], self.part[x]) = (i as u32, weighted, part);
        }
    }

    /// Adds every value to its two targets by their weighted shares.
    fn scatter(&self, values: &[f32], out: &mut [f32]) {
        for ((&v, &left), shares) in values.iter().zip(&self.left).zip(&self.weighted) {
            if left != OUTSIDE {
                let i = left as usize;
                out[i] += v * shares[0];
                out[i + 1] += v * shares[1];
            }
        }
    }

    /// 1 minus the sum of unweighted shares, at least 0.
    fn cover(&self, mask: &mut [f32]) {
        mask.fill(0.0);
        for (&left, part) in self.left.iter().zip(&self.part) {
            if left != OUTSIDE {
                let i = left as usize;
                mask[i] += 1.0 - part;
                mask[i + 1] += part;
            }
        }
        mask.iter_mut().for_each(|m| *m = 1.0 - m.clamp(0.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[f32], disparity: &[f32]) -> Splat {
        // A second row, because the last is lost.
        let twice = |v: &[f32]| Plane::new(v.len(), 2, [v, v].concat());
        let source = Source { planes: vec![twice(values)], disparity: twice(disparity) };
        splat(&[source]).remove(0)
    }

    #[test]
    fn at_rest_the_last_row_and_column_are_lost() {
        let out = one(&[5.0, 6.0, 7.0], &[0.0; 3]);
        assert_eq!(out.planes[0].data(), [5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(out.mask.data(), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn pixels_move_left_and_nearer_ones_weigh_more() {
        let out = one(&[1.0, 2.0, 3.0, 4.0], &[0.0, 0.0, 2.0, 0.0]);
        // Column 0 gets the first at weight 1 and the third at 1.414^2.
        let near = BASE.powf(2.0);
        let want = (1.0 + 3.0 * near) / (1.0 + near);
        assert!((out.planes[0].at(0, 0) - want).abs() < 1e-6);
        assert_eq!(out.mask.row(0), [0.0, 0.0, 1.0, 1.0]);
        let half = one(&[1.0, 2.0, 3.0, 4.0], &[0.5; 4]);
        assert_eq!(half.planes[0].row(0), [2.0, 2.5, 3.5, 4.0]);
    }

    #[test]
    fn tiny_sums_of_weights_are_divided_by_the_least_divisor() {
        // 2^-21 of the second pixel falls on the first column, alone.
        let fraction = 2f32.powi(-21);
        let out = one(&[1.0, 1.0, 1.0], &[9.0, fraction, 9.0]);
        let want = fraction / EPS;
        assert!(want < 0.5);
        // The farthest pixel has weight 1.
        assert!((out.planes[0].at(0, 0) - want).abs() < 1e-3, "{}", out.planes[0].at(0, 0));
    }

    #[test]
    fn disparity_is_zero_at_half_depth() {
        let depth = Plane::new(3, 1, vec![0.0, 0.5, 1.0]);
        assert_eq!(disparity(&depth, 20.0).data(), [-20.0, 0.0, 20.0]);
    }

    #[test]
    fn a_single_row_is_all_hole() {
        let source =
            Source { planes: vec![Plane::filled(4, 1, 9.0)], disparity: Plane::filled(4, 1, 0.0) };
        let out = splat(&[source]).remove(0);
        assert_eq!((out.planes[0].data(), out.mask.data()), (&[0.0; 4][..], &[1.0; 4][..]));
    }
}
