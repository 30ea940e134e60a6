//! Guided filtering (He, Sun, Tang: "Guided Image Filtering", 2010): depth edges go where the
//! picture's edges are.
//!
//! At working size the guide is colour, because subjects often differ from their background in
//! hue alone. Going up to the frame's size only luma is worth its cost; the result is limited to
//! the values around it, so that texture cannot engrave itself into depth.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::Plane;
use crate::motion::Small;

/// Mean over the `(2 radius + 1)` square around every sample, cut at the borders.
pub(super) fn mean(plane: &Plane, radius: usize) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    let mut across = Plane::filled(width, height, 0.0);
    for y in 0..height {
        let (source, out) = (plane.row(y), across.row_mut(y));
        let mut sum: f32 = source[..radius.min(width)].iter().sum();
        for x in 0..width {
            if x + radius < width {
                sum += source[x + radius];
            }
            let first = (x + 1).saturating_sub(radius + 1);
            let last = (x + radius).min(width - 1);
            out[x] = sum / (last + 1 - first) as f32;
            if x >= radius {
                sum -= source[x - radius];
            }
        }
    }
    let mut sums = vec![0.0f32; width];
    for y in 0..radius.min(height) {
        add(&mut sums, across.row(y), 1.0);
    }
    let mut out = Plane::filled(width, height, 0.0);
    for y in 0..height {
        if y + radius < height {
            add(&mut sums, across.row(y + radius), 1.0);
        }
        let rows = (y + radius).min(height - 1) + 1 - y.saturating_sub(radius);
        let scale = 1.0 / rows as f32;
        for (out, sum) in out.row_mut(y).iter_mut().zip(&sums) {
            *out = sum * scale;
        }
        if y >= radius {
            add(&mut sums, across.row(y - radius), -1.0);
        }
    }
    out
}

fn add(sums: &mut [f32], row: &[f32], factor: f32) {
    for (sum, v) in sums.iter_mut().zip(row) {
        *sum += factor * v;
    }
}

/// Sample-wise product.
pub(super) fn product(a: &Plane, b: &Plane) -> Plane {
    let data = a.data().iter().zip(b.data()).map(|(a, b)| a * b).collect();
    Plane::new(a.width(), a.height(), data)
}

/// A colour picture's local statistics, shared by every plane filtered along it.
pub(super) struct Guide<'a> {
    channels: [&'a Plane; 3],
    means: [Plane; 3],
    /// Inverse covariance: xx, xy, xz, yy, yz, zz.
    inverse: [Plane; 6],
    radius: usize,
}

impl<'a> Guide<'a> {
    /// Statistics over squares of `radius`; `epsilon` is the variance, of values 0..1, below which
    /// a region counts as flat.
    pub(super) fn of(small: &'a Small, radius: usize, epsilon: f32) -> Self {
        let channels = small.channels();
        let means = channels.map(|c| mean(c, radius));
        const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];
        let mut inverse = PAIRS.map(|(i, j)| mean(&product(channels[i], channels[j]), radius));
        for i in 0..small.luma.data().len() {
            let s = |k: usize| {
                let (a, b) = PAIRS[k];
                inverse[k].data()[i] - means[a].data()[i] * means[b].data()[i]
            };
            let (xx, xy, xz) = (s(0) + epsilon, s(1), s(2));
            let (yy, yz, zz) = (s(3) + epsilon, s(4), s(5) + epsilon);
            // By cofactors; epsilon keeps it regular.
            let (c00, c01, c02) = (yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy);
            let (c11, c12, c22) = (xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy);
            let det = (xx * c00 + xy * c01 + xz * c02).max(epsilon * epsilon * epsilon);
            for (plane, c) in inverse.iter_mut().zip([c00, c01, c02, c11, c12, c22]) {
                plane.data_mut()[i] = c / det;
            }
        }
        Self { channels, means, inverse, radius }
    }

    /// `plane` smoothed within the colour regions of the guide.
    pub(super) fn filter(&self, plane: &Plane) -> Plane {
        let radius = self.radius;
        let value = mean(plane, radius);
        let mut mixed = self.channels.map(|c| mean(&product(c, plane), radius));
        let mut offset = value.clone();
        for i in 0..plane.data().len() {
            let m = [0, 1, 2].map(|k| self.means[k].data()[i]);
            let c = [0, 1, 2].map(|k| mixed[k].data()[i] - m[k] * value.data()[i]);
            let v = [0, 1, 2, 3, 4, 5].map(|k| self.inverse[k].data()[i]);
            let slope = [
                v[0] * c[0] + v[1] * c[1] + v[2] * c[2],
                v[1] * c[0] + v[3] * c[1] + v[4] * c[2],
                v[2] * c[0] + v[4] * c[1] + v[5] * c[2],
            ];
            offset.data_mut()[i] -= slope[0] * m[0] + slope[1] * m[1] + slope[2] * m[2];
            for (plane, slope) in mixed.iter_mut().zip(slope) {
                plane.data_mut()[i] = slope;
            }
        }
        let mut out = mean(&offset, radius);
        for (slope, channel) in mixed.iter().zip(self.channels) {
            let slope = mean(slope, radius);
            for ((out, s), c) in out.data_mut().iter_mut().zip(slope.data()).zip(channel.data()) {
                *out += s * c;
            }
        }
        out
    }
}

/// Brings `depth` from working size to the size of `frame`, guided by its luma.
pub(super) fn upsample(depth: &Plane, small: &Small, frame: &Frame) -> Plane {
    const RADIUS: usize = 2;
    const EPSILON: f32 = 3e-3;
    let luma = &small.luma;
    let (mi, mp) = (mean(luma, RADIUS), mean(depth, RADIUS));
    let (mii, mip) = (mean(&product(luma, luma), RADIUS), mean(&product(luma, depth), RADIUS));
    let (width, height) = (depth.width(), depth.height());
    let mut slope = Plane::filled(width, height, 0.0);
    for (i, slope) in slope.data_mut().iter_mut().enumerate() {
        let (i_mean, p_mean) = (mi.data()[i], mp.data()[i]);
        let variance = mii.data()[i] - i_mean * i_mean;
        *slope = (mip.data()[i] - i_mean * p_mean) / (variance.max(0.0) + EPSILON);
    }
    let slope = mean(&slope, RADIUS);
    // out = depth + slope * (fine luma - coarse luma): where the fine picture adds nothing, the
    // depth is exactly the coarse one.
    Upsampling { depth, slope: &slope, luma }.run(frame)
}

/// Frame width, in pixels, per pixel by which foreground spreads sideways.
const RIM: usize = 640;

struct Upsampling<'a> {
    depth: &'a Plane,
    slope: &'a Plane,
    luma: &'a Plane,
}

impl Upsampling<'_> {
    fn run(&self, frame: &Frame) -> Plane {
        let format = frame.format();
        let (width, height) = (format.width as usize, format.height as usize);
        let (w, h) = (self.depth.width(), self.depth.height());
        let factor = width.div_ceil(w).max(height.div_ceil(h));
        let bytes = format.pixels.sample_bytes();
        let (black, white) = format.colour.luma_limits(format.pixels.bits());
        let (offset, scale) = (f32::from(black), 1.0 / f32::from(white - black));
        let source = frame.plane(0);
        let tap = |i: usize, size: usize| {
            let at = (i as f32 + 0.5) / factor as f32 - 0.5;
            let low = at.max(0.0) as usize;
            let low = low.min(size - 1);
            (low, (low + 1).min(size - 1), (at - low as f32).clamp(0.0, 1.0))
        };
        let columns: Vec<(usize, usize, f32)> = (0..width).map(|x| tap(x, w)).collect();
        // Nearness spreads over the pixels that mix foreground and background, so that no rim of
        // the foreground's colour stays behind and fills the hole.
        let reach = (width / RIM).max(1);
        let mut out = Plane::filled(width, height, 0.0);
        out.data_mut().par_chunks_mut(width).enumerate().for_each_init(
            || (vec![[0.0f32; 4]; w], vec![0.0f32; width + 2 * reach]),
            |(mixed, wide), (y, row)| {
                let (top, bottom, f) = tap(y, h);
                let lerp = |p: &Plane, x: usize| {
                    let a = p.at(x, top);
                    a + (p.at(x, bottom) - a) * f
                };
                for (x, mixed) in mixed.iter_mut().enumerate() {
                    let slope = lerp(self.slope, x);
                    let depth = lerp(self.depth, x);
                    *mixed = [depth, slope, depth - slope * lerp(self.luma, x), 0.0];
                }
                let line = &source[y * width * bytes..(y + 1) * width * bytes];
                for (x, out) in wide[reach..reach + width].iter_mut().enumerate() {
                    let (low, high, f) = columns[x];
                    let (a, b) = (mixed[low], mixed[high]);
                    let code = if bytes == 1 {
                        f32::from(line[x])
                    } else {
                        f32::from(u16::from_le_bytes([line[2 * x], line[2 * x + 1]]))
                    };
                    let luma = (code - offset) * scale;
                    let slope = a[1] + (b[1] - a[1]) * f;
                    let base = a[2] + (b[2] - a[2]) * f;
                    let value = base + slope * luma;
                    *out = value.clamp(a[0].min(b[0]), a[0].max(b[0]));
                }
                row.copy_from_slice(&wide[..width]);
                for k in 1..=2 * reach {
                    for (out, v) in row.iter_mut().zip(&wide[k..k + width]) {
                        *out = out.max(*v);
                    }
                }
            },
        );
        out
    }
}
