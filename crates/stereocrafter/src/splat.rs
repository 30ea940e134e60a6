//! The reference pipeline's forward warp, quirks included, for comparison with it.
//!
//! StereoCrafter `depth_splatting_inference.py` and the kernel of wbhu/Forward-Warp: bilinear scatter of
//! weighted pixels in two dimensions, divided by the scattered weights. A pixel counts only if all four
//! of its targets lie inside, so the last row is never written and the last column only from its left.
//! [`parallax_stereo::splat`] has neither loss and is the default.

use parallax_stereo::{Plane, Splat};
use rayon::prelude::*;

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

/// Disparity in pixels of normalised `depth` (1 nearest): zero at a half, `max_px` at 1.
pub fn reference_disparity(depth: &Plane, max_px: f32) -> Plane {
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
pub fn reference_splat(batch: &[Source]) -> Vec<Splat> {
    let farthest =
        batch.iter().flat_map(|s| s.disparity.data()).copied().fold(f32::INFINITY, f32::min);
    batch.iter().map(|source| warp(source, farthest)).collect()
}

fn warp(source: &Source, farthest: f32) -> Splat {
    let disparity = &source.disparity;
    let (width, height) = (disparity.width(), disparity.height());
    let mut out: Vec<Plane> = Vec::with_capacity(source.planes.len());
    let mut weights = disparity.clone();
    weights.data_mut().par_iter_mut().for_each(|d| *d = BASE.powf(*d - farthest));
    let divisor = scatter(&weights, disparity);
    for plane in &source.planes {
        assert_eq!((plane.width(), plane.height()), (width, height), "plane size");
        let mut weighted = plane.clone();
        for (v, w) in weighted.data_mut().iter_mut().zip(weights.data()) {
            *v *= w;
        }
        let mut sum = scatter(&weighted, disparity);
        for (v, w) in sum.data_mut().iter_mut().zip(divisor.data()) {
            *v /= w.max(EPS);
        }
        out.push(sum);
    }
    let mut mask = scatter(&Plane::filled(width, height, 1.0), disparity);
    mask.data_mut().iter_mut().for_each(|m| *m = 1.0 - m.clamp(0.0, 1.0));
    Splat { planes: out, mask }
}

/// Adds every value of `plane` to the two pixels around where its disparity takes it. The two of the
/// next row, which the kernel has as well, get nothing because rows stay; they only must exist.
fn scatter(plane: &Plane, disparity: &Plane) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    let mut out = Plane::filled(width, height, 0.0);
    let rows = out.data_mut().par_chunks_mut(width).take(height - 1);
    rows.enumerate().for_each(|(y, row)| {
        for (x, (&v, &d)) in plane.row(y).iter().zip(disparity.row(y)).enumerate() {
            let at = x as f32 - d;
            let left = at.floor();
            if left >= 0.0 && left + 1.0 < width as f32 {
                let i = left as usize;
                row[i] += v * (left + 1.0 - at);
                row[i + 1] += v * (at - left);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[f32], disparity: &[f32]) -> Splat {
        // A second row, because the last is lost.
        let twice = |v: &[f32]| Plane::new(v.len(), 2, [v, v].concat());
        let source = Source { planes: vec![twice(values)], disparity: twice(disparity) };
        reference_splat(&[source]).remove(0)
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
        assert_eq!(reference_disparity(&depth, 20.0).data(), [-20.0, 0.0, 20.0]);
    }
}
