//! The reference pipeline's forward warp, quirks included, for comparison with it.
//!
//! StereoCrafter `depth_splatting_inference.py` and the kernel of wbhu/Forward-Warp: bilinear scatter of
//! weighted pixels in two dimensions, divided by the scattered weights. A pixel counts only if all four
//! of its targets lie inside, so the last row is never written and the last column only from its left.
//! [`crate::Warp`] has neither loss and is the default.

use std::ops::Range;

use rayon::prelude::*;

use crate::Plane;
use crate::simd::{BLOCK, block, counts_up, over};

/// Binary logarithm of 1.414 in f32, the weight of a pixel one pixel of disparity nearer than another.
const LOG2_BASE: f64 = 0.499_782_155_176_309_6;
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
    let warped = batch.iter().map(|source| {
        let (width, height) = (source.disparity.width(), source.disparity.height());
        let mut splat = Splat::black(source.planes.len(), width, height);
        splat.scatter(source, farthest);
        splat
    });
    warped.collect()
}

impl Splat {
    /// Of nothing: `planes` of 0.
    pub fn black(planes: usize, width: usize, height: usize) -> Self {
        let plane = |_| Plane::filled(width, height, 0.0);
        Self { planes: (0..planes).map(plane).collect(), mask: Plane::filled(width, height, 1.0) }
    }

    /// Replaces this by one frame, a batch of its own.
    ///
    /// # Panics
    /// When a plane or the disparity has another size, or there are fewer planes.
    pub fn warp(&mut self, source: &Source) {
        let farthest = source.disparity.data().iter().copied().fold(f32::INFINITY, f32::min);
        self.scatter(source, farthest);
    }

    fn scatter(&mut self, source: &Source, farthest: f32) {
        let disparity = &source.disparity;
        let (width, height) = (self.mask.width(), self.mask.height());
        for plane in source.planes.iter().chain([disparity]) {
            assert_eq!((plane.width(), plane.height()), (width, height), "plane size");
        }
        let outs = self.planes.iter_mut().chain([&mut self.mask]);
        let mut outs: Vec<_> = outs.map(|plane| plane.data_mut().chunks_mut(width)).collect();
        let rows: Vec<Vec<&mut [f32]>> =
            (0..height).map(|_| outs.iter_mut().filter_map(Iterator::next).collect()).collect();
        rows.into_par_iter().enumerate().for_each_init(
            || Landing::new(width),
            |landing, (y, mut out)| {
                let Some((mask, colours)) = out.split_last_mut() else { return };
                // The kernel has two targets in the next row as well. They get nothing, because rows
                // stay; they only must exist.
                if y + 1 == height {
                    colours.iter_mut().for_each(|colour| colour.fill(0.0));
                    mask.fill(1.0);
                    return;
                }
                over(
                    #[inline(always)]
                    || {
                        landing.find(disparity.row(y), farthest);
                        for (out, plane) in colours.iter_mut().zip(&source.planes) {
                            landing.colour(plane.row(y), out);
                        }
                        landing.cover(mask);
                    },
                );
            },
        );
    }
}

/// Where the pixels of a row land, and what they weigh.
struct Landing {
    /// The left one of the two targets; anything where one of them is not in the picture.
    left: Vec<f32>,
    /// The `left` of the first pixel of every whole block that lands as it is; else [`APART`].
    to: Vec<usize>,
    /// Shares of the two targets, which are 1 together.
    shares: Pair,
    /// Shares times the weight.
    weighted: Pair,
    /// 1 over the sums of weighted shares, which are at least [`EPS`].
    per_total: Vec<f32>,
    ones: Vec<f32>,
}

/// For every pixel, the shares of its left and its right target.
type Pair = [Vec<f32>; 2];

const APART: usize = usize::MAX;

impl Landing {
    fn new(width: usize) -> Self {
        let pair = || [vec![0.0; width], vec![0.0; width]];
        Self {
            left: vec![0.0; width],
            to: vec![APART; width / BLOCK],
            shares: pair(),
            weighted: pair(),
            per_total: vec![0.0; width],
            ones: vec![1.0; width],
        }
    }

    #[inline(always)]
    fn find(&mut self, disparity: &[f32], farthest: f32) {
        let width = disparity.len();
        let lefts = &mut self.left[..width];
        let [near, far] = self.shares.each_mut().map(|v| &mut v[..width]);
        let [near_weighted, far_weighted] = self.weighted.each_mut().map(|v| &mut v[..width]);
        for x in 0..width {
            let at = x as i32 as f32 - disparity[x];
            let left = at.floor();
            let part = at - left;
            let weight = weight(disparity[x] - farthest);
            (lefts[x], near[x], far[x]) = (left, 1.0 - part, part);
            (near_weighted[x], far_weighted[x]) = (weight * (1.0 - part), weight * part);
        }
        let last = width as i32 as f32 - 1.0;
        for (to, left) in self.to.iter_mut().zip(lefts.as_chunks().0) {
            let inside = counts_up(left) && left[0] >= 0.0 && left[BLOCK - 1] < last;
            *to = if inside { left[0] as i32 as usize } else { APART };
        }
        let mut total = std::mem::take(&mut self.per_total);
        self.scatter(&self.weighted, &self.ones, &mut total);
        total.iter_mut().for_each(|total| *total = 1.0 / total.max(EPS));
        self.per_total = total;
    }

    /// The mean of the values that fall on every target, 0 where none does.
    #[inline(always)]
    fn colour(&self, values: &[f32], out: &mut [f32]) {
        self.scatter(&self.weighted, values, out);
        for (v, per_total) in out.iter_mut().zip(&self.per_total) {
            *v *= per_total;
        }
    }

    /// 1 minus the sum of unweighted shares, at least 0.
    #[inline(always)]
    fn cover(&self, mask: &mut [f32]) {
        self.scatter(&self.shares, &self.ones, mask);
        // Sums of shares are not negative.
        mask.iter_mut().for_each(|m| *m = 1.0 - m.min(1.0));
    }

    /// Gives every target its shares of the values. Neighbours mostly land beside each other, and blocks
    /// that do are added at once.
    #[inline(always)]
    fn scatter(&self, shares: &Pair, values: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        // What the right target of a block's last pixel gets is added with the block that begins there, if
        // one does: reading a block just after one of its samples was written alone is slow.
        let (mut carry, mut carry_to) = (0.0, 0);
        for (b, &to) in self.to.iter().enumerate() {
            let b = b * BLOCK;
            if to != carry_to {
                out[carry_to] += carry;
                carry = 0.0;
            }
            if to == APART {
                carry_to = 0;
                self.single(shares, values, b..b + BLOCK, out);
                continue;
            }
            let values = block(values, b);
            let [near, far] = shares.each_ref().map(|share| block(share, b));
            let mut sums = block(out, to);
            sums[0] += carry + values[0] * near[0];
            for k in 1..BLOCK {
                sums[k] += values[k - 1] * far[k - 1] + values[k] * near[k];
            }
            out[to..to + BLOCK].copy_from_slice(&sums);
            (carry, carry_to) = (values[BLOCK - 1] * far[BLOCK - 1], to + BLOCK);
        }
        out[carry_to] += carry;
        self.single(shares, values, self.to.len() * BLOCK..out.len(), out);
    }

    #[inline(always)]
    fn single(&self, [near, far]: &Pair, values: &[f32], pixels: Range<usize>, out: &mut [f32]) {
        let last = out.len() as i32 as f32 - 1.0;
        for x in pixels {
            if self.left[x] >= 0.0 && self.left[x] < last {
                let i = self.left[x] as i32 as usize;
                out[i] += values[x] * near[x];
                out[i + 1] += values[x] * far[x];
            }
        }
    }
}

/// 1.414 to the power of `ahead`, at least 0; relative error under 4e-7, and infinity from 2^128 on.
#[inline(always)]
fn weight(ahead: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which the low bits then are.
    const ROUND: f32 = 12_582_912.0;
    // Half of the bits each: products of high parts are exact.
    const HALF: u32 = !0xfff;
    let log_high = f32::from_bits((LOG2_BASE as f32).to_bits() & HALF);
    let log_low = (LOG2_BASE - f64::from(log_high)) as f32;
    // Beyond, it is infinite anyway.
    let ahead = ahead.min(300.0);
    let high = f32::from_bits(ahead.to_bits() & HALF);
    let shifted = (ahead * LOG2_BASE as f32).min(128.0) + ROUND;
    let whole = shifted - ROUND;
    let rest = (high * log_high - whole) + ((ahead - high) * log_high + ahead * log_low);
    // 2^r by its Taylor series, to the seventh power of r, which is from -1/2 to 1/2 where it counts.
    let r = rest * std::f32::consts::LN_2;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // One power less and then doubled: the greatest is 2^127.
    2.0 * (p * f32::from_bits(shifted.to_bits().wrapping_add(126) << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let near = 1.414f32.powf(2.0);
        let want = (1.0 + 3.0 * near) / (1.0 + near);
        assert!((out.planes[0].at(0, 0) - want).abs() < 1e-6);
        assert_eq!(out.mask.row(0), [0.0, 0.0, 1.0, 1.0]);
        let half = one(&[1.0, 2.0, 3.0, 4.0], &[0.5; 4]);
        assert_eq!(half.planes[0].row(0), [2.0, 2.5, 3.5, 4.0]);
    }

    #[test]
    fn weights_are_powers() {
        assert_eq!(LOG2_BASE, f64::from(1.414f32).log2());
        for i in 0..=25_600 {
            let ahead = i as f32 * 0.01;
            let want = f64::from(1.414f32).powf(f64::from(ahead));
            assert!((f64::from(weight(ahead)) / want - 1.0).abs() < 4e-7, "{ahead}");
        }
        assert_eq!([weight(257.0), weight(1e30)], [f32::INFINITY; 2]);
    }

    proptest! {
        #[test]
        fn blocks_are_scattered_as_single_pixels_are(
            // Steps of where the next pixel lands from where this one does, in quarters.
            steps in prop::collection::vec(
                prop_oneof![8 => Just(4i32), 1 => -36i32..48], 1..90),
            start in -24i32..120,
        ) {
            let disparity: Vec<f32> = steps
                .iter()
                .scan(start, |at, step| { *at += step; Some(*at as f32 * 0.25) })
                .enumerate()
                .map(|(x, at)| x as f32 - at)
                .collect();
            let width = disparity.len();
            let values: Vec<f32> = (0..width).map(|x| (x * 7 % 31) as f32).collect();
            let mut landing = Landing::new(width);
            landing.find(&disparity, 0.0);
            let (mut out, mut want) = (vec![f32::NAN; width], vec![0.0; width]);
            landing.scatter(&landing.shares, &values, &mut out);
            landing.single(&landing.shares, &values, 0..width, &mut want);
            // Quarters are summed without rounding.
            prop_assert_eq!(out, want);
        }
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
